"""The ``softpref inspect`` command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text as Styled

from softpref.cli.options import parse_options
from softpref.data.formats import read_pairs
from softpref.data.inspection import LABEL_BINS, LENGTH_QUANTILES, Inspection, inspect_pairs
from softpref.data.pairs import PairSet
from softpref.data.read_options import ReadOptions
from softpref.errors import OptionError

BAR = 40
STYLES = {"prompt": "dim", "chosen": "green", "rejected": "red"}


@dataclass
class InspectOptions:
    """Show what a file of pairs holds, before anything is spent on it.

    Attributes:
        data: JSONL or CSV file of pairs.
        model: Folder or Hub name of a model; its tokenizer then shows one row as tokens.
        row: Which row to show as tokens, counted from 1 as in the file; the first kept one if not given.
        max_length: Tokens of prompt and one response, for the token view.
        reading: How the file becomes labelled pairs.
    """

    data: str
    model: str | None = None
    row: int | None = None
    max_length: int | None = 1024
    reading: ReadOptions = field(default_factory=ReadOptions)


def run(argv: Sequence[str]) -> None:
    """Print the inspection of one file."""
    options = parse_options(InspectOptions, "softpref inspect", argv)
    if options.row is not None and options.model is None:
        raise OptionError("row has no effect without model: give the model whose tokens to show")
    console = Console(highlight=False)
    pairs = read_pairs(options.data, options.reading)
    show(inspect_pairs(pairs), pairs, console)
    if options.model is not None:
        show_tokens(pairs, options.model, options.row, options.max_length, console)


def show(found: Inspection, pairs: PairSet, console: Console) -> None:
    """Print the description of a data set."""
    reading = pairs.reading
    console.print(f"[bold]{found.name}[/bold]: {found.pairs} pairs, {found.prompts} prompts")
    if reading.identical_dropped:
        console.print(f"dropped: {reading.identical_dropped} pairs with two identical sides")
    _show_labels(found, pairs, console)
    table = Table("words", *(f"{q:.0%}" for q in LENGTH_QUANTILES), box=None)
    for side, quantiles in found.lengths.items():
        table.add_row(side, *(f"{q:g}" for q in quantiles))
    console.print(table)
    if found.longer_is_chosen is not None:
        console.print(
            f"the longer side is the preferred one in {found.longer_is_chosen:.0%} of pairs with unequal lengths"
        )
    for odd in found.odd:
        rows = ", ".join(map(str, odd.rows)) + (", …" if odd.count > len(odd.rows) else "")
        console.print(f"[yellow]{odd.what}[/yellow]: {odd.count} (rows {rows})")


def _show_labels(found: Inspection, pairs: PairSet, console: Console) -> None:
    reading, histogram = pairs.reading, found.labels["histogram"]
    if not pairs.labelled:
        console.print("no soft labels: label the pairs, or train with label_treatment hard")
        return
    how = {"given": "given in the file", "votes": "from votes", "rewards": "from rewards"}[
        reading.label_method or "given"
    ]
    if reading.vote_prior is not None:
        how += f" through a Beta({reading.vote_prior:.2f}, {reading.vote_prior:.2f}) prior"
    console.print(
        f"soft labels {how}; mean |2p − 1| = {found.labels['effective_weight']:.3f}; {reading.ties} ties; "
        f"{reading.swapped} pairs had their sides exchanged to bring p to at least 0.5"
    )
    width = max(histogram)
    for i in range(LABEL_BINS // 2, LABEL_BINS):
        bar = "█" * round(BAR * histogram[i] / width)
        close = "]" if i == LABEL_BINS - 1 else ")"
        console.print(f"  \\[{i / LABEL_BINS:.2f}, {(i + 1) / LABEL_BINS:.2f}{close} {histogram[i]:>7} {bar}")


def show_tokens(pairs: PairSet, model: str, row: int | None, max_length: int | None, console: Console) -> None:
    """Print one row as coloured tokens: the prompt, and what is trained on, each token apart."""
    from softpref.data.tokenization import TokenOptions, tokenize_pairs
    from softpref.scoring.models import load_tokenizer

    wanted = [pair for pair in pairs if row is None or pair.row == row][:1]
    if not wanted:
        raise OptionError(f"{pairs.name} has no pair in row {row}")
    tokenizer = load_tokenizer(model)
    [tokens] = tokenize_pairs(wanted, tokenizer, TokenOptions(max_length), name=pairs.name)
    label = "" if tokens.soft_label is None else f", p = {tokens.soft_label:.3f}"
    console.print(
        f"\nrow {tokens.row}{label}; trained on: [green]chosen[/green] and [red]rejected[/red], each after the prompt"
    )
    for side in ("prompt", "chosen", "rejected"):
        ids = getattr(tokens, side)
        console.print(Styled(f"{side} ({len(ids)} tokens): ", style="bold"), _coloured(tokenizer, ids, STYLES[side]))


def _coloured(tokenizer: object, ids: list[int], style: str) -> Styled:
    """Tokens in alternating shades, so that their borders show; control characters are made visible."""
    text = Styled()
    for place, token in enumerate(ids):
        piece = tokenizer.decode([token])  # type: ignore[attr-defined]
        visible = "".join(c if c.isprintable() else repr(c)[1:-1] for c in piece)
        text.append(visible, style=f"{style} reverse" if place % 2 else style)
        if not visible.startswith(" ") and not visible.endswith(" "):
            text.append("·", style="dim")
    return text
