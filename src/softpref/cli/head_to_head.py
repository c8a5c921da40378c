"""The ``softpref head-to-head`` command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from softpref.cli.evaluate import GenerationOptions, ask, interval, judged_of, sampling_of
from softpref.cli.judges import JudgeOptions, judge_options, make_judge
from softpref.cli.options import parse_options, say
from softpref.data.output_lock import only_writer
from softpref.data.outputs import check_outputs
from softpref.errors import OptionError
from softpref.records.evaluation import HeadToHeadRecord

PROG = "softpref head-to-head"
SURE, SURER = 0.05, 0.01


@dataclass(kw_only=True)
class HeadToHeadOptions(GenerationOptions, JudgeOptions):
    """Compare every model with every other before one judge.

    Attributes:
        models: Two or more. Each is a folder, a Hub name, a .jsonl or .csv file with a prompt and a response per row, or a column
            of the data. NAME=MODEL gives it a name; models of one name, and paths such as seed_1/gdpo and seed_2/gdpo, are
            several seeds of one method.
        data: JSONL or CSV file with a prompt in every row; not needed where all are files of responses.
        output: Folder for responses, judgements and figures. Rerun the command to resume.
        yes: Do not ask before paid calls are made.
    """

    models: list[str] = field(default_factory=list)
    output: str
    data: str | None = None
    yes: bool = False


def run(argv: Sequence[str]) -> None:
    """Models and options, in any order."""
    options = parse_options(HeadToHeadOptions, PROG, argv, ("models",))
    models = options.models
    if len(models) < 2:
        raise OptionError("name at least two models: softpref head-to-head MODEL MODEL [MODEL ...] --judge … --output …")
    _check_output(models, options)
    from softpref.evaluation.head_to_head import head_to_head
    from softpref.run_folder import HEAD_TO_HEAD_FILE

    judge = make_judge(judge_options(options))
    paths = [model.partition("=")[2] or model for model in models]
    ask(options, paths, len(models) * (len(models) - 1) // 2, yes=options.yes)
    with only_writer(options.output, PROG):
        result = head_to_head(models, options.data, judge, options.output, sampling_of(options), say)
    for line in lines(result):
        say(line)
    say(f"figures: {options.output}/{HEAD_TO_HEAD_FILE}")


def _check_output(models: Sequence[str], options: HeadToHeadOptions) -> None:
    from softpref.run_folder import COMPARISONS_FOLDER, HEAD_TO_HEAD_FILE

    paths = [model.partition("=")[2] or model for model in models]
    inputs = {f"model {path}": path for path in paths} | {"data": options.data, "judge_prompt": options.judge_prompt}
    folder = Path(options.output)
    pairs = [folder / COMPARISONS_FOLDER / f"{i}_{j}.jsonl" for j in range(len(models)) for i in range(j)]
    written = {str(file.relative_to(folder)): file for file in (folder / HEAD_TO_HEAD_FILE, *pairs)}
    check_outputs(inputs, written, {"output": folder})


def lines(result: HeadToHeadRecord) -> Iterator[str]:
    """What a person reads of ``head_to_head.json``."""
    yield f"judged by {result.judge}"
    yield f"percentage win rate of the row against the column; * p < {SURE}, ** p < {SURER} (Wilcoxon, Holm over all pairs)"
    yield from matrix(result)
    yield "pair, percentage win rate with its 95% interval, at equal length, p of Wilcoxon as it is and after Holm, coverage"
    for pair in result.pairs:
        wilcoxon = pair.tests["wilcoxon"]
        seeds = f", {pair.seeds} seeds" if pair.seeds > 1 else ""
        yield (
            f"  {pair.model} – {pair.against}: {interval(pair.win_rates.percentage)}"
            f"equal length {interval(pair.length_controlled).strip()}  p {wilcoxon.p_value:.2g} → "
            f"{wilcoxon.p_holm:.2g}  {judged_of(pair)} judged on {pair.prompts} prompts{seeds}"
        )
    for name, length, repeated in zip(result.models, result.lengths, result.repetition, strict=True):
        yield f"  {name}: {length.mean_words:.1f} words on average, longest repeat {repeated.longest_repeat:.1f}"


def matrix(result: HeadToHeadRecord) -> Iterator[str]:
    """Rows against columns. A pair stands in it twice: p against q, and 1 − it."""
    names = result.models
    cells = {}
    for pair in result.pairs:
        p = pair.tests["wilcoxon"].p_holm or 0.0
        star = "**" if p < SURER else "*" if p < SURE else ""
        for one, other in ((pair.model, pair.against), (pair.against, pair.model)):
            cells[one, other] = f"{pair.rate_of(one).point:.3f}{star}"
    wide = max(8, *map(len, names)) + 2
    yield " " * wide + "".join(f"{name:<{wide}}" for name in names)
    for row in names:
        yield f"{row:<{wide}}" + "".join(f"{cells.get((row, column), '–'):<{wide}}" for column in names)
