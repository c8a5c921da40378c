"""The pages in headless Chromium: nothing is asked for, nothing is said on the console, and everything can be used."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from run_folders import RUN, comparison, evaluation, training, write_full, write_run
from softpref.data.formats import read_pairs
from softpref.data.inspection import inspect_pairs
from softpref.report.data_report import Columns, data_report
from softpref.report.page import write_page, write_report

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")

TAKE = "document.title = 'taken'"
HOSTILE = f'<script>{TAKE}</script><img src=http://evil.example/x onerror="{TAKE}">\u202e\ud83d'
LONG = "x" * 1_000_000
PHONE = {"width": 390, "height": 844}
WIDE = {"width": 1200, "height": 900}


@pytest.fixture(scope="module")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def report(place):
    """Three runs with everything; twenty prompts, whose labels run from 0 to 0.95 and differ by 0 to 0.04 between the runs."""

    def comparisons(run):
        return [comparison(min(1.0, i / 20 + 0.02 * run), f"prompt {i}", f"answer {i} of run {run}") for i in range(20)]

    return write_report(write_full(place / "runs", comparisons), place / "report.html", "Three losses")


@pytest.fixture(scope="module")
def hostile(place):
    """Script, half characters, marks that turn text, and a line of a megabyte, in every place that holds foreign text."""
    folder = write_run(
        place / "hostile",
        {**RUN, "command": HOSTILE + LONG},
        training(),
        {"greedy": evaluation(against=HOSTILE, judge="judge " + LONG)},
    )
    with (folder / "evaluations" / "greedy" / "comparisons.jsonl").open("w") as file:
        for text in (HOSTILE, LONG, "a b " * 1000):
            file.write(json.dumps(comparison(0.9, text, text, text)) + "\n")
    return write_report([folder], place / "hostile.html", HOSTILE)


@pytest.fixture(scope="module")
def labelled(place):
    """A labelled set with two judges of hostile names, both orders, a gold label, script in a prompt and an endless response."""
    names, script = (f"<script>{TAKE}</script>", "second\u202e"), HOSTILE.removesuffix("\ud83d")
    rows = [
        {
            "prompt": script if i == 0 else f"make tea {i % 5}",
            "response_1": LONG if i == 1 else "boil the water " * (1 + i % 3),
            "response_2": f"wait {i}",
            "soft_label": (i % 10) / 10,
            "label_source": {"method": "judge", "first_shown": 0.7, "second_shown": (i % 7) / 7},
            "judges": {name: [i % 3, 1 + i % (2 + k)] for k, name in enumerate(names)},
            "gold": float(i % 2),
        }
        for i in range(40)
    ]
    (place / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = read_pairs(place / "pairs.jsonl")
    from softpref.evaluation.judge_calibration import GoldOptions

    document = data_report(pairs, inspect_pairs(pairs), columns=Columns(["judges"], gold=GoldOptions("gold")))
    return write_page(document, place / "pairs.html")


class Opened:
    """A page in a browser, and what it asked for and said."""

    def __init__(self, browser, file, **context):
        self.context = browser.new_context(**{"viewport": WIDE, **context})
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.asked, self.said = [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(file.as_uri())

    def column(self, table, name):
        """The first lines of the cells of one column, as they stand."""
        head = table.locator("thead th").all_inner_texts()
        place = next(i for i, text in enumerate(head) if text.strip() == name)
        return [row.locator("th, td").nth(place).inner_text().split("\n")[0] for row in table.locator("tbody tr").all()]


@pytest.fixture
def opened(chromium):
    """Opens a page; everything is closed at the end."""
    found = []

    def of(file, **context):
        found.append(Opened(chromium, file, **context))
        return found[-1]

    yield of
    for one in found:
        one.context.close()


@pytest.mark.parametrize("size", [PHONE, WIDE], ids=["phone", "wide"])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("which", ["report", "hostile", "labelled"])
def test_a_page_opens_in_silence_and_fits(opened, request, which, theme, size):
    """No request but for itself, nothing on the console, no script of others, no scrolling sideways."""
    file = request.getfixturevalue(which)
    assert file.stat().st_size < 1_000_000
    one = opened(file, color_scheme=theme, viewport=size)
    one.page.evaluate("document.querySelectorAll('details').forEach((node) => { node.open = true; })")
    assert one.asked == [file.as_uri()]
    assert one.said == []
    assert one.page.title() != "taken"
    assert one.page.evaluate("document.documentElement.scrollWidth") <= size["width"]


# In the page: the contrast of every text with what lies below it, colours as Chromium computes them.
CONTRAST = """() => {
  const parse = (text) => {
    const [, kind, inside] = text.match(/^(rgba?|color)\\((.*)\\)$/);
    const numbers = inside.replace("srgb", "").split(/[\\s,\\/]+/).filter(Boolean).map(Number);
    const scale = kind === "color" ? 255 : 1;
    return [...numbers.slice(0, 3).map((x) => x * scale), numbers.length > 3 ? numbers[3] : 1];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const ground = (node) => {
    const own = node ? parse(getComputedStyle(node).backgroundColor) : [255, 255, 255, 1];
    return own[3] === 1 || !node ? own : over(own, ground(node.parentElement));
  };
  const luminance = (colour) => {
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = colour.slice(0, 3).map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const node of document.querySelectorAll("body *")) {
    const text = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    const style = getComputedStyle(node);
    if (!text || !node.getClientRects().length || style.visibility === "hidden" || node.tagName === "SCRIPT") continue;
    const below = ground(node);
    const colour = node instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [luminance(over(parse(colour), below)), luminance(below)].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), node.tagName, node.textContent.slice(0, 40)]);
  }
  return found;
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("which", ["report", "labelled"])
def test_every_text_can_be_read(opened, request, which, theme):
    """WCAG 2.2, 1.4.3: at least 4.5, in tables, tinted cells, figures and controls."""
    one = opened(request.getfixturevalue(which), color_scheme=theme)
    one.page.evaluate("document.querySelectorAll('details').forEach((node) => { node.open = true; })")
    found = one.page.evaluate(CONTRAST)
    assert len(found) > 200
    assert [text for text in found if text[0] < 4.5] == []


