"""The ``softpref inspect`` command."""

from __future__ import annotations

import shlex
import statistics
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text as Styled

from softpref.cli.histogram import histogram_lines
from softpref.cli.options import parse_options, say
from softpref.data.formats import read_training_rows
from softpref.data.inspection import LENGTH_QUANTILES, Inspection, inspect_pairs
from softpref.data.outputs import check_outputs
from softpref.data.pairs import Completion, PairSet, PreferencePair, text_of
from softpref.data.places import data_name, read_place
from softpref.data.proposals import proposal
from softpref.data.read_options import ReadOptions, dropping_identical
from softpref.errors import DataError, InputError, OptionError, printable

STYLES = {"prompt": "dim", "chosen": "green", "rejected": "red", "completion": "green"}
SHOWN_ROWS = 5
PAGE_ONLY = ("annotators", "orders", "gold", "gold_first", "gold_second")


@dataclass
class InspectOptions:
    """Show what a file of pairs, or of prompt + completion rows, holds, before anything is spent on it.

    Attributes:
        data: File of rows: .jsonl, .json, .csv, .tsv or .parquet; all but the last also as .gz. Or several files, a folder, or a
            name on the Hub, org/name:split.
        model: Folder or Hub name of a model; its tokenizer then shows one row as tokens.
        row: Which row to show as tokens, counted from 1 as in the file; the first kept one if not given.
        max_length: Tokens of prompt and one response, as in train.
        html: HTML file for a page about the pairs: agreement, labels, position, lengths, and which pairs are unsure.
        annotators: Columns or paths (meta.judges) that hold opinions: P(first side preferred), counts [first, second] or
            [first, neither, second], or a mapping of those by name. For the page.
        orders: Column or path that holds counts by presentation order, {original: [first, second], swapped: [first, second]}, for
            the file's first side; without it the label's own two orders are used. For the page.
        gold: Column or path of a label that is trusted: the soft labels are held against it. For the page.
        gold_first: The value of gold that says that the first side is better; without it, gold is a number in [0, 1].
        gold_second: The value of gold that says that the second side is better.
        reading: How the file becomes labelled pairs. Pairs with two identical sides are dropped, counted and named here.
    """

    data: list[str] | str
    model: str | None = None
    row: int | None = None
    max_length: int | None = 1024
    html: str | None = None
    annotators: list[str] = field(default_factory=list)
    orders: str | None = None
    gold: str | None = None
    gold_first: str | None = None
    gold_second: str | None = None
    reading: ReadOptions = field(default_factory=dropping_identical)


def run(argv: Sequence[str]) -> None:
    """Print the inspection of one file."""
    options = parse_options(InspectOptions, "softpref inspect", argv)
    if options.row is not None and options.model is None:
        raise OptionError("row has no effect without model: give the model whose tokens to show")
    _check_page(options)
    # file names and rows are not markup, and :smile: in them is no emoji
    console = Console(highlight=False, emoji=False, soft_wrap=True)
    rows = _read(options)
    if isinstance(rows, PairSet):
        found, dropped = inspect_pairs(rows), rows.identical_rows
        show(found, rows, dropped, console)
        write_page(found, rows, len(dropped), options)
    elif options.html is not None:
        raise OptionError(f"html is about pairs, and {data_name(options.data)} holds completions: leave it out")
    else:
        show_completions(data_name(options.data), rows, console)
    if options.model is not None:
        refused = show_training(rows, options, console)
        if options.row is not None or len(refused) < len(rows):
            show_tokens(rows, refused, options, console)


def _read(options: InspectOptions) -> PairSet | list[Completion]:
    """The rows; where they are not of a form that is read, the error says what they look like."""
    reading = _with_notes(options)
    try:
        return read_training_rows(options.data, reading)
    except DataError as error:
        rows, _ = read_place(options.data, reading)
        hint = None if options.reading.columns else proposal([row for _, row in rows])
        if hint is None:
            raise
        raise InputError(f"{error}\n{hint.replace('FILE', ' '.join(map(shlex.quote, _given(options.data))))}") from None


def _given(data: list[str] | str) -> list[str]:
    return [data] if isinstance(data, str) else data


