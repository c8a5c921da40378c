"""The page shows what the run folders say, asks nothing of the network, and lets no text in them act."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from run_folders import RUN, comparison, estimate, evaluation, labelling, training, write_full, write_run
from softpref.errors import InputError, OptionError
from softpref.report.collect import names_of, read_run
from softpref.report.format import MAX_SHOWN_TEXT
from softpref.report.page import write_report

HOSTILE = '</pre></script><script>alert(1)</script><img src="http://evil.example/x.png" onerror="alert(2)">{{ 7 * 7 }}&amp;'

VOID = {"meta", "br", "img", "link", "input", "hr", "area", "base", "col", "embed", "source", "track", "wbr"}


class Page(HTMLParser):
    """Elements with attributes, the text, the text of styles, and the tables as rows of cells."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements, self.text, self.styles, self.scripts, self.tables, self.open = [], [], [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        # marks for ``facts``: no text of a page holds control characters
        self.text.extend({"dt": ["\x01"], "dd": ["\x02"]}.get(tag, []))
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.text.extend(["\x02"] if tag == "dd" else [])

    def handle_data(self, data):
        if self.open and self.open[-1] in ("style", "script"):
            (self.styles if self.open[-1] == "style" else self.scripts).append(data)
            return
        self.text.append(data)
        if {"td", "th"} & set(self.open) and data.strip():
            self.tables[-1][-1][-1] += data

    def row(self, table, name):
        """A row of the first table whose header holds this cell, by column."""
        found = next(rows for rows in self.tables if table in rows[0])
        cells = next(row for row in found[1:] if row[0] == name)
        return dict(zip(found[0], cells, strict=True))


def page_of(*folders, tmp_path, title="softpref report"):
    path = write_report(folders, tmp_path / "report.html", title)
    return Page(path.read_text(encoding="utf-8"))