@pytest.mark.parametrize("which", ["report", "labelled"])
def test_what_can_be_used_has_a_name(opened, request, which):
    one = opened(request.getfixturevalue(which))
    nameless = one.page.evaluate(
        """() => [...document.querySelectorAll("a, button, input, select, summary, svg, [role=region]")].filter((node) =>
             !(node.getAttribute("aria-label") || node.textContent.trim() || node.closest("label")?.textContent.trim()))
             .map((node) => node.outerHTML)"""
    )
    assert nameless == []
    headings = one.page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((node) => +node.tagName[1])")
    assert headings[0] == 1
    assert headings.count(1) == 1


def test_a_table_is_sorted_by_the_mouse_and_by_the_keyboard(opened, report):
    one = opened(report)
    table = one.page.locator("#results-greedy table.data").last
    assert one.column(table, "percentage") == ["60.0%", "65.0%", "70.0%"]
    head = table.get_by_role("button", name="percentage", exact=True)
    head.click()
    head.click()
    assert one.column(table, "percentage") == ["70.0%", "65.0%", "60.0%"]
    assert one.column(table, "run") == ["gdpo", "cdpo", "dpo"]
    assert table.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
    table.get_by_role("button", name="run", exact=True).focus()
    one.page.keyboard.press("Enter")
    assert one.column(table, "run") == ["cdpo", "dpo", "gdpo"]
    assert table.locator("th[aria-sort]").count() == 1


def test_what_has_no_number_is_sorted_last(opened, report):
    one = opened(report)
    table = one.page.locator("#lengths table.data").last
    for _ in range(2):
        table.get_by_role("button", name="at equal length", exact=True).click()
        assert one.column(table, "responses of")[-1] == "sft"


def shown(one):
    return [float(node.get_attribute("data-p")) for node in one.page.locator(".example:visible").all()]


def test_examples_are_filtered_and_sorted(opened, report):
    """Mean labels are i/20 + 0.02, and 1 where i is 19 (0.95, 0.97 and 0.99: mean 0.97)."""
    one = opened(report)
    assert one.page.locator("output").inner_text() == "20 examples"
    assert len(shown(one)) == 12
    one.page.get_by_role("button", name="Show 8 more").click()
    assert len(shown(one)) == 20
    one.page.get_by_role("combobox", name="Order").select_option("low")
    assert shown(one) == pytest.approx([i / 20 + 0.02 for i in range(20)])
    one.page.get_by_role("combobox", name="Order").select_option("unsure")
    assert shown(one)[:3] == pytest.approx([0.52, 0.47, 0.57])
    one.page.get_by_role("combobox", name="Label").select_option("low")
    assert sorted(shown(one)) == pytest.approx([i / 20 + 0.02 for i in range(9)])
    one.page.get_by_role("searchbox", name="Find").fill("PROMPT 3")
    assert shown(one) == pytest.approx([0.17])
    assert one.page.locator("output").inner_text() == "1 example"
    one.page.get_by_role("checkbox", name="the runs differ").check()
    assert shown(one) == []


