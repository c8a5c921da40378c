"""The formats that ``softpref import`` knows."""

from __future__ import annotations

from softpref.data.sources import arena, coplan, helpsteer, hh, tldr, ultrafeedback
from softpref.data.sources.importing import Source

VOTES = "votes become p when the file is read (docs/data.md)"
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
}