def _with_notes(options: InspectOptions) -> ReadOptions:
    """Columns that the page reads are no label that was overlooked."""
    return options.reading.noting(*options.annotators, options.orders, options.gold)


def _check_page(options: InspectOptions) -> None:
    """Before the file is read."""
    if options.html is None:
        for name in PAGE_ONLY:
            if getattr(options, name):
                raise OptionError(f"{name} has no effect without html: give the HTML file to write")
        return
    if options.gold is None and (options.gold_first or options.gold_second):
        raise OptionError("gold_first and gold_second have no effect without gold: name its column")
    if Path(options.html).suffix != ".html" or Path(options.html).is_dir():
        raise OptionError(f"html is {options.html!r}; give a .html file")
    check_outputs({"data": options.data}, {"html": options.html})


def write_page(found: Inspection, pairs: PairSet, dropped: int, options: InspectOptions) -> None:
    """The same and more as a page, where one is asked for."""
    if options.html is None:
        return
    from softpref.evaluation.judge_calibration import GoldOptions
    from softpref.report.data_report import Columns, data_report
    from softpref.report.page import write_page as write

    gold = None if options.gold is None else GoldOptions(options.gold, options.gold_first, options.gold_second)
    document = data_report(pairs, found, dropped, Columns(options.annotators, options.orders, gold))
    say(f"page: {write(document, options.html)}")


def show(found: Inspection, pairs: PairSet, dropped: Sequence[int], console: Console) -> None:
    """Print the description of a data set of pairs, ``dropped`` being its rows with two identical sides."""
    console.print(f"[bold]{escape(printable(found.name))}[/bold]: {found.pairs} pairs, {found.prompts} prompts")
    if dropped:
        console.print(f"dropped: {len(dropped)} pairs with two identical sides ({_rows(dropped)})")
    _show_labels(found, pairs, console)
    _show_votes(pairs, console)
    _show_lengths(found.lengths, console)
    if found.longer_is_chosen is not None:
        console.print(f"the longer side is the preferred one in {found.longer_is_chosen:.0%} of pairs with unequal lengths")
    for odd in found.odd:
        _show_odd(odd.what, odd.count, odd.rows, console)


def show_completions(name: str, rows: Sequence[Completion], console: Console) -> None:
    """Print the description of a data set for ``loss_type sft``."""
    texts = [(text_of(row.prompt), text_of(row.completion)) for row in rows]
    console.print(
        f"[bold]{escape(printable(name))}[/bold]: {len(rows)} prompt + completion rows, {len({p for p, _ in texts})} prompts"
    )
    words = zip(("prompt", "completion"), zip(*texts, strict=True), strict=False)
    _show_lengths({side: _quantiles([len(text.split()) for text in column]) for side, column in words}, console)
    seen = Counter(texts)
    odd: dict[str, Callable[[tuple[str, str], Completion], bool]] = {
        "empty prompt": lambda text, _: not text[0].strip(),
        "empty completion": lambda text, _: not text[1].strip(),
        "the same row more than once": lambda text, _: seen[text] > 1,
        "weight 0: teaches nothing": lambda _, row: row.weight == 0,
        "the replacement character \ufffd (text was decoded wrongly)": lambda text, _: "\ufffd" in "".join(text),
    }
    for what, holds in odd.items():
        found = [row.row for text, row in zip(texts, rows, strict=True) if holds(text, row)]
        if found:
            _show_odd(what, len(found), found, console)


def _show_labels(found: Inspection, pairs: PairSet, console: Console) -> None:
    reading = pairs.reading
    for note in reading.notes:
        console.print(escape(printable(note)))
    if reading.merged:
        console.print(f"{reading.rows} rows; {reading.merged} were put together with another row of the same pair")
    if reading.both_bad or reading.both_bad_dropped:
        fate = f"{reading.both_bad_dropped} rows dropped" if reading.both_bad_dropped else "counted as ties"
        console.print(f"both bad: {reading.both_bad + reading.both_bad_dropped} verdicts, {fate}")
    if not pairs.labelled:
        hard = all(pair.chosen_is_preferred for pair in pairs)
        console.print(f"no soft labels: label the pairs{', or train with label_treatment hard' if hard else ''}")
        return
    for doubt in reading.doubts:
        console.print(f"[yellow]warning[/yellow]: {escape(doubt)}")
    how = {"given": "given in the file", "votes": "from votes", "rewards": "from rewards"}[reading.label_method or "given"]
    if reading.vote_prior is not None:
        how += f" through a Beta({reading.vote_prior:.2f}, {reading.vote_prior:.2f}) prior"
    console.print(
        f"soft labels {how}; mean |2p − 1| = {found.labels['effective_weight']:.3f}; {reading.ties} ties; "
        f"{reading.swapped} pairs had their sides exchanged to bring p to at least 0.5"
    )
    for line in histogram_lines(found.labels["histogram"]):
        console.print(escape(line))


