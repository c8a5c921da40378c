"""One evaluation: responses of two sides, both orders before a judge, win rates, lengths; everything on disk as it comes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from softpref.core.statistics import cluster_bootstrap
from softpref.data.files import write_json
from softpref.data.formats import read_numbered_prompts, write_rows
from softpref.data.pairs import Text, text_of
from softpref.errors import OptionError
from softpref.evaluation.over_optimisation import sample_log_ratios
from softpref.evaluation.responses import from_column, generated
from softpref.evaluation.win_rates import win_rates
from softpref.generation.sampling import Response, Sampling
from softpref.judges.base import Comparison, Judge
from softpref.judges.both_orders import Judgement, judge_comparisons
from softpref.judges.store import JudgementStore
from softpref.run_folder import COMPARISONS_FILE, EVALUATION_FILE

STORE_FILE = "judgements.sqlite"


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a name and its response to each prompt, as many as there are samples."""

    name: str
    responses: Sequence[Text]
    unfinished: int | None = None


@dataclass(frozen=True)
class Reward:
    """A score of responses beside the judge's verdict: its name, and its value for a response to a prompt."""

    name: str
    of: Callable[[Text, Text], float]


def evaluate(
    model: str,
    against: str,
    data: str | Path,
    judge: Judge,
    output: str | Path,
    sampling: Sampling | None = None,
    reward: Reward | None = None,
) -> dict[str, Any]:
    """Compare a model with another model, or with the responses in a column of the data.

    Args:
        model: folder or Hub name.
        against: a column of ``data`` that holds a response in every row, or else a folder or Hub name.
        data: JSONL or CSV with a ``prompt`` per row.
        output: folder for ``responses.jsonl``, ``against.jsonl``, the judgement store, ``comparisons.jsonl`` and
            ``evaluation.json``. A run that was stopped goes on from what lies there.
        reward: reported beside the win rates. The judge does not see it.

    Returns what ``evaluation.json`` holds; with samples at temperature 1 and another model, KL(model ‖ other) in nats per
    response too. Raises InputError for data or options that are wrong, before anything is generated.
    """
    sampling, output = sampling or Sampling(), Path(output)
    rows = read_numbered_prompts(data)
    prompts: list[Text] = [row["prompt"] for _, row in rows]
    is_column = any(against in row for _, row in rows)
    column = from_column(rows, against, str(data)) if is_column else []
    ours = generated(model, prompts, sampling, output / "responses.jsonl")
    names = _names(model, against)
    if is_column:
        theirs = Side(against, [text for text in column for _ in range(sampling.samples)])
    else:
        theirs = _side(names[1], generated(against, prompts, sampling, output / "against.jsonl"))
    repeated = [prompt for prompt in prompts for _ in range(sampling.samples)]
    result = compare(_side(names[0], ours), theirs, repeated, judge, output)
    clusters = [text_of(prompt) for prompt in repeated]
    if reward is not None:
        scores = [reward.of(prompt, response.text) for prompt, response in zip(repeated, ours, strict=True)]
        result["reward"] = {"name": reward.name, **cluster_bootstrap(np.mean, scores, clusters=clusters).as_dict()}
    if not is_column and sampling.temperature == sampling.top_p == 1:
        ratios = sample_log_ratios(model, against, prompts, ours)
        result["kl"] = cluster_bootstrap(np.mean, ratios, clusters=clusters).as_dict()
    result |= {"models": [model, against], "data": str(data), "sampling": sampling.as_dict(), "command": _command()}
    write_json(output / EVALUATION_FILE, result)
    return result


def _names(model: str, against: str) -> tuple[str, str]:
    """Short names of two folders, with as much of the path as tells them apart."""
    if Path(model) == Path(against):
        return Path(model).name, Path(against).name
    parts = Path(model).parts, Path(against).parts
    for depth in range(1, max(map(len, parts)) + 1):
        short = ["/".join(part[-depth:]) for part in parts]
        if short[0] != short[1]:
            break
    return short[0], short[1]


def compare(ours: Side, theirs: Side, prompts: Sequence[Text], judge: Judge, output: Path) -> dict[str, Any]:
    """Judge both sides on every prompt, both orders, and put the figures together. Writes ``comparisons.jsonl``."""
    if not len(ours.responses) == len(theirs.responses) == len(prompts):
        raise OptionError(
            f"{ours.name} and {theirs.name} have not the same number of responses: compare like with like"
        )
    comparisons = [
        Comparison(str(i), prompt, _alike(prompt, a), _alike(prompt, b))
        for i, (prompt, a, b) in enumerate(zip(prompts, ours.responses, theirs.responses, strict=True))
    ]
    with JudgementStore(output / STORE_FILE) as store:
        judgements = judge_comparisons(judge, comparisons, store)
    write_rows(output / COMPARISONS_FILE, map(_row, comparisons, judgements))
    clusters = [text_of(prompt) for prompt in prompts]
    return {
        "model": ours.name,
        "against": theirs.name,
        "judge": judge.identity,
        "prompts": len(set(clusters)),
        "win_rates": win_rates(judgements, clusters).as_dict(),
        "lengths": {"model": _lengths(ours), "against": _lengths(theirs)},
        "longer_wins": _longer_wins(comparisons, judgements, clusters),
    }


def _side(name: str, found: Sequence[Response]) -> Side:
    return Side(name, [response.text for response in found], sum(not response.finished for response in found))


def _alike(prompt: Text, response: Text) -> Text:
    """A generated string as a message, where the prompt is made of messages."""
    if isinstance(prompt, list) and isinstance(response, str):
        return [{"role": "assistant", "content": response}]
    return response


def _row(comparison: Comparison, judgement: Judgement) -> dict[str, Any]:
    return {
        "prompt": comparison.prompt,
        "response": comparison.response_1,
        "against": comparison.response_2,
        "p": judgement.p,
        "first_shown": judgement.first_shown,
        "second_shown": judgement.second_shown,
        "failures": list(judgement.failures),
    }


def _lengths(side: Side) -> dict[str, float | int | None]:
    words = [len(text_of(response).split()) for response in side.responses]
    return {"mean_words": float(np.mean(words)), "median_words": float(np.median(words)), "unfinished": side.unfinished}


def _longer_wins(
    comparisons: Sequence[Comparison], judgements: Sequence[Judgement], clusters: Sequence[str]
) -> dict[str, float | int] | None:
    """How often the judge prefers the longer of the two, over pairs of unequal length: the baseline beside a win rate."""
    found = []
    for comparison, judgement, cluster in zip(comparisons, judgements, clusters, strict=True):
        difference = len(text_of(comparison.response_1).split()) - len(text_of(comparison.response_2).split())
        if judgement.p is not None and difference:
            found.append((judgement.p if difference > 0 else 1 - judgement.p, cluster))
    if not found:
        return None
    p, names = zip(*found, strict=True)
    return cluster_bootstrap(lambda x: float(np.mean((np.sign(x - 0.5) + 1) / 2)), p, clusters=names).as_dict()


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
