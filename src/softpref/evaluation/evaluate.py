"""One evaluation: responses of two sides, both orders before a judge, figures; everything on disk as it comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from softpref.core.statistics import cluster_bootstrap
from softpref.data.pairs import Text, text_of
from softpref.evaluation.comparison import Side, compare
from softpref.evaluation.naming import short_names
from softpref.evaluation.over_optimisation import sample_log_ratios
from softpref.evaluation.responses import check_models
from softpref.evaluation.sides import (
    Answers,
    Paired,
    Prompts,
    answers_from_model,
    answers_given,
    pair_up,
    read_prompts_of,
)
from softpref.generation.sampling import Sampling
from softpref.judges.base import Judge
from softpref.records.evaluation import EvaluationRecord
from softpref.records.figures import Interval, NamedInterval
from softpref.records.record import command_line
from softpref.run_folder import EVALUATION_FILE


@dataclass(frozen=True)
class Reward:
    """A score of responses beside the judge's verdict: its name, and its value for a response to a prompt."""

    name: str
    of: Callable[[Text, Text], float]


def evaluate(
    model: str,
    against: str,
    data: str | Path | None,
    judge: Judge,
    output: str | Path,
    sampling: Sampling | None = None,
    reward: Reward | None = None,
) -> EvaluationRecord:
    """Compare a model with another model, with a file of responses, or with the responses in a column of the data.

    Args:
        model: folder (a model or a PEFT adapter) or Hub name, or a file with a ``prompt`` and a ``response`` per row.
        against: the same, or a column of ``data`` that holds a response in every row.
        data: JSONL or CSV with a ``prompt`` per row. It may be None where both sides are files of responses.
        output: folder for ``responses.jsonl``, ``against.jsonl``, the judgement store, ``comparisons.jsonl`` and
            ``evaluation.json``. A run that was stopped goes on from what lies there.
        reward: reported beside the win rates. The judge does not see it.

    Returns what ``evaluation.json`` holds; with samples at temperature 1 and another model, KL(model ‖ other) in nats per
    response too. Only prompts that both sides answer are compared, and ``left_out`` counts the rest. Raises InputError for
    data or options that are wrong, before anything is generated.
    """
    sampling, output = sampling or Sampling(), Path(output)
    column = {against} & _columns(data, model)
    prompts = read_prompts_of(data, [model] if column else [model, against])
    ours, theirs = _both((model, against), column, prompts, sampling, output)
    paired = pair_up(ours, theirs, prompts)
    repeated = [prompts.texts[place] for place in paired.places]
    judged = compare(_side(ours, paired.ours), _side(theirs, paired.theirs), repeated, judge, output)
    kl = None
    if ours.generated and theirs.generated and sampling.temperature == sampling.top_p == 1:
        ratios = sample_log_ratios(model, against, prompts.asked, ours.generated, sampling)
        clusters = [text_of(prompts.texts[response.prompt]) for response in ours.generated]
        kl = Interval.of(cluster_bootstrap(np.mean, ratios, clusters=clusters))
    record = replace(
        judged,
        left_out=paired.left_out,
        reward=None if reward is None else _reward(reward, repeated, paired),
        kl=kl,
        models=(model, against),
        data=None if data is None else str(data),
        sampling=sampling.as_dict() if ours.generated or theirs.generated else None,
        command=command_line(),
    )
    record.write(output / EVALUATION_FILE)
    return record


def _columns(data: str | Path | None, model: str) -> set[str]:
    """The names that ``against`` may mean in the data."""
    return set() if data is None else {name for _, row in read_prompts_of(data, [model]).rows for name in row}


def _both(
    sides: tuple[str, str], column: set[str], prompts: Prompts, sampling: Sampling, output: Path
) -> tuple[Answers, Answers]:
    """Both sides' answers. Files are read first, so that nothing is generated for a prompt that the other side lacks."""
    named = list(zip(sides, short_names(sides), ((), column), strict=True))
    given = [answers_given(side, name, prompts, columns) for side, name, columns in named]
    places = [i for i in range(len(prompts)) if all(one is None or one.by_place.get(i) for one in given)]
    files = [output / file for file in ("responses.jsonl", "against.jsonl")]
    check_models((side, file) for answers, side, file in zip(given, sides, files, strict=True) if answers is None)
    ours, theirs = (
        one or answers_from_model(side, name, prompts, places, sampling, file)
        for one, (side, name, _), file in zip(given, named, files, strict=True)
    )
    return ours, theirs


def _side(answers: Answers, responses: tuple[Text, ...]) -> Side:
    unfinished = sum(not response.finished for response in answers.generated) if answers.generated else None
    return Side(answers.name, responses, unfinished)


def _reward(reward: Reward, prompts: list[Text], paired: Paired) -> NamedInterval:
    scores = [reward.of(prompt, response) for prompt, response in zip(prompts, paired.ours, strict=True)]
    estimate = cluster_bootstrap(np.mean, scores, clusters=[text_of(prompt) for prompt in prompts])
    return NamedInterval.of(estimate, name=reward.name)