def facts(page):
    """Terms and what stands beside them."""
    found, text = {}, "".join(page.text)
    for name, value in re.findall(r"\x01([^\x01\x02]*)\x02([^\x01\x02]*)", text):
        found.setdefault(name.strip(), value.strip())
    return found


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two runs with everything that a run can leave: read only."""
    root = tmp_path_factory.mktemp("runs")
    points = [{"step": i, "kl": float(i), "reward": 0.5 + 0.1 * i, "low": 0.4, "high": 0.9, "rewards": [0.5]} for i in range(3)]
    extra = {"reward": {"name": "gold", **estimate(0.8)}, "kl": estimate(2.5)}
    return [
        write_run(
            root / name,
            {**RUN, "seed": seed},
            training(start=0.69 + 0.01 * seed),
            {"greedy": evaluation(rate, **extra), "sampled": evaluation(rate - 0.1)},
            [comparison(0.9, HOSTILE, HOSTILE, HOSTILE), comparison(None), comparison(0.5, prompt="wait")],
            {"reward": "gold", "points": points},
        )
        for name, seed, rate in (("gdpo", 1, 0.62), ("cdpo", 2, 0.57))
    ]


@pytest.fixture(scope="module")
def file(folders, tmp_path_factory):
    return write_report(folders, tmp_path_factory.mktemp("page") / "report.html", "Tea")


@pytest.fixture(scope="module")
def page(file):
    return Page(file.read_text(encoding="utf-8"))


# -------------------------------------------------------------------------------------------------- what it shows


def test_the_figures_of_every_run_stand_in_the_tables(page):
    run = page.row("label treatment", "gdpo")
    assert run == {
        "run": "gdpo",
        "loss": "dpo",
        "label treatment": "geometric",
        "arguments": "beta = 0.3",
        "rows learned from": "8",
        "updates": "20",
        "seed": "1",
    }
    greedy = page.row("binary (ties win)", "cdpo")
    assert (greedy["ties"], greedy["coverage"], greedy["failed"]) == ("12.5%", "87.5%", "1")
    assert greedy["percentage"] == "57.0%47.0 to 67.0"
    assert greedy["gold"] == "0.8000.700 to 0.900"
    assert greedy["KL, nats"] == "2.502.40 to 2.60"
    ours, theirs = page.row("mean words", "cdpo"), page.row("mean words", "sft")
    assert (ours["mean words"], ours["unfinished"], ours["longer side wins"]) == ("12.5", "3", "55.0%45.0 to 65.0")
    assert (theirs["mean words"], theirs["unfinished"], theirs["longer side wins"]) == ("9.2", "0", "–")
    text = "".join(page.text)
    for words in (
        "Tea",
        "Results: greedy",
        "Results: sampled",
        "Training loss",
        "Soft labels of pairs.jsonl",
        "softpref train --config",
    ):
        assert words in text


def test_every_figure_is_there_with_a_name_for_screen_readers(page):
    """Labels once for both runs (one fingerprint), 4 curves, win rates of 2 evaluations, rewards of one, the frontier."""
    assert all(a["role"] == "img" for tag, a in page.elements if tag == "svg")
    labels = [attributes["aria-label"] for tag, attributes in page.elements if tag == "svg"]
    assert sorted(labels) == sorted(
        [
            "Soft labels of pairs.jsonl",
            "Training loss",
            "Margin: chosen less rejected along training",
            "Log-ratio of the chosen side along training",
            "Log-ratio of the rejected side along training",
            "Win rates, greedy, against sft",
            "Win rates, sampled, against sft",
            "Reward, greedy",
            "gold against KL along training",
        ]
    )


def test_failed_comparisons_are_no_examples(page):
    text = "".join(page.text)
    assert "p = 0.90" in text
    assert "p = None" not in text
    assert len([a for tag, a in page.elements if a.get("class") == "example"]) == 4


def test_a_labelled_data_set_shows_its_judge(tmp_path):
    """What ``label_pairs`` writes; only the demo knows a gold beside it."""
    judged = labelling(judge="simulated:test", order_disagreement=0.125)
    for name, gold in (("plain", {}), ("demo", {"gold": {"accuracy against gold": 0.75}})):
        run = {**RUN, "data": {**RUN["data"], "labelling": {**judged, **gold}}}
        page = page_of(write_run(tmp_path / name, run, training()), tmp_path=tmp_path)
        said = facts(page)
        assert (said["labels come from"], said["coverage"]) == ("judge simulated:test", "9 of 10 (90.0%)")
        assert (said["position bias"], said["orders disagree"]) == ("+0.250 (0 without)", "12.5%")
        assert said.get("accuracy against gold") == ("0.750" if gold else None)


def test_several_judges_are_shown_apart(tmp_path):
    """As labelling by several judges together leaves it: each alone, and those who disagree most first."""
    one = labelling()
    pairs = [
        {"judges": ["ann", "bob"], "comparisons": 9, "accuracy": 0.75, "kappa": 0.5},
        {"judges": ["ann", "eve"], "comparisons": 8, "accuracy": 0.5, "kappa": None},
    ]
    several = {**one, "each": {"ann": {**one, "position_bias": None}}, "between": {"pairs": pairs, "alpha": 0.25}}
    run = {**RUN, "data": {**RUN["data"], "labelling": several}}
    page = page_of(write_run(tmp_path / "run", run), tmp_path=tmp_path)
    assert page.row("orders disagree", "ann") == {
        "judge": "ann",
        "coverage": "90.0%",
        "position bias": "–",
        "orders disagree": "50.0%",
    }
    [between] = [rows for rows in page.tables if "Cohen's κ" in rows[0]]
    assert between[1:] == [["ann", "eve", "50.0%", "–", "8"], ["ann", "bob", "75.0%", "+0.500", "9"]]
    assert "Krippendorff's α of all: 0.250." in "".join(page.text)


def test_runs_of_one_name_are_two_runs(tmp_path):
    """seed_1/gdpo and seed_2/gdpo: neither may hide the other, in a table or in a figure."""
    folders = [
        write_run(
            tmp_path / f"seed_{seed}" / "gdpo",
            {**RUN, "seed": seed},
            training(start=0.5 + seed),
            {"greedy": evaluation()},
        )
        for seed in (1, 2)
    ]
    html = write_report(folders, tmp_path / "report.html").read_text(encoding="utf-8")
    loss = html[html.index('aria-label="Training loss"') :]
    drawn = loss[: loss.index("</svg>")]
    assert set(re.findall(r"stroke: var\(--series-(\d)", drawn)) == {"0", "1"}
    assert drawn.count("seed_1/gdpo") == drawn.count("seed_2/gdpo") == 1


def test_names_are_as_short_as_they_can_be(tmp_path):
    assert names_of([tmp_path / "a" / "x", tmp_path / "b" / "x", tmp_path / "y"]) == ["a/x", "b/x", "y"]
    assert names_of([tmp_path / "1" / "a" / "x", tmp_path / "2" / "a" / "x", tmp_path / "b" / "x"]) == [
        "1/a/x",
        "2/a/x",
        "b/x",
    ]
    assert names_of([tmp_path / "a" / "..", tmp_path / "a"]) == [tmp_path.name, "a"]
    with pytest.raises(InputError, match="is named 2 times"):
        names_of([tmp_path / "a", tmp_path / "b" / ".." / "a"])


def test_like_stands_beside_like(tmp_path):
    """Three runs, one evaluation name: another opponent, and then another judge, are other tables."""
    others = {"a": {}, "b": {}, "c": {"against": "base"}, "d": {"judge": "human"}}
    folders = [write_run(tmp_path / name, evaluations={"greedy": evaluation(**e)}) for name, e in others.items()]
    page = page_of(*folders, tmp_path=tmp_path)
    tables = [[row[0] for row in table[1:]] for table in page.tables if "tie-aware" in table[0]]
    assert tables == [["a", "b"], ["c"], ["d"]]
    text = "".join(page.text)
    for heading in (
        "greedy, against sft, judged by simulated:test",
        "greedy, against base",
        "greedy, against sft, judged by human",
    ):
        assert f"Results: {heading}\n" in text
        assert f"Lengths, {heading}CSV" in text


def test_losses_of_different_scales_have_figures_of_their_own(tmp_path):
    sft = {**RUN, "method": {**RUN["method"], "base": "sft"}}
    both = [write_run(tmp_path / name, run, training()) for name, run in (("sft", sft), ("gdpo", RUN))]
    page = page_of(*both, tmp_path=tmp_path)
    labels = [attributes["aria-label"] for tag, attributes in page.elements if tag == "svg"]
    assert [label for label in labels if "loss" in label] == ["Training loss: sft", "Training loss: dpo"]


def test_a_loss_that_was_not_finite_is_a_gap(tmp_path):
    lines = [{"step": i, "loss": value} for i, value in enumerate((0.7, float("nan"), 0.6))]
    page = page_of(write_run(tmp_path / "run", metrics=lines), tmp_path=tmp_path)
    assert "Training loss" in [attributes["aria-label"] for tag, attributes in page.elements if tag == "svg"]


def test_one_order_alone_has_no_position_bias(tmp_path):
    judged = labelling(position_bias=None, order_disagreement=None)
    run = {**RUN, "data": {**RUN["data"], "labelling": judged}}
    page = page_of(write_run(tmp_path / "run", run), tmp_path=tmp_path)
    assert (facts(page)["position bias"], facts(page)["orders disagree"]) == ("– (0 without)", "–")


def test_one_run_has_one_colour_in_every_figure(tmp_path):
    """The first run has no log, so the curves show the second only, in the second colour."""
    both = [write_run(tmp_path / name, metrics=log) for name, log in (("gdpo", None), ("cdpo", training()))]
    html = write_report(both, tmp_path / "report.html").read_text(encoding="utf-8")
    loss = html[html.index('aria-label="Training loss"') :]
    assert "var(--series-1," in loss[: loss.index("</svg>")]
    assert "var(--series-0," not in loss[: loss.index("</svg>")]


def test_a_run_without_a_reference_has_its_curve_too(tmp_path):
    """SFT needs none; its loss is no less worth seeing."""
    data = {**RUN["data"], "labels": None, "reading": {"rows": 9}}
    run = {**RUN, "reference": None, "data": data, "method": {**RUN["method"], "base": "sft", "arguments": {}}}
    page = page_of(write_run(tmp_path / "sft", run, [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0}]), tmp_path=tmp_path)
    assert "Training loss" in [attributes["aria-label"] for tag, attributes in page.elements if tag == "svg"]


# -------------------------------------------------------------------------------------------------- what is missing


def test_a_run_alone_makes_a_page(tmp_path):
    """No metrics, no evaluation, no labels, not finished."""
    run = {key: value for key, value in RUN.items() if key not in ("finished", "step_0_difference")}
    run = {**run, "data": {**RUN["data"], "labels": None}}
    page = page_of(write_run(tmp_path / "run", run), tmp_path=tmp_path)
    assert "updates" not in page.row("label treatment", "run")
    text = "".join(page.text)
    assert "Not finished when this was written: run." in text
    assert "Nothing here was evaluated, so there is no verdict." in text
    assert "The folders hold nothing of: evaluations; a training log;" in text
    assert not any(tag == "svg" for tag, _ in page.elements)


def test_an_evaluation_of_one_run_only_and_without_examples(tmp_path):
    both = [write_run(tmp_path / "a", evaluations={"greedy": evaluation()}), write_run(tmp_path / "b")]
    page = page_of(*both, tmp_path=tmp_path)
    assert page.row("binary (ties win)", "a")["coverage"] == "87.5%"
    assert "Examples, greedy" not in "".join(page.text)
    assert "evaluations of b" in "".join(page.text)


def test_examples_of_the_second_run_are_shown_where_the_first_has_none(tmp_path):
    both = [
        write_run(tmp_path / name, evaluations={"greedy": evaluation()}, comparisons=rows)
        for name, rows in (("a", []), ("b", [comparison()]))
    ]
    page = page_of(*both, tmp_path=tmp_path)
    assert "1 of 1" in "".join(page.text)
    assert [a["data-p"] for _, a in page.elements if "data-p" in a] == ["0.900000"]


def test_one_prompt_has_no_interval(tmp_path):
    """A bootstrap of one cluster gives nan."""
    rate = {**estimate(0.6), "low": float("nan"), "high": float("nan")}
    figures = evaluation()
    figures["win_rates"] = {**figures["win_rates"], "percentage": rate}
    page = page_of(write_run(tmp_path / "run", evaluations={"greedy": figures}), tmp_path=tmp_path)
    assert page.row("binary (ties win)", "run")["percentage"] == "60.0%"


def test_nothing_was_of_unequal_length(tmp_path):
    page = page_of(write_run(tmp_path / "run", evaluations={"greedy": evaluation(longer_wins=None)}), tmp_path=tmp_path)
    assert "longer side wins" not in page.row("mean words", "run")


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(InputError, match=r"empty: holds no run \(run\.json is missing\)"):
        write_report([tmp_path / "empty"], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_broken_file_is_named(tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"run\.json: is not JSON"):
        read_run(folder)


def test_a_log_whose_last_line_was_cut_by_a_kill_is_read_without_it(tmp_path):
    folder = write_run(tmp_path / "run", metrics=training())
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 25, "lo')
    assert [line["step"] for line in read_run(folder).training] == [5, 10, 15, 20]


# -------------------------------------------------------------------------------------------------- foreign text


def assert_harmless(page):
    """Nothing acts, nothing is fetched: only fragments and data URLs are referred to."""
    for tag, attributes in page.elements:
        assert tag not in ("iframe", "object", "embed", "link", "img", "base", "form"), tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "xlink:href", "action", "data", "poster", "srcset", "formaction"):
                assert value.startswith(("#", "data:")), (tag, name, value)
            if name in ("style", "clip-path", "fill", "filter", "mask"):
                assert not re.search(r"url\(\s*['\"]?(?!#|data:)", value), (tag, name, value)
    assert len(page.scripts) == len([tag for tag, _ in page.elements if tag == "script"]) == 1
    assert "fetch" not in page.scripts[0]
    assert "eval" not in page.scripts[0]
    assert not re.search(r"@import|url\(\s*['\"]?(?!#|data:)|expression\(", "".join(page.styles))


def test_a_page_refers_to_nothing_outside(page):
    assert_harmless(page)
    [policy] = [a["content"] for tag, a in page.elements if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    assert re.findall(r"script-src ([^;]*)", policy) == [f"'sha256-{digest}'"]


def test_hostile_text_is_shown_and_does_not_act(tmp_path):
    """In a prompt, in responses, in names, in options, in the title: all of it comes from elsewhere."""
    run = json.loads(json.dumps(RUN).replace("models/sft", json.dumps(HOSTILE)[1:-1]))
    run["command"], run["data"]["file"], run["method"]["arguments"] = (
        HOSTILE,
        f"data/{HOSTILE.replace('/', '|')}",
        {"alpha": HOSTILE},
    )
    figures = evaluation(model=HOSTILE, against=HOSTILE, judge=HOSTILE, reward={"name": HOSTILE, **estimate(0.5)})
    name = "<img src=x onerror=alert(3)> \"'&"
    frontier = {"reward": HOSTILE, "points": [{"step": 0, "kl": 0.0, "reward": 0.1, "low": 0.0, "high": 0.2}]}
    folder = write_run(tmp_path / name, run, training(), {name: figures}, [comparison(0.9, HOSTILE, HOSTILE, HOSTILE)], frontier)
    page = page_of(folder, tmp_path=tmp_path, title=HOSTILE)
    assert_harmless(page)
    text = "".join(page.text)
    assert text.count(HOSTILE) >= 8
    assert name in text


def test_marks_that_turn_or_hide_text_are_made_visible(tmp_path):
    text = "a\u202eb\u200bc\x00d\x1b[31m\u2066e\ufeff"
    folder = write_run(tmp_path / "run", evaluations={"greedy": evaluation()}, comparisons=[comparison(0.9, text, text, text)])
    html = write_report([folder], tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\ufeff\x00\x1b]", html)
    assert r"a\u202eb\u200bc\u0000d\u001b[31m\u2066e\ufeff" in html


def test_ordinary_text_is_left_as_it_is(tmp_path):
    """A tab, spaces of every width, Persian with its joiner, an emoji of several, Thai without spaces; \\r\\n ends a line."""
    text = "a\tb\u00a0c\u3000d می\u200cخواهم 👩\u200d🚀 สวัสดี e\r\nf"
    folder = write_run(tmp_path / "run", evaluations={"greedy": evaluation()}, comparisons=[comparison(0.9, text)])
    html = write_report([folder], tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.replace("\r\n", "\n") in html
    assert "\\u" not in html


def test_what_cannot_be_written_is_shown_by_its_number(tmp_path):
    """Half of a surrogate pair, which JSON may hold and UTF-8 may not, in text, names and titles."""
    half = "x\ud83dy"
    figures = {"greedy": evaluation(against=half)}
    folder = write_run(tmp_path / "run", {**RUN, "command": half}, evaluations=figures)
    write_lines_ascii(folder / "evaluations" / "greedy" / "comparisons.jsonl", [comparison(0.9, half)])
    html = write_report([folder], tmp_path / "report.html", f"\u202e{half}").read_text(encoding="utf-8")
    assert html.count("x\\ud83dy") >= 4
    assert "\u202e" not in html


def write_lines_ascii(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_line_separators_in_a_response_do_not_break_the_reading(tmp_path):
    """``comparisons.jsonl`` holds them as they are."""
    text = "one\u2028two\u2029three\u0085four"
    folder = write_run(tmp_path / "run", evaluations={"greedy": evaluation()}, comparisons=[comparison(0.9, text)])
    assert read_run(folder).evaluations[0].comparisons[0].prompt == text


def test_endless_text_is_cut(tmp_path):
    """And no line is wider than the page: it may break anywhere."""
    long = "x" * (MAX_SHOWN_TEXT + 3000)
    folder = write_run(tmp_path / "run", evaluations={"greedy": evaluation()}, comparisons=[comparison(0.9, long, long, long)])
    page = page_of(folder, tmp_path=tmp_path)
    assert max(len(run) for run in re.findall("x+", "".join(page.text))) == MAX_SHOWN_TEXT
    assert re.search(r"pre \{[^}]*overflow-wrap: anywhere", "".join(page.styles))


def test_messages_are_shown_as_text(tmp_path):
    turns = [{"role": "user", "content": "tea <b>?"}]
    folder = write_run(tmp_path / "run", evaluations={"greedy": evaluation()}, comparisons=[comparison(0.9, turns)])
    assert "tea <b>?" in "".join(page_of(folder, tmp_path=tmp_path).text)


@pytest.mark.parametrize("name", ["_baseline", "cost $5 or $6", "$\\nonsense{$", "基準"])
def test_names_mean_themselves_in_figures(tmp_path, name):
    """Matplotlib hides labels that begin with _ and reads what stands between two $ as mathematics."""
    folder = write_run(tmp_path / name, metrics=training(), evaluations={"greedy": evaluation()})
    html = write_report([folder], tmp_path / "report.html").read_text(encoding="utf-8")
    write_run(tmp_path / "other", metrics=training())
    html = write_report([folder, tmp_path / "other"], tmp_path / "report.html").read_text(encoding="utf-8")
    for figure in ("Training loss", "Win rates, greedy, against sft"):
        start = html.index(f'aria-label="{figure}"')
        assert name in "".join(Page("<svg " + html[start : html.index("</svg>", start)] + "</svg>").text)


# -------------------------------------------------------------------------------------------------- the same page, a browser


def test_a_page_is_the_same_every_time(tmp_path):
    folder = write_run(tmp_path / "run", metrics=training(), evaluations={"greedy": evaluation()})
    one, two = (write_report([folder], tmp_path / f"{i}.html").read_bytes() for i in (1, 2))
    assert one == two


def test_what_figures_refer_to_is_there(page):
    """Clip paths and markers."""
    defined = {a["id"] for _, a in page.elements if "id" in a}
    used = {value[1:] for _, a in page.elements for name, value in a.items() if name == "xlink:href"}
    used |= set(re.findall(r"url\(#([^)]+)\)", " ".join(str(v) for _, a in page.elements for v in a.values())))
    assert used <= defined


def test_ids_are_not_given_twice(page):
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))


# -------------------------------------------------------------------------------------------------- all that a run can leave


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """Three runs with everything, and a head-to-head: the page's text and its HTML."""
    root = tmp_path_factory.mktemp("full")
    return Page(write_report(write_full(root), root / "report.html").read_text(encoding="utf-8"))