def _show_votes(pairs: Sequence[PreferencePair], console: Console) -> None:
    """How many people voted, and how often all of them alike: what a soft label from votes rests on."""
    votes = [counts for pair in pairs if (counts := _votes(pair.label_source))]
    if not votes:
        return
    totals = [sum(counts) for counts in votes]
    of = "" if len(votes) == len(pairs) else f" on {len(votes)} of the pairs"
    console.print(f"votes{of}: mean {statistics.fmean(totals):.2f} per pair, from {min(totals):g} to {max(totals):g}")
    several = [counts for counts in votes if sum(counts) > 1]
    if several:
        share = statistics.fmean(max(counts) == sum(counts) for counts in several)
        console.print(f"unanimous: {share:.1%} of the {len(several)} pairs with two votes or more")


def _votes(source: Mapping[str, object]) -> list[float]:
    """The counts for the first side, the second, and a tie; none where the label is not from votes."""
    counts = source.get("votes")
    if not isinstance(counts, list) or not all(isinstance(n, int | float) for n in counts):
        return []
    return counts if sum(counts) > 0 else []


def _show_lengths(lengths: Mapping[str, Sequence[float]], console: Console) -> None:
    table = Table("words", *(f"{q:.0%}" for q in LENGTH_QUANTILES), box=None)
    for side, quantiles in lengths.items():
        table.add_row(side, *(f"{q:g}" for q in quantiles))
    console.print(table)


def _quantiles(counts: Sequence[int]) -> list[float]:
    ordered = sorted(counts)
    return [float(ordered[round(q * (len(ordered) - 1))]) for q in LENGTH_QUANTILES]


def _show_odd(what: str, count: int, rows: Sequence[int], console: Console) -> None:
    console.print(f"[yellow]{escape(what)}[/yellow]: {count} ({_rows(rows, count)})")


def _rows(rows: Sequence[int], count: int | None = None) -> str:
    shown = ", ".join(map(str, rows[:SHOWN_ROWS]))
    return f"rows {shown}, …" if (count or len(rows)) > SHOWN_ROWS else f"rows {shown}"


# What a refused row's fault names as an option is the option that lets it through.
_LETS_THROUGH = {
    "boundary: common": "--boundary common",
    "boundary: drop": "--boundary drop",
    "special_tokens: text": "--special_tokens text",
}


def show_training(rows: Sequence[PreferencePair | Completion], options: InspectOptions, console: Console) -> set[int]:
    """Print what training would make of the rows with this model's tokenizer, and the command that trains; the refused rows."""
    from softpref.data.token_notes import token_notes
    from softpref.data.tokenization import TokenOptions, tokens_and_faults
    from softpref.loading.models import load_tokenizer

    tokenizer = load_tokenizer(str(options.model))
    pairs = isinstance(rows, PairSet)
    tokens, faults = tokens_and_faults(
        rows, tokenizer, TokenOptions(options.max_length), name=data_name(options.data), with_rejected=pairs
    )
    counts, refused = tokens.counts, {fault.row for fault in faults}
    console.print(
        f"\nwith this tokenizer {counts.kept} rows train; left out: {counts.too_long} longer than max_length "
        f"{options.max_length}, {counts.identical} whose sides are the same tokens; refused: {len(refused)}"
    )
    kinds: dict[tuple[str, str, str], list[int]] = {}
    for fault in faults:
        kinds.setdefault((fault.field, fault.problem, fault.mend), []).append(fault.row)
    for (field_, problem, mend), numbers in kinds.items():
        _show_odd(f"refused, {field_}: {problem}; {mend}", len(numbers), numbers, console)
    for note in token_notes(rows, counts, tokenizer):
        console.print(f"[yellow]note[/yellow]: {escape(note)}")
    _show_command(rows, [mend for _, _, mend in kinds], counts.kept, options, console)
    return refused


