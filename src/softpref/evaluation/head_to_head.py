"""Every method against every other before one judge: one generation per run, one store of judgements, one matrix."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from softpref.core.statistics import holm
from softpref.data.formats import write_rows
from softpref.errors import OptionError
from softpref.evaluation.comparison import (
    Judged,
    Side,
    comparison_rows,
    figures,
    judge_sides,
    lengths,
    repetition_of,
)
from softpref.evaluation.naming import Method, Run, matched_runs, methods_of
from softpref.evaluation.responses import check_models
from softpref.evaluation.sides import (
    Answers,
    Prompts,
    answers_from_model,
    answers_given,
    pair_up,
    read_prompts_of,
)
from softpref.generation.sampling import Sampling
from softpref.judges.base import Judge
from softpref.judges.store import JudgementStore
from softpref.records.evaluation import DuelFigures, HeadToHeadRecord, SeedFigures
from softpref.records.figures import LeftOut
from softpref.records.record import command_line, plain
from softpref.run_folder import COMPARISONS_FOLDER, HEAD_TO_HEAD_FILE, JUDGEMENTS_FILE

TESTS = ("wilcoxon", "permutation")
RESPONSES_FOLDER = "responses"

Say = Callable[[str], None]


def head_to_head(
    models: Sequence[str],
    data: str | Path | None,
    judge: Judge,
    output: str | Path,
    sampling: Sampling | None = None,
    say: Say = lambda _: None,
) -> HeadToHeadRecord:
    """Compare every two methods; writes ``head_to_head.json`` and a file of comparisons per pair, and returns the former.

    Args:
        models: two or more of: a folder (model or PEFT adapter) or Hub name, a file of responses, a column of the data; see
            ``methods_of`` for names and for runs that are several seeds of one method.
        data: JSONL or CSV with a ``prompt`` per row; None where all are files of responses.
        output: folder for responses, judgements and figures. What lies there is not made again.
        say: takes what begins, for a person at a terminal.

    p-values are corrected by Holm over all pairs, each test by itself. Raises InputError before anything is generated.
    """
    sampling, output = sampling or Sampling(), Path(output)
    methods = methods_of(models)
    if len(methods) < 2:
        raise OptionError("name at least two methods to compare: NAME=PATH tells runs of one name apart")
    prompts, columns = _prompts(data, [run.path for method in methods for run in method.runs])
    answers = _answers(methods, prompts, columns, sampling, output, say)
    with JudgementStore(output / JUDGEMENTS_FILE) as store:
        pairs = []
        for i, j in combinations(range(len(methods)), 2):
            say(f"judging {methods[i].name} against {methods[j].name}")
            found, judged = _pair(methods[i], methods[j], answers, prompts, judge, store)
            write_rows(output / COMPARISONS_FOLDER / f"{i}_{j}.jsonl", map(plain, comparison_rows(judged)))
            pairs.append(found)
    sides = _sides(methods, answers)
    record = HeadToHeadRecord(
        models=[method.name for method in methods],
        folders=[[run.path for run in method.runs] for method in methods],
        seeds=[[run.seed for run in method.runs] for method in methods],
        judge=judge.identity,
        prompts=len(prompts),
        data=None if data is None else str(data),
        sampling=sampling.as_dict(),
        lengths=[lengths(side) for side in sides],
        repetition=[repetition_of(side) for side in sides],
        pairs=corrected(pairs),
        command=command_line(),
    )
    record.write(output / HEAD_TO_HEAD_FILE)
    return record


def corrected(pairs: Sequence[DuelFigures]) -> list[DuelFigures]:
    """The pairs with Holm's correction over all of them beside each p-value, as ``p_holm``."""
    by_test = {test: holm([pair.tests[test].p_value for pair in pairs]) for test in TESTS}
    return [
        replace(pair, tests={test: replace(pair.tests[test], p_holm=float(p[place])) for test, p in by_test.items()})
        for place, pair in enumerate(pairs)
    ]


def _prompts(data: str | Path | None, paths: Sequence[str]) -> tuple[Prompts, set[str]]:
    """The prompts, and which of the participants are columns of the data."""
    if data is None:
        return read_prompts_of(None, paths), set()
    prompts = read_prompts_of(data, paths)
    return prompts, {path for path in paths if any(path in row for _, row in prompts.rows)}


def _answers(
    methods: Sequence[Method], prompts: Prompts, columns: set[str], sampling: Sampling, output: Path, say: Say
) -> dict[Run, Answers]:
    """What every run says. Files and columns are read first: a fault in them is found before anything is generated."""
    runs = {run: _slug(method, run) for method in methods for run in method.runs}
    given = {run: answers_given(run.path, name, prompts, columns) for run, name in runs.items()}
    found = {run: answers for run, answers in given.items() if answers is not None}
    folder = output / RESPONSES_FOLDER
    files = {run: folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', name)}.jsonl" for run, name in runs.items() if run not in found}
    check_models((run.path, file) for run, file in files.items())
    for run, file in files.items():
        say(f"responses of {runs[run]} to {len(prompts)} prompts")
        found[run] = answers_from_model(run.path, runs[run], prompts, range(len(prompts)), sampling, file)
    return found


def _slug(method: Method, run: Run) -> str:
    return method.name if len(method.runs) == 1 else f"{method.name}_seed_{run.seed}"


def _pair(
    ours: Method, theirs: Method, answers: dict[Run, Answers], prompts: Prompts, judge: Judge, store: JudgementStore
) -> tuple[DuelFigures, Judged]:
    """Two methods, over every seed that both have."""
    matched = matched_runs(ours, theirs)
    parts, left_out = [], []
    for a, b, _ in matched:
        paired = pair_up(answers[a], answers[b], prompts)
        texts = [prompts.texts[place] for place in paired.places]
        parts.append(judge_sides(Side(ours.name, paired.ours), Side(theirs.name, paired.theirs), texts, judge, store))
        left_out.append(paired.left_out)
    seeds = [seed for (_, _, seed), part in zip(matched, parts, strict=True) for _ in part.comparisons]
    judged = Judged(
        [one for part in parts for one in part.comparisons],
        [one for part in parts for one in part.judgements],
        seeds if len(matched) > 1 else None,
    )
    duel = DuelFigures(
        model=ours.name,
        against=theirs.name,
        seeds=len(matched),
        **vars(figures(judged)),
        left_out=LeftOut(**{field.name: sum(getattr(one, field.name) for one in left_out) for field in fields(LeftOut)}),
        by_seed=[_of_seed(seed, part) for (_, _, seed), part in zip(matched, parts, strict=True)],
    )
    return duel, judged


def _of_seed(seed: str, judged: Judged) -> SeedFigures:
    p = [judgement.p for judgement in judged.judgements if judgement.p is not None]
    return SeedFigures(seed, float(np.mean(p)) if p else None, len(p))


def _sides(methods: Sequence[Method], answers: dict[Run, Answers]) -> list[Side]:
    """Every method with all its responses."""
    sides = []
    for method in methods:
        every = [answers[run] for run in method.runs]
        texts = [text for one in every for found in one.by_place.values() for text in found]
        finished = [response.finished for one in every for response in one.generated]
        sides.append(Side(method.name, texts, len(finished) - sum(finished) if finished else None))
    return sides
