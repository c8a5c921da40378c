"""Contrast of the palette, by the formula of WCAG 2.2; the formula by values that the standard's own tools give."""

import pytest

from softpref.report.palette import DARK, LIGHT, SERIES, SERIES_DARK, colours_of, contrast

THEMES = {"light": (LIGHT, SERIES), "dark": (DARK, SERIES_DARK)}


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#777777", "#ffffff", 4.48),
        ("#767676", "#ffffff", 4.54),
        ("#ff0000", "#ffffff", 4.0),
    ],
)
def test_contrast_by_known_values(one, other, ratio):
    """#767676 is the lightest grey that reads on white; #777777 is not enough any more."""
    assert contrast(one, other) == pytest.approx(ratio, abs=0.005)
    assert contrast(other, one) == contrast(one, other)


@pytest.mark.parametrize("theme", THEMES)
def test_text_and_series_can_be_read(theme):
    colours, series = THEMES[theme]
    for ground in ("ground", "panel", "alert-ground"):
        for text in ("ink", "soft", "alert"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for colour in (*series, colours["accent"]):
        assert contrast(colour, colours["ground"]) >= 4.5, colour


@pytest.mark.parametrize("theme", THEMES)
def test_the_grid_stays_behind(theme):
    colours, _ = THEMES[theme]
    assert contrast(colours["grid"], colours["ground"]) < 1.5


def test_both_themes_have_the_same_colours():
    assert LIGHT.keys() == DARK.keys()
    assert len(SERIES) == len(SERIES_DARK) == len(set(SERIES)) == len(set(SERIES_DARK))


def test_colours_begin_again():
    names = [str(i) for i in range(11)]
    assert colours_of(names)["0"] == colours_of(names)["9"] == SERIES[0]
    assert len(set(colours_of(names).values())) == 9
