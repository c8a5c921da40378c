"""How values and foreign text are written on a page: numbers, intervals, cells, and text whose every character can be seen."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from softpref.core.calibration import Calibrator, Isotonic, Temperature
from softpref.data.pairs import text_of
from softpref.records.figures import Interval

NONE = "–"
# What stands between the ends of an interval: "to" reads well beside a minus sign.
BETWEEN = " to "


@dataclass(frozen=True)
class Cell:
    """What is written, the smaller line below it, and what is sorted by (None: by the text)."""

    text: str
    note: str = ""
    key: float | None = None

    def plain(self) -> str:
        """Both lines in one."""
        return f"{self.text} [{self.note}]" if self.note else self.text


def number(value: Any, form: str = ".3f") -> str:
    """A number, or a dash where there is none. A minus sign is a minus sign."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return NONE
    text = format(value, form)
    if not text.strip("+-0.%"):  # no minus sign before a zero
        text = text.replace("-", "+" if "+" in form else "")
    return text.replace("-", "−")


def percent(value: Any) -> str:
    """0.8634 as 86.3%."""
    return number(value, ".1%")


def p_value(value: Any) -> str:
    """Three decimals; what is smaller is said to be smaller."""
    return "< 0.001" if isinstance(value, int | float) and value < 0.001 else number(value)


def interval(estimate: Interval | None, form: str = ".3f") -> str:
    """``0.863 [0.822, 0.902]`` in one line, without the brackets where there is no interval."""
    cell = _estimate(form)(estimate)
    return f"{cell.text} [{cell.note.replace(BETWEEN, ', ')}]" if cell.note else cell.text


def _scalar(show: Callable[[Any], str]) -> Callable[[Any], Cell]:
    return lambda value: Cell(show(value), key=_key(value))


def _estimate(form: str) -> Callable[[Any], Cell]:
    def show(value: Any) -> Cell:
        if not isinstance(value, Interval):
            return Cell(NONE)
        known = NONE not in (number(value.low), number(value.high))
        note = f"{_bare(value.low, form)}{BETWEEN}{_bare(value.high, form)}" if known else ""
        return Cell(number(value.value, form), note, _key(value.value))

    return show


def _bare(value: Any, form: str) -> str:
    return number(value, form).removesuffix("%")


def _key(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _text(value: Any) -> Cell:
    return Cell(NONE if value is None or value == "" else str(value))


FORMS: dict[str, Callable[[Any], Cell]] = {
    "text": _text,
    "code": _text,
    "plain": _scalar(lambda value: str(value) if isinstance(value, int) else number(value, "g")),
    "count": _scalar(lambda value: number(value, ",d") if isinstance(value, int) else number(value, ",.0f")),
    "number": _scalar(number),
    "number1": _scalar(lambda value: number(value, ".1f")),
    "number2": _scalar(lambda value: number(value, ".2f")),
    "signed": _scalar(lambda value: number(value, "+.3f")),
    "percent": _scalar(percent),
    "p_value": _scalar(p_value),
    "estimate": _estimate(".3f"),
    "estimate2": _estimate(".2f"),
    "estimate_signed": _estimate("+.3f"),
    "estimate_percent": _estimate(".1%"),
}


# --- foreign text ---------------------------------------------------------------------------------------------------------

# Control, format (which turn or hide text), lone surrogates, and separators of lines and paragraphs.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Line ends and tabs, and the joiners that Persian, Indic scripts and emoji are written with.
_KEPT = frozenset("\n\t\u200c\u200d")


def visible(text: str) -> str:
    r"""Characters that would turn, hide or break the text around them, written as ``\u202e``; all others as they are.

    Spaces of every width stay, and so does ordinary text of every script. A line end ``\r\n`` becomes ``\n``.
    """
    return "".join(
        _escaped(c) if c not in _KEPT and unicodedata.category(c) in _UNSEEN else c for c in text.replace("\r\n", "\n")
    )


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


MAX_SHOWN_TEXT = 2000


def shown(text: Any) -> str:
    """A string or messages as plain characters, cut when endless."""
    plain = text_of(text) if isinstance(text, str | list) else str(text)
    return plain if len(plain) <= MAX_SHOWN_TEXT else plain[:MAX_SHOWN_TEXT] + " …"


def page_bytes(text: Any) -> int:
    """What the text takes up in a page."""
    from markupsafe import escape  # comes with jinja2, which numbers on a terminal do not need

    return len(str(escape(visible(shown(text)))).encode("utf-8", "replace"))


# --- a calibration in words -------------------------------------------------------------------------------------------------

SCORES = {"brier": "Brier score", "log_score": "log score, nats", "ece": "ECE, 10 bins"}
PARTS = ("before", "after", "difference")


def parameters(fitted: Calibrator) -> str:
    """What was fitted: ``T = 1.970``, ``12 knots, p from 0.110 to 0.890``, ``slope 0.508, intercept +0.100``."""
    if isinstance(fitted, Temperature):
        return f"T = {fitted.temperature:.3f}"
    if isinstance(fitted, Isotonic):
        lowest = 1 - fitted.values[-1] if fitted.symmetric else fitted.values[0]
        return f"{len(fitted.knots)} knots, p from {lowest:.3f} to {fitted.values[-1]:.3f}"
    return f"slope {fitted.slope:.3f}, intercept {fitted.intercept:+.3f}"