def test_the_matrix_holds_both_directions(full):
    """gdpo against cdpo is what cdpo against gdpo is not: 1 − 0.35 = 0.65, and its interval 1 − 0.40 to 1 − 0.30."""
    [matrix] = [rows for rows in full.tables if rows[0] == ["", "gdpo", "dpo", "cdpo"]]
    assert matrix[1] == ["gdpo", "·", "60.0%55.0 to 65.0", "65.0%60.0 to 70.0"]
    assert matrix[3] == ["cdpo", "35.0%30.0 to 40.0", "48.0%43.0 to 53.0", "·"]


def test_tests_are_shown_with_their_correction(full):
    [pairs] = [rows for rows in full.tables if "Wilcoxon p, Holm" in rows[0]]
    assert [row[pairs[0].index("Wilcoxon p, Holm")] for row in pairs[1:]] == ["0.900", "0.010", "< 0.001"]
    row = full.row("tie-aware", "cdpo")
    assert (row["Wilcoxon p"], row["permutation p"]) == ("< 0.001", "0.250")


def test_length_is_controlled_and_repetition_shown(full):
    row = full.row("longer side wins", "gdpo")
    assert row["win rate"] == "70.0%60.0 to 80.0"
    assert row["at equal length"] == "55.0%45.0 to 65.0"
    assert (row["distinct 1-grams"], row["2-grams"], row["longest repeat, words"]) == ("50.0%", "75.0%", "2.5")
    assert "3-grams" not in row
    [duel] = [rows for rows in full.tables if rows[0] == ["responses of", "mean words", "median words", "unfinished"]]
    assert duel[1:] == [[name, "12.5", "12.0", "3"] for name in ("dpo", "cdpo", "gdpo")]