def test_examples_on_which_the_orders_disagree_are_found(opened, labelled):
    """first_shown is 0.7: the orders disagree where second_shown is above ½ too, (i mod 7)/7 of 4, 5 and 6: 16 of 40 rows."""
    one = opened(labelled)
    one.page.get_by_role("checkbox", name="the two orders disagree").check()
    assert one.page.locator("output").inner_text() == "16 examples"


def test_an_example_opens_by_the_keyboard(opened, report):
    one = opened(report)
    first = one.page.locator(".example").first
    first.locator("summary").focus()
    one.page.keyboard.press("Enter")
    assert first.locator("pre").first.is_visible()


def downloaded(one, label):
    with one.page.expect_download() as download:
        one.page.get_by_label(label, exact=True).first.click()
    return download.value


def rows_of(one, label):
    return list(csv.DictReader(io.StringIO(Path(downloaded(one, label).path()).read_text(encoding="utf-8"))))


def test_the_numbers_behind_a_figure_are_those_of_the_files(opened, report, place):
    one, parts = opened(report), ("value", "low", "high")
    rows = rows_of(one, "Win rates, greedy, against sft as CSV")
    assert [row["run"] for row in rows] == ["dpo", "cdpo", "gdpo"]
    for row in rows:
        file = place / "runs" / row["run"] / "evaluations" / "greedy" / "evaluation.json"
        rate = json.loads(file.read_text())["win_rates"]["percentage"]
        assert [float(row[f"percentage_{part}"]) for part in parts] == [rate[part] for part in parts]
    drift = json.loads((place / "runs" / "gdpo" / "over_optimisation.json").read_text())["over_training"]
    rows = [row for row in rows_of(one, "Margin: chosen less rejected along training as CSV") if row["run"] == "gdpo"]
    assert [(float(row["step"]), float(row["margin"])) for row in rows] == [(p["step"], p["margin"]) for p in drift]
    histogram = rows_of(one, "Soft labels of pairs.jsonl as CSV")
    assert [int(row["pairs"]) for row in histogram] == RUN["data"]["labels"]["histogram"][10:]


def test_a_figure_is_a_file_of_its_own(opened, report):
    one = opened(report)
    download = downloaded(one, "Win rates, greedy, against sft as SVG")
    assert download.suggested_filename == "forest-percentage-greedy.svg"
    text = Path(download.path()).read_text(encoding="utf-8")
    assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314
    assert "var(--" not in text
    assert "currentColor" not in text


def test_a_figure_is_drawn_where_its_numbers_are(opened, report):
    """60, 65 and 70%, 30 points apart in a figure of three rows: equal steps to the right, one below the other."""
    one = opened(report)
    dots = one.page.locator("#figure-forest-percentage-greedy svg use")
    boxes = [dot.bounding_box() for dot in dots.all()]
    marks = [box for box in boxes if box and box["width"] > 4]
    xs = [box["x"] + box["width"] / 2 for box in marks][-3:]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.5)
    assert xs[1] - xs[0] > 10


def test_it_says_the_same_without_scripts(opened, report):
    one = opened(report, java_script_enabled=False)
    assert not one.page.locator(".controls").first.is_visible()
    assert one.page.locator(".example:visible").count() == 20
    assert one.page.locator("#results-greedy td", has_text="70.0%").last.is_visible()
    with one.page.expect_download() as download:
        one.page.get_by_label("Runs as CSV").click()
    assert download.value.suggested_filename == "runs.csv"


def test_paper_shows_what_a_reader_of_paper_needs(opened, report):
    one = opened(report, color_scheme="dark")
    one.page.emulate_media(media="print")
    for gone in ("nav", ".controls", ".file", ".numbers"):
        assert not one.page.locator(gone).first.is_visible(), gone
    assert one.page.locator(".folded dd").first.bounding_box()["height"] > 10
    assert one.page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 29, 34)"
