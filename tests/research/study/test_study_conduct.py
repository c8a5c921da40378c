"""A study of two runs, conducted: what lies on disk, what it says, and that nothing is done twice."""

import json
import math

import pytest

from softpref.cli.main import main
from softpref.demo import plan_world
from softpref.errors import OptionError
from softpref.evaluation.responses import generated
from softpref.research.study import conduct as conducting
from softpref.research.study.conduct import conduct
from softpref.research.study.matches import play_cell
from softpref.research.study.runs import cell_of
from softpref.research.study.settings import SIZES, Size, Training
from softpref.research.study.world import prompts_of, world_folder

TINY = Size(
    Training(160, 48, 32, updates=2, per_update=16, learning_rate=1e-3, prompts=4, checkpoints=2, classified=6),
    methods=("dpo", "gdpo"),
    seeds=(1,),
    betas=(0.1,),
    tuning_seeds=(1,),
    label_sets=("plain",),
    noise_rates=(),
    few_seeds=(1,),
)
PARTS = ("comparison",)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    stages = []

    class Stage:
        def __init__(self, name):
            stages.append(name)

        def __enter__(self):
            return lambda *_: None

        def __exit__(self, *_):
            pass

    found = conduct(folder, TINY, PARTS, betas="paper", workers=1, on_stage=Stage)
    return folder, found, stages


def test_stages_are_told_in_order(study):
    assert study[2] == ["comparison: worlds", "comparison: labels", "comparison: runs"]


def test_every_run_is_there_with_the_paper_s_beta(study):
    _, found, _ = study
    assert [(run.method, run.beta) for run, _ in found.parts["comparison"]] == [("dpo", 0.1), ("gdpo", 0.3)]
    assert found.labels["plain", 1]["pairs"] > 20


def test_weights_are_gone_and_the_record_is_not(study):
    folder, _, _ = study
    [dpo, gdpo] = sorted((folder / "runs" / "plain" / "seed_1").iterdir())
    for run in (dpo, gdpo):
        assert not [*run.rglob("*.safetensors"), *run.glob("checkpoint-*")]
        assert json.loads((run / "run.json").read_text())["finished"]
    assert (world_folder(folder, 1).sft / "model.safetensors").is_file()


def test_scores_are_those_of_the_responses_left_behind(study):
    folder, found, _ = study
    for run, result in found.parts["comparison"]:
        rows = (folder / "responses" / "plain" / "seed_1" / f"{run.method}.jsonl").read_text().splitlines()
        said = [json.loads(row) for row in rows]
        gold = [plan_world.gold(row["prompt"], row["response"]) for row in said]
        assert result["judged"]["greedy"]["gold"]["score"] == pytest.approx(gold, abs=1e-5)
        # so little training is worth nothing by gold, but its words differ
        assert result["judged"]["greedy"]["words"] == [len(row["response"].split()) for row in said]
        assert [row["prompt"] for row in said] == prompts_of("test", TINY.training)


def test_the_reference_of_every_figure_is_the_sft_model(study):
    folder, found, _ = study
    world, (_, result) = world_folder(folder, 1), found.parts["comparison"][0]
    prompts = prompts_of("test", TINY.training)
    from softpref.research.study.world import decodings

    sampling = decodings(TINY.training)["sampled"]
    sft = generated(str(world.sft), prompts, sampling, world.responses("test", "sampled"))
    gold = [plan_world.gold(prompts[r.prompt], r.text) for r in sft]
    assert result["judged"]["sampled"]["gold"]["sft_score"] == pytest.approx(gold, abs=1e-5)
    assert all(math.isfinite(ratio) for ratio in result["judged"]["sampled"]["log_ratios"])
    [point] = result["frontier"]
    assert point["step"] == 1
    assert len(point["score"]) == len(point["log_ratios"]) == len(prompts) * 2


def test_responses_that_other_betas_left_are_not_played(study):
    folder, found, _ = study
    file = folder / "responses" / "plain" / "seed_1" / "gdpo.jsonl"
    before = file.read_text()
    file.write_text(before.replace("response", "answer"))
    cells = [cell_of(run, TINY.training) for run, _ in found.parts["comparison"]]
    played = play_cell({"judge": "truth", "labels": "plain", "runs": cells}, folder)
    assert file.read_text() == before
    assert played["methods"] == ["sft", "dpo", "gdpo"]


def test_nothing_is_done_twice(study, monkeypatch):
    folder, found, _ = study

    def never(*_):
        raise AssertionError("computed again")

    for work in ("make_world", "make_label_set", "train_and_measure"):
        monkeypatch.setattr(conducting, work, never)
    again = conduct(folder, TINY, PARTS, betas="paper", workers=1)
    assert again.parts == found.parts


def test_every_setting_decides_the_cell():
    run = conducting.tuning_runs(TINY).__next__()
    cell = cell_of(run, TINY.training)
    assert cell["training"]["learning_rate"] == 1e-3
    assert cell["labels"]["faults"]["noise"] == 0.8
    assert {"version", "method", "beta", "seed", "split", "along"} <= cell.keys()


def test_the_command_writes_tables_pictures_and_figures(study, monkeypatch, capsys):
    folder, _, _ = study
    monkeypatch.setitem(SIZES, "small", TINY)
    words = ["study", "--output", str(folder), "--size", "small", "--parts", "[comparison]", "--betas", "paper"]
    monkeypatch.setattr("sys.argv", ["softpref", *words, "--workers", "1"])
    code = main([*words, "--workers", "1"])
    out = capsys.readouterr().out
    assert code == 0
    assert "| gdpo | 0.3 |" in out
    assert "plain labels: head to head, greedy, by the true p" in out
    written = json.loads((folder / "study.json").read_text())
    assert written["command"].endswith("--workers 1")
    [pair] = [
        p
        for p in written["comparison"]["plain"]["head_to_head"]["truth"]["pairs"]
        if (p["model"], p["against"]) == ("sft", "gdpo")
    ]
    # head to head by the truth is the win rate by the truth, from the other side
    by_truth = written["comparison"]["plain"]["methods"]["gdpo"]["win_rates"]["greedy"]["by_truth"]["value"]
    assert pair["percentage"]["value"] == pytest.approx(1 - by_truth, abs=1e-4)
    assert (folder / "study.md").read_text() == out[: out.index("written to")].rstrip("\n") + "\n"
    for picture in ("frontiers.png", "leads.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--size", "smal"], "size is 'smal'; did you mean 'small'"),
        (["--parts", "[noise,comparisons]"], "parts holds 'comparisons'"),
        (["--betas", "best"], "betas is 'best'"),
        (["--workers", "0"], "workers is 0; give 1 or more"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_done(options, complaint, tmp_path, capsys):
    assert main(["study", "--output", str(tmp_path / "s"), *options]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_a_folder_takes_one_size(study, capsys):
    """The worlds of two sizes would lie in the same place, and what one left out be trained in the other's."""
    folder, _, _ = study
    before = sorted(folder.rglob("*"))
    assert main(["study", "--output", str(folder), "--size", "default"]) == 2
    assert "worlds.jsonl: holds the worlds of another size; give another output" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before


def test_a_part_that_there_is_not(tmp_path):
    with pytest.raises(OptionError, match="parts holds 'all'"):
        conduct(tmp_path, TINY, ("all",))