def _show_command(
    rows: Sequence[PreferencePair | Completion], mends: Sequence[str], kept: int, options: InspectOptions, console: Console
) -> None:
    lets = [next((option for name, option in _LETS_THROUGH.items() if name in mend), None) for mend in mends]
    if None in lets:
        console.print("no option of train takes all these rows: mend those that are refused first")
        return
    if not kept and not lets:
        console.print("no row would train: give a larger max_length")
        return
    needed = {option.split()[0]: option for option in reversed(lets) if option}
    command = [
        "softpref train",
        f"--model {shlex.quote(str(options.model))}",
        f"--data {' '.join(map(shlex.quote, _given(options.data)))}",
    ]
    command += ["--output_dir run", *_labels_asked(rows), *_reading_asked(options.reading), *needed.values()]
    if options.max_length != InspectOptions.max_length:
        command.append(f"--max_length {'null' if options.max_length is None else options.max_length}")
    console.print(escape(f"to train: {' '.join(command)}"))


def _reading_asked(reading: ReadOptions) -> list[str]:
    """The options by which the file was read here, but for identical sides, which training refuses otherwise."""
    words = []
    for option in fields(ReadOptions):
        value = getattr(reading, option.name)
        if option.name == "identical" or value == getattr(ReadOptions(), option.name):
            continue
        if isinstance(value, dict):
            words += [f"--reading.{option.name}.{key} {shlex.quote(str(one))}" for key, one in value.items()]
        else:
            text = ",".join(value) if isinstance(value, list) else str(value)
            words.append(f"--reading.{option.name} {shlex.quote(text)}")
    return words


def _labels_asked(rows: Sequence[PreferencePair | Completion]) -> list[str]:
    if not isinstance(rows, PairSet):
        return ["--loss_type sft"]
    dropped = ["--reading.identical drop"] if rows.reading.identical_dropped else []
    return dropped if rows.labelled else [*dropped, "--loss_type dpo", "--label_treatment hard"]


def show_tokens(
    rows: Sequence[PreferencePair | Completion], refused: Container[int], options: InspectOptions, console: Console
) -> None:
    """Print one row as coloured tokens: the prompt, and what is trained on, each token apart."""
    from softpref.data.tokenization import TokenOptions, tokenize_pairs
    from softpref.loading.models import load_tokenizer

    wanted = [row for row in rows if row.row == options.row or (options.row is None and row.row not in refused)][:1]
    if not wanted or options.model is None:
        raise OptionError(f"{data_name(options.data)} has no pair in row {options.row}")
    pairs = isinstance(wanted[0], PreferencePair)
    tokenizer, limits = load_tokenizer(options.model), TokenOptions(None, identical="keep")
    [tokens] = tokenize_pairs(wanted, tokenizer, limits, name=data_name(options.data), with_rejected=pairs)
    label = "" if tokens.soft_label is None else f", p = {tokens.soft_label:.3f}"
    what = "[green]chosen[/green] and [red]rejected[/red], each" if pairs else "[green]completion[/green],"
    console.print(f"\nrow {tokens.row}{label}; trained on: {what} after the prompt")
    sides = {"prompt": tokens.prompt, "chosen": tokens.chosen, "rejected": tokens.rejected}
    if not pairs:
        sides = {"prompt": tokens.prompt, "completion": tokens.chosen}
    for side, ids in sides.items():
        console.print(Styled(f"{side} ({len(ids)} tokens): ", style="bold"), _coloured(tokenizer, ids, STYLES[side]))


def _coloured(tokenizer: Any, ids: list[int], style: str) -> Styled:
    """Tokens in alternating shades, so that their borders show; control characters are made visible."""
    text = Styled()
    for place, token in enumerate(ids):
        piece = tokenizer.decode([token])
        visible = "".join(c if c.isprintable() else repr(c)[1:-1] for c in piece)
        text.append(visible, style=f"{style} reverse" if place % 2 else style)
        if not visible.startswith(" ") and not visible.endswith(" "):
            text.append("·", style="dim")
    return text
