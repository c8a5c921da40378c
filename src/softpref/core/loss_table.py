"""The table of losses, read from the code: what ``softpref losses`` prints and ``docs/losses.md`` holds."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass

from softpref.core.base_losses import FILLED_IN, LOSSES, BaseLoss
from softpref.core.names import ALIASES, OWN
from softpref.core.treatments import treatments_of

_FORMULA = re.compile(r"``(.+?)``(.*)", re.DOTALL)
_PAPER = re.compile(r"\b\d{4}\.\d{5}\b(?:,? (?:eqs?\. \d+(?:\.\d+)?(?: and \d+)?|§\d+))?")


@dataclass(frozen=True)
class LossRow:
    """One base loss as a row of text: every field is what a person reads."""

    name: str
    formula: str
    arguments: str
    needs: str
    treatments: str
    source: str
    also: str


def loss_rows() -> list[LossRow]:
    """One row for every base loss, in the order of ``LOSSES``."""
    return [_row(name, base) for name, base in LOSSES.items()]


def _row(name: str, base: BaseLoss) -> LossRow:
    document = inspect.getdoc(base.function) or ""
    stated = _FORMULA.search(document)
    formula, about = (stated[1], stated[2]) if stated else ("", "")
    terms, comma, where = formula.partition(", ")
    formula = f"{terms} + {base.sft_weight:g}·NLL(y1){comma}{where}" if base.sft_weight else formula
    return LossRow(
        name,
        " ".join(formula.split()),
        _arguments(base),
        _needs(base),
        _treatments(name, base),
        "; ".join(_PAPER.findall(about)),
        ", ".join(f"{alias} ({own})" if own else alias for alias, (of, own) in ALIASES.items() if of == name),
    )


def _arguments(base: BaseLoss) -> str:
    own = [
        f"{p.name}={p.default:g}"
        for p in inspect.signature(base.function).parameters.values()
        if p.kind is p.KEYWORD_ONLY and p.name not in FILLED_IN and p.name != "beta"
    ]
    beta = [f"beta={base.beta:g}"] if "beta" in base.parameters else []
    sft_weight = [f"sft_weight={base.sft_weight:g}"] if base.sft_weight else []
    return ", ".join(beta + own + sft_weight)


def _needs(base: BaseLoss) -> str:
    needs = [
        ("reference", base.needs_reference),
        ("lengths", base.reduction == "mean" or base.sft_weight > 0),
        ("p", base.reads_label),
        ("P(tie)", base.reads_tie),
    ]
    return ", ".join(what for what, needed in needs if needed)


def _treatments(name: str, base: BaseLoss) -> str:
    treatments = treatments_of(name)
    if treatments == (OWN,):
        return "reads p itself"
    return ", ".join(one + ("*" if one == "conservative" and base.conservative else "") for one in treatments)
