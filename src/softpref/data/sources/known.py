"""The formats that ``softpref import`` knows."""

from __future__ import annotations

from softpref.data.sources import (
    annotated,
    arena,
    binarized,
    coplan,
    dices,
    helpsteer,
    hh,
    multipref,
    nectar,
    nemo,
    oasst,
    pku,
    prism,
    shp,
    tldr,
    ultrafeedback,
    webgpt,
)
from softpref.data.sources.importing import Source

VOTES = "votes become p when the file is read (docs/data.md)"
PEOPLE = "votes become p when the file is read; softpref votes says how reliable each annotator is (docs/data.md)"
REWARDS = "give reading.reward_scale where the file is read: p = s(scale · difference), in 1 / points"
UNLABELLED = "the pairs have no label: softpref label gives them one, or train with label_treatment hard"

SOURCES = {
    "tldr": Source("summaries of Reddit posts, one vote or several per pair", tldr.pairs, after=VOTES),
    "hh": Source("Anthropic's helpful and harmless conversations, unlabelled", hh.pairs, after=UNLABELLED),
    "coplan": Source(
        "people's plans against models', unlabelled",
        coplan.pairs,
        coplan.goal_of,
        imitated="rejected",
        after=UNLABELLED,
    ),
    "ultrafeedback": Source("four rated completions per prompt, as six pairs", ultrafeedback.pairs, after=REWARDS),
    "helpsteer2": Source("two rated responses per prompt", helpsteer.rated, helpsteer.prompt_of, after=REWARDS),
    "helpsteer2-votes": Source("HelpSteer2's preferences, a vote of each annotator", helpsteer.votes_2, after=VOTES),
    "helpsteer2-strength": Source("HelpSteer2's preferences, p from their strength", helpsteer.strength_2),
    "helpsteer3": Source("HelpSteer3's preferences, a vote of each annotator", helpsteer.votes_3, after=VOTES),
    "helpsteer3-strength": Source("HelpSteer3's preferences, p from their strength", helpsteer.strength_3),
    "arena": Source("Chatbot Arena: one vote on two conversations", arena.pairs, after=VOTES),
    "arena-55k": Source("Chatbot Arena's 55k votes, turns as JSON lists", arena.pairs_55k, after=VOTES),
    "ultrafeedback-binarized": Source("UltraFeedback as rated pairs, H4's and Argilla's", binarized.pairs, after=REWARDS),
    "multipref": Source("two responses, a vote of each of four people by name", multipref.pairs, after=PEOPLE),
    "prism": Source("answers scored from 1 to 100 by who asked", prism.pairs, prism.interaction_of, after=REWARDS),
    "shp": Source("two comments on a Reddit post, one vote", shp.pairs, after=VOTES),
    "webgpt": Source("two answers with sources, p from their score", webgpt.pairs),
    "oasst": Source("Open Assistant's ranked answers, every two one vote", oasst.pairs, oasst.tree_of, after=VOTES),
    "nectar": Source("seven ranked answers per prompt, as 21 pairs of one vote", nectar.pairs, after=VOTES),
    "pku-saferlhf": Source("PKU-SafeRLHF, which response is better", pku.better, after=VOTES),
    "pku-saferlhf-safer": Source("PKU-SafeRLHF, which response is safer", pku.safer, after=VOTES),
    "dices": Source("answers to one context, the share who call them safe", dices.pairs, dices.context_of, after=REWARDS),
    "argilla": Source("Argilla's records of two responses, votes by name", annotated.argilla, after=PEOPLE),
    "label-studio": Source("Label Studio's pairwise tasks, votes by name", annotated.label_studio, after=PEOPLE),
    "nemo": Source("NeMo-Aligner's pairs with chosen_reward and rejected_reward", nemo.pairs, after=REWARDS),
    "nemo-rl": Source("NeMo-RL's ranked completions, every two one vote", nemo.ranked, after=VOTES),
}