def test_the_implicit_reward_is_scored_and_its_empty_bins_left_out(full):
    row = full.row("AUC", "cdpo")
    assert (row["accuracy"], row["pairs"]) == ("75.0%65.0 to 85.0", "400")
    [reliability] = [rows for rows in full.tables if "mean predicted" in rows[0]]
    assert reliability[1] == ["dpo", "0.00", "0.50", "40", "0.250", "0.375"]
    [by_label] = [rows for rows in full.tables if "mean margin, nats" in rows[0]]
    assert len(by_label) == 1 + 3
    assert "Margin: difference of log π/π_ref. β: dpo 0.25, cdpo 0.25, gdpo 0.25." in "".join(full.text)


def test_the_drift_measured_apart_takes_the_place_of_the_log(full):
    """The log says 0.1 per line; over_optimisation.json says −0.5 per ten updates."""
    [chosen] = [rows for rows in full.tables if rows[0] == ["run", "update", "log-ratio, nats"] and rows[2][2] == "−0.500"]
    assert chosen[1:5] == [
        ["dpo", "0", "+0.000"],
        ["dpo", "10", "−0.500"],
        ["dpo", "20", "−1.000"],
        ["dpo", "30", "−1.500"],
    ]
    assert "cdpo: the chosen log-ratio fell" in "".join(full.text)


