"""Sections of a report as documents: what their figures and tables hold, from figures by hand."""

import csv
import io

import pytest

from run_folders import RUN, classification, duel, over_optimisation, write_head_to_head, write_run
from softpref.report.collect import Found, read_folders, read_head_to_head
from softpref.report.palette import colours_of
from softpref.report.run_report import run_report
from softpref.report.sections.over_optimisation import over_optimisation as over_optimisation_section
from softpref.report.sections.results import head_to_head_section


def rows_of(figure):
    return list(csv.DictReader(io.StringIO(figure.table.csv())))


def forest_of(folder):
    duel_read = read_head_to_head(folder)
    section = head_to_head_section(duel_read, colours_of(duel_read.record.models))
    return next(block for block in section.blocks if block.name.endswith("forest"))


# --- seeds of a head-to-head ----------------------------------------------------------------------------------------------


def by_seed(*rates):
    return [{"seed": str(i), "percentage": rate, "judged": 50} for i, rate in enumerate(rates, start=1)]


def test_the_seeds_of_a_pair_are_turned_with_it(tmp_path):
    """gdpo beats dpo by 60%: dpo's 35% and 45% against it are 65% and 55% for it. A seed that none judged has no dot."""
    pairs = [
        {**duel("dpo", "gdpo", 0.4, 0.01), "seeds": 3, "by_seed": by_seed(0.35, 0.45, None)},
        {**duel("sft", "gdpo", 0.2, 0.01), "seeds": 1, "by_seed": by_seed(0.2)},
    ]
    forest = forest_of(write_head_to_head(tmp_path / "duels", pairs, ("sft", "dpo", "gdpo")))
    sure, seeded = rows_of(forest)
    assert (sure["pair"], seeded["pair"]) == ("gdpo › sft", "gdpo › dpo")
    assert [float(seeded[f"seed_{i}"]) for i in (1, 2)] == pytest.approx([0.65, 0.55])
    assert (sure["seed_1"], "seed_3" in seeded) == ("", False)
    assert "gdpo › dpo 60.0% [55.0, 65.0], seeds from 55.0% to 65.0%" in forest.alt
    assert forest.table.note == "Small dots are training seeds."
    # two figures with their dots each, and two seeds
    assert forest.svg.count("<use") - plain_marks(tmp_path) == 2


def plain_marks(tmp_path):
    """Marks of the same forest without seeds: dots and ticks."""
    pairs = [duel("dpo", "gdpo", 0.4, 0.01), duel("sft", "gdpo", 0.2, 0.01)]
    forest = forest_of(write_head_to_head(tmp_path / "plain", pairs, ("sft", "dpo", "gdpo")))
    assert forest.table.note == ""
    assert not any(column.key.startswith("seed") for column in forest.table.columns)
    return forest.svg.count("<use")


def test_the_verdict_counts_seeds(tmp_path):
    pairs = [{**duel("dpo", "gdpo", 0.4, 0.01), "seeds": 3, "by_seed": by_seed(0.35, 0.45, 0.4)}]
    found = read_folders([write_head_to_head(tmp_path / "duels", pairs, ("dpo", "gdpo"))])
    assert run_report(found, "t").detail.startswith("Head to head on 50 prompts and 3 training seeds, judged by")


# --- over-optimisation ----------------------------------------------------------------------------------------------------


def drift(checkpoints=()):
    """What softpref over-optimisation writes: with the pairs it is about, and tokens."""
    found = over_optimisation()
    for place, row in enumerate(found["by_bin"]):
        row["chosen_logratio_per_token"] = -0.125 * (place + 1)
    bins = found["by_bin"]
    points = [{"step": step, "by_bin": [{**b, "chosen_logratio": -step / 10} for b in bins]} for step in checkpoints]
    return {**found, "pairs": 8, "data": "data/held_out.jsonl", "checkpoints": points}


def section_of(*runs):
    found = read_folders(runs)
    names = [run.name for run in found.runs]
    return {block.name: block for block in over_optimisation_section(Found(found.runs), colours_of(names)).blocks}


def test_log_ratios_by_label_say_which_pairs_and_how_much_per_token(tmp_path):
    blocks = section_of(write_run(tmp_path / "dpo", drift=drift()))
    chosen = blocks["log-ratio-of-the-chosen-side-by-soft-label-at-the-end"]
    assert [float(row["chosen_logratio_per_token"]) for row in rows_of(chosen)] == [-0.125, -0.25]
    assert chosen.table.note == "8 pairs of held_out.jsonl."
    assert "chosen_logratio_per_token" not in rows_of(blocks["margin-chosen-less-rejected-by-soft-label-at-the-end"])[0]
    assert not any("checkpoint" in name for name in blocks)


def test_runs_that_were_looked_at_on_other_pairs_say_so(tmp_path):
    one = write_run(tmp_path / "dpo", drift=drift())
    other = write_run(tmp_path / "gdpo", drift={**drift(), "pairs": 5, "data": "data/train.jsonl"})
    chosen = section_of(one, other)["log-ratio-of-the-chosen-side-by-soft-label-at-the-end"]
    assert chosen.table.note == "dpo: 8 pairs of held_out.jsonl; gdpo: 5 pairs of train.jsonl."


def test_a_run_with_checkpoints_has_a_line_per_label_bin(tmp_path):
    """Both bins at both checkpoints, with every measure in the numbers; the run without checkpoints has no such figure."""
    runs = [
        write_run(tmp_path / "dpo", drift=drift()),
        write_run(tmp_path / "gdpo", drift=drift(checkpoints=(10, 20))),
    ]
    blocks = section_of(*runs)
    [name] = [name for name in blocks if "checkpoint" in name]
    figure = blocks[name]
    assert figure.caption == "Log-ratio of the chosen side by soft label, checkpoint by checkpoint: gdpo"
    rows = rows_of(figure)
    found = {(row["label"], row["step"]): float(row["chosen_logratio"]) for row in rows}
    assert found == {(label, step): -int(step) / 10 for label in ("0.5–0.75", "0.75–1") for step in ("10", "20")}
    assert {row["margin"] for row in rows} == {"0.25", "2.25"}
    for label in ("0.5–0.75", "0.75–1"):
        assert f">{label}<" in figure.svg


# --- what is missing ------------------------------------------------------------------------------------------------------


def test_imitation_is_not_asked_for_what_it_cannot_have(tmp_path):
    """A run of sft compares nothing: no labels, no classification, no log-ratios of two sides."""
    sft = write_run(tmp_path / "sft", run={**RUN, "method": {**RUN["method"], "base": "sft"}})
    dpo = write_run(tmp_path / "dpo", classifications={"votes": classification()})
    missing = run_report(read_folders([sft, dpo]), "t").missing
    assert "log-ratios by label (over_optimisation.json)" in missing
    assert not any("classification" in what or "sft" in what for what in missing)
