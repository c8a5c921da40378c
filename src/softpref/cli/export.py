"""The ``softpref export`` command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softpref.cli.options import parse_options, say
from softpref.data.outputs import check_outputs
from softpref.data.read_options import ReadOptions, dropping_identical
from softpref.errors import InputError, OptionError, nearest

if TYPE_CHECKING:
    from softpref.data.exporting import Exported, Target
    from softpref.data.pairs import PairSet

PROG = "softpref export"
ROWS_FILE, CARD_FILE = Path("data") / "train.parquet", "README.md"


@dataclass
class ExportOptions:
    """Write pairs as another trainer reads them: softpref export FILE --to trl --output pairs.jsonl.

    Attributes:
        data: File of pairs, several files, a folder or a name on the Hub.
        to: trl, axolotl, llama-factory, ms-swift, openrlhf or nemo-rl (JSONL), parquet, or hub: a folder with a data card.
        output: The .jsonl or .parquet file to write, or the folder for hub.
        soft_label: Also write soft_label and weight where the target has no place for them and ignores them.
        license: For hub, the licence of the data as the Hub names it.
        source: For hub, the Hub id of the data set that the pairs were made of.
        push: For hub, the name (owner/name) to push the folder to. Nothing is sent without it.
        public: With push, whether everybody may see it; private if not given.
        reading: How the file becomes labelled pairs. Pairs with two identical sides are dropped and counted.
    """

    data: list[str] | str
    to: str
    output: str
    soft_label: bool = False
    license: str | None = None
    source: str | None = None
    push: str | None = None
    public: bool = False
    reading: ReadOptions = field(default_factory=dropping_identical)


def run(argv: Sequence[str]) -> None:
    """Export one data set, and say what it lost."""
    options = parse_options(ExportOptions, PROG, argv)
    from softpref.data.exporting import TARGETS, export_pairs
    from softpref.data.formats import read_pairs

    if options.to not in TARGETS:
        raise OptionError(f"to is {options.to!r}{nearest(options.to, TARGETS)}")
    _check(options)
    target = TARGETS[options.to]
    pairs = read_pairs(options.data, options.reading)
    _check_pairs(pairs, target)
    exported = export_pairs(pairs, target, pairs.name, options.soft_label)
    if not exported.rows:
        raise InputError(f"{pairs.name}: holds ties alone, of which no side is better for {target.name}")
    _write(options, exported.rows, pairs)
    _show(options, exported, target)
    if options.push is not None:
        _push(options)


def _check(options: ExportOptions) -> None:
    for name in ("license", "source", "push"):
        if options.to != "hub" and getattr(options, name) is not None:
            raise OptionError(f"{name} has no effect with --to {options.to}: leave it out")
    if options.public and options.push is None:
        raise OptionError("public has no effect without push: leave it out")
    if options.to in ("hub", "parquet") and options.soft_label:
        raise OptionError(f"soft_label has no effect with --to {options.to}, which always has it: leave it out")
    if options.to == "hub":
        folder = Path(options.output)
        if folder.is_dir() and any(folder.iterdir()):
            raise OptionError(f"output is {options.output!r}, which is not empty; give a new folder")
        check_outputs({"data": options.data}, {"rows": folder / ROWS_FILE}, {"output": folder})
        return
    suffix = ".parquet" if options.to == "parquet" else ".jsonl"
    if Path(options.output).suffix != suffix:
        raise OptionError(f"output is {options.output!r}; give a {suffix} file")
    check_outputs({"data": options.data}, {"output": options.output})


def _check_pairs(pairs: PairSet, target: Target) -> None:
    from softpref.data.exporting import kinds

    if not all(pair.chosen_is_preferred for pair in pairs) and not target.labels:
        raise InputError(f"{pairs.name}: nothing says which response is better; label the pairs first (softpref label)")
    if len(kinds(pairs)) > 1:
        raise InputError(f"{pairs.name}: holds prompts as text and as messages; a column has one type: write all as messages")


def _write(options: ExportOptions, rows: list[dict[str, Any]], pairs: PairSet) -> None:
    if options.to == "parquet":
        write_parquet(Path(options.output), rows)
    elif options.to == "hub":
        from softpref.data.files import atomic_write
        from softpref.report.dataset_card import DatasetCardOptions, dataset_card

        folder = Path(options.output)
        write_parquet(folder / ROWS_FILE, rows)
        title = options.push or folder.name
        with atomic_write(folder / CARD_FILE) as file:
            file.write(dataset_card(pairs, DatasetCardOptions(title, options.license or "other", options.source)))
    else:
        from softpref.data.formats import write_rows

        write_rows(options.output, rows)


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    """Rows as one Parquet file. Raises OptionError without pyarrow, StorageError where the disk refuses."""
    from softpref.data.files import atomic_bytes
    from softpref.extras import how_to_install

    try:
        import pyarrow as pa  # type: ignore[import-untyped]
        from pyarrow import parquet
    except ImportError:
        raise OptionError(f"{path}: {how_to_install('pyarrow')}") from None
    with atomic_bytes(path) as file:
        parquet.write_table(pa.Table.from_pylist(rows), file)


def _show(options: ExportOptions, exported: Exported, target: Target) -> None:
    say(f"{len(exported.rows)} pairs for {target.name}: {options.output}")
    if exported.ties:
        say(f"  left out {exported.ties} ties: {target.name} needs a better side")
    for name, count in exported.without_place.items():
        lost = " and takes every label as certain" if name == "soft_label" else ""
        say(f"  {target.name} has no place for {name} ({count} pairs){lost}")
    if options.soft_label:
        say(f"  soft_label and weight stand in the file, and {target.name} ignores them")
    say(f"read it with: {target.how.replace('FILE', options.output).replace('FOLDER', options.output)}")


def _push(options: ExportOptions) -> None:
    """The folder as a data set on the Hub, private unless said otherwise."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    name = str(options.push)
    try:
        api = HfApi()
        api.create_repo(name, repo_type="dataset", private=not options.public, exist_ok=True)
        api.upload_folder(repo_id=name, repo_type="dataset", folder_path=options.output)
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError, ValueError) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"{name}: cannot be pushed ({first}); the folder {options.output} is whole") from error
    say(f"pushed: https://huggingface.co/datasets/{name}")