def test_examples_join_the_runs_by_prompt(full):
    """0.2, 0.5 and 0.8 for one prompt: one example, of mean 0.5 and spread 0.6."""
    first, _ = [a for _, a in full.elements if "data-p" in a]
    assert (first["data-p"], first["data-low"], first["data-high"]) == ("0.500000", "0.200000", "0.800000")
    assert first["data-differ"] == "0.600000"


def test_nothing_is_said_to_be_missing_that_is_there(full):
    assert "What is not here" not in "".join(full.text)


def test_another_format_is_refused(tmp_path):
    with pytest.raises(OptionError, match="format is 'pdf'"):
        write_report([write_run(tmp_path / "run")], tmp_path / "report.pdf", form="pdf")


def test_a_long_log_is_thinned_and_says_so(tmp_path):
    lines = [{"step": step, "loss": 1 / step} for step in range(1, 5001)]
    page = page_of(write_run(tmp_path / "run", metrics=lines), tmp_path=tmp_path)
    assert "4880 of 5000 points were left out, evenly." in "".join(page.text)


def test_a_dozen_runs_stay_under_three_megabytes(tmp_path):
    """Two evaluations each of 400 long comparisons, 3000 lines of log."""
    text = "word <b> & more " * 100
    rows = [comparison(i / 400, f"prompt {i}", text, text) for i in range(400)]
    lines = [
        {"step": i, "loss": 0.5, "margin": 1.0 * i, "chosen_logratio": -0.1 * i, "rejected_logratio": -0.5} for i in range(3000)
    ]
    evaluations = {"greedy": evaluation(), "sampled": evaluation()}
    folders = [write_run(tmp_path / f"run_{i}", metrics=lines, evaluations=evaluations, comparisons=rows) for i in range(12)]
    assert write_report(folders, tmp_path / "report.html").stat().st_size < 3_000_000
