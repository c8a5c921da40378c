"""The model card: front matter that the Hub's own library reads back, and the run in words."""

import json

import pytest

from run_folders import RUN, evaluation, labelling, training, write_run
from softpref.report.card import CardOptions, model_card


def card(folder, **options):
    from huggingface_hub import ModelCard

    return ModelCard(model_card(folder, CardOptions(**options)))


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path / "gdpo", metrics=training(), evaluations={"greedy": evaluation()})


def test_the_hub_reads_the_front_matter(folder):
    found = card(folder, base_model="owner/base", dataset="owner/pairs", license="apache-2.0").data.to_dict()
    assert found == {
        "base_model": "owner/base",
        "datasets": ["owner/pairs"],
        "library_name": "transformers",
        "license": "apache-2.0",
        "model_name": "gdpo",
        "pipeline_tag": "text-generation",
        "tags": ["softpref", "dpo", "gdpo", "soft-labels", "preference"],
    }


def test_a_folder_and_a_file_are_no_ids_of_the_hub(folder, tmp_path):
    """models/sft may be one, and is taken for it only where nothing of that name lies here; pairs.jsonl is a file."""
    found = card(folder).data.to_dict()
    assert found["base_model"] == "models/sft"
    assert "datasets" not in found
    assert found["license"] == "other"
    run = {**RUN, "model": {**RUN["model"], "start": str(tmp_path)}}
    assert "base_model" not in card(write_run(tmp_path / "x", run)).data.to_dict()


def test_an_adapter_says_its_library(folder):
    (folder / "adapter_config.json").write_text("{}")
    assert card(folder).data.library_name == "peft"


def test_it_says_what_was_done_and_what_came_of_it(folder):
    text = card(folder).text
    assert "Trained from `models/sft` on preferences with soft labels, by softpref: loss GDPO (dpo, geometric treatment:" in text
    assert "beta = 0.3, on `data/pairs.jsonl`." in text
    assert "**gdpo beats sft: the judge prefers it in 62.0% \\[52.0, 72.0\\] of comparisons.**" in text
    assert "- command: `softpref train --config recipe.yaml`" in text
    assert f"SHA-256 {'f' * 64}" in text
    limits = text[text.index("## Limits") :]
    assert "One run with one seed" in limits
    assert "Win rates are those of a judge, not of people" in limits
    assert "The labels come from a judge model" not in limits


def test_labels_of_a_judge_are_a_limit(tmp_path):
    run = {**RUN, "data": {**RUN["data"], "labelling": labelling()}}
    assert "The labels come from a judge model" in card(write_run(tmp_path / "gdpo", run)).text


def test_imitation_has_no_preference_in_it(tmp_path):
    method = {"loss_type": "sft", "base": "sft", "label_treatment": "hard", "reduction": "sum", "arguments": {}}
    run = json.loads(json.dumps({**RUN, "method": method, "reference": None}))
    run["data"]["labels"] = None
    found = card(write_run(tmp_path / "sft", run))
    assert found.data.tags == ["softpref", "sft"]
    assert "by imitation" in found.text
    assert "It was not evaluated." in found.text
    assert "## Data and labels" not in found.text


@pytest.mark.parametrize("name", ["---\nlicense: mit\n---", "a: b # c", "<b>", "'\""])
def test_a_name_cannot_leave_its_place(tmp_path, name):
    run = {**RUN, "command": name, "model": {**RUN["model"], "start": name}}
    found = card(write_run(tmp_path / "gdpo", run))
    assert found.data.license == "other"
    assert "base_model" not in found.data.to_dict()
