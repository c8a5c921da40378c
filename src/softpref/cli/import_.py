"""The ``softpref import`` command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from softpref.cli.options import parse_options, say
from softpref.data.outputs import check_outputs
from softpref.errors import OptionError, nearest

if TYPE_CHECKING:
    from softpref.data.sources.importing import Imported, Source

PROG = "softpref import"


@dataclass
class ImportOptions:
    """Make pairs of a published data set: softpref import FORMAT DATA --output FILE.

    Attributes:
        format: tldr, hh, coplan, ultrafeedback, ultrafeedback-binarized, helpsteer2, helpsteer2-votes, helpsteer2-strength,
            helpsteer3, helpsteer3-strength, arena, arena-55k, multipref, prism, shp, webgpt, oasst, nectar, pku-saferlhf,
            pku-saferlhf-safer, dices, argilla, label-studio, nemo or nemo-rl; docs/recipes.md says what each makes of its rows.
        data: A name on the Hub, a folder, or a file: .jsonl, .json or their .gz with one object a line, .csv, .parquet.
        output: JSONL file of pairs to write; what became of the rows lies beside it (.import.json).
        subset: Of the Hub's data set: its configuration, comparisons say.
        data_dir: Of the Hub's data set or the folder: a folder in it, helpful-base say.
        split: Of the Hub's data set or the folder; train if not given.
        revision: Of the Hub's data set: branch, tag or commit.
        texts: plain, or messages for a model with a chat template.
        sft_output: JSONL file of completions to imitate first, as the paper's SFT does; none if not given.
        sft_share: Share of the prompts that go there, in (0, 1]; 0.5 if not given.
        seed: Seed of that draw; 0 if not given.
    """

    format: str
    data: str
    output: str
    subset: str | None = None
    data_dir: str | None = None
    split: str | None = None
    revision: str | None = None
    texts: Literal["plain", "messages"] = "plain"
    sft_output: str | None = None
    sft_share: float | None = None
    seed: int | None = None


def run(argv: Sequence[str]) -> None:
    """Import one data set, and say what became of its rows."""
    options = parse_options(ImportOptions, PROG, argv, ("format", "data"))
    from softpref.data.formats import write_rows
    from softpref.data.sources.importing import TEXTS, completions, import_rows
    from softpref.data.sources.known import SOURCES
    from softpref.data.sources.opening import Place, open_rows

    if options.format not in SOURCES:
        raise OptionError(f"format is {options.format!r}{nearest(options.format, SOURCES)}")
    source = SOURCES[options.format]
    _check(options)
    place = Place(options.data, options.subset, options.data_dir, options.split, options.revision)
    rows, faults = open_rows(place)
    imported = import_rows(source, rows, options.data, faults)
    pairs = [TEXTS[options.texts](pair) for pair in imported.pairs]
    if not pairs:
        raise OptionError(f"{options.data}: none of {imported.rows} rows makes a pair ({_reasons(imported)})")
    write_rows(options.output, pairs)
    to_imitate: list[dict[str, Any]] = []
    if options.sft_output is not None:
        share = 0.5 if options.sft_share is None else options.sft_share
        to_imitate = completions(pairs, source.imitated, share, options.seed or 0)
        write_rows(options.sft_output, to_imitate)
    _record(options.format, options, place, imported, to_imitate)
    _show(options, source, imported, to_imitate)


def _check(options: ImportOptions) -> None:
    for name in ("output", "sft_output"):
        value = getattr(options, name)
        if value is not None and Path(value).suffix != ".jsonl":
            raise OptionError(f"{name} is {value!r}; give a .jsonl file")
    record = Path(options.output).with_suffix(".import.json")
    written = {"output": options.output, "sft_output": options.sft_output, "the record beside output": record}
    check_outputs({"data": options.data}, written)
    if options.sft_output is None:
        for name in ("sft_share", "seed"):
            if getattr(options, name) is not None:
                raise OptionError(f"{name} has no effect without sft_output: leave it out")
    if options.sft_share is not None and not 0 < options.sft_share <= 1:
        raise OptionError(f"sft_share is {options.sft_share}; it must be in (0, 1]")


def _record(name: str, options: ImportOptions, place: Any, imported: Imported, to_imitate: Sequence[dict[str, Any]]) -> None:
    from softpref.data.files import write_json

    record = {
        "format": name,
        **asdict(place),
        "texts": options.texts,
        "rows": imported.rows,
        "pairs": len(imported.pairs),
        "merged": imported.merged,
        "left_out": imported.left_out,
        "completions": len(to_imitate),
    }
    write_json(Path(options.output).with_suffix(".import.json"), record)


def _show(options: ImportOptions, source: Source, imported: Imported, to_imitate: Sequence[dict[str, Any]]) -> None:
    say(f"{imported.rows} rows, {len(imported.pairs)} pairs: {options.output}")
    if imported.merged:
        say(f"  {imported.merged} votes on a pair that had one already were added to it")
    for reason, count in imported.left_out.items():
        say(f"  left out {count}: {reason}")
    if to_imitate:
        say(f"{len(to_imitate)} completions to imitate: {options.sft_output}")
    if imported.most_votes == 1:
        say("labels: no pair has two votes; give reading.vote_prior (1 is Laplace's rule) or reading.votes mean")
    elif source.after:
        say(f"labels: {source.after}")


def _reasons(imported: Imported) -> str:
    return ", ".join(f"{count}: {reason}" for reason, count in imported.left_out.items()) or "no row"
