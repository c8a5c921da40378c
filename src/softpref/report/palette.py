"""The colours of a page, light and dark.

Text reaches a contrast of 4.5 (WCAG 2.2, 1.4.3), and so does every series, which may then be labelled in its own colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Colours: TypeAlias = Mapping[str, str]

LIGHT = {
    "ground": "#fcfcfa",
    "panel": "#f3f3ee",
    "ink": "#1b1d22",
    "soft": "#575b64",
    "line": "#dcdcd4",
    "grid": "#e6e6df",
    "accent": "#2b5f9e",
    "alert": "#9c3d10",
    "alert-ground": "#fbf0e8",
}
DARK = {
    "ground": "#15171b",
    "panel": "#1e2127",
    "ink": "#e8e8e4",
    "soft": "#a4a8b0",
    "line": "#353941",
    "grid": "#2a2e35",
    "accent": "#8ab4e8",
    "alert": "#f0ae86",
    "alert-ground": "#2b211b",
}

# One after the other for the runs of a page. The hues follow Okabe and Ito (2008), darkened for text; black is left to the axes.
SERIES = ("#2b5f9e", "#b04a17", "#2b7460", "#7a4a9c", "#7f5f00", "#14707f", "#a63c6b", "#5f5a4c", "#59691a")
SERIES_DARK = ("#8ab4e8", "#eda274", "#7fc8ae", "#c5a3e6", "#d9b65c", "#78c5d4", "#ea9cc0", "#c2b8a4", "#b4c66e")


def colours_of(names: Sequence[str]) -> Colours:
    """One colour per name, the same in every figure of a page; after nine names they begin again, in another dash."""
    return {name: SERIES[place % len(SERIES)] for place, name in enumerate(names)}


def variables(theme: Mapping[str, str], series: Sequence[str]) -> str:
    """The colours as CSS custom properties."""
    named = {**theme, **{f"series-{place}": colour for place, colour in enumerate(series)}}
    return " ".join(f"--{name}: {colour};" for name, colour in named.items())


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two sRGB colours, from 1 to 21 (WCAG 2.2, relative luminance)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
