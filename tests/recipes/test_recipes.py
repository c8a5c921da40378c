"""The shipped recipes: the paper's values, a mark on every value, and each run from published rows to a trained model."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import published_rows as published
import softpref
from softpref.cli.main import main
from softpref.cli.options import parse_options
from softpref.data.formats import read_pairs, write_rows
from softpref.data.read_options import ReadOptions
from softpref.data.written import written_row
from softpref.demo.small_model import bpe_tokenizer, save, small_llama
from softpref.judges.prompt import load_prompt
from softpref.training.recipe import TrainRecipe

FOLDER = Path(softpref.__file__).parent / "recipes"
RECIPES = {f"{path.parent.name}/{path.stem}": path for path in sorted(FOLDER.glob("*/*.yaml"))}
MODELS = {
    "paper": "google/gemma-2b",
    "gemma-2b": "google/gemma-2b",
    "gemma-7b": "google/gemma-7b",
    "qwen3-0.6b": "Qwen/Qwen3-0.6B-Base",
}
SETS = ("tldr", "helpful", "harmless", "plasma")

# Furuta et al. 2024, the table of betas, by data set: dpo, cdpo, ropo; gdpo, gropo; ipo, cipo; gipo
BETAS = {"tldr": (0.5, 0.5, 1.0, 0.5), "helpful": (0.1, 0.3, 1.0, 0.5), "harmless": (0.1, 0.3, 1.0, 0.5),
         "plasma": (0.1, 0.3, 0.1, 0.05)}  # fmt: skip
PROMPTS = {"tldr": "summary", "helpful": "helpful", "harmless": "harmless", "plasma": "plan"}


def of_the_paper(key):
    """Recipes for one data set, in every folder."""
    return [name for name in RECIPES if name.endswith(f"/{key}")]


def values(name):
    return yaml.safe_load(RECIPES[name].read_text(encoding="utf-8"))


def test_every_data_set_has_a_recipe_for_every_model():
    assert set(RECIPES) == {f"{folder}/{key}" for folder in MODELS for key in (*SETS, "sft")}


@pytest.mark.parametrize("name", RECIPES)
def test_every_value_says_whose_it_is(name):
    for line in RECIPES[name].read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#") and line != "train:":
            assert re.search(r"\S  +# (paper|ours)\b", line), line


@pytest.mark.parametrize("name", RECIPES)
def test_train_reads_it(name):
    recipe = parse_options(TrainRecipe, "softpref train", ["--config", str(RECIPES[name])])
    assert recipe.max_length == 1024 + 256
    assert recipe.train["per_device_train_batch_size"] == 32
    assert recipe.train["save_steps"] == 200


@pytest.mark.parametrize("key", SETS)
def test_the_papers_betas(key):
    """GDPO's in the recipe, and all of them in its head."""
    dpo, gdpo, ipo, gipo = BETAS[key]
    for name in of_the_paper(key):
        found = values(name)
        assert (found["loss_type"], found["beta"]) == ("gdpo", gdpo)
        assert found["train"]["save_total_limit"] == 4
        head = f"#   dpo, cdpo, ropo {dpo}; gdpo, gropo {gdpo}; ipo, cipo {ipo}; gipo {gipo}\n"
        assert head in RECIPES[name].read_text(encoding="utf-8")


@pytest.mark.parametrize("key", SETS)
def test_the_judges_prompt_is_shipped(key):
    for name in of_the_paper(key):
        [prompt] = re.findall(r"--judge_prompt (\S+)", RECIPES[name].read_text(encoding="utf-8"))
        assert load_prompt(prompt).name == PROMPTS[key]


@pytest.mark.parametrize("folder", MODELS)
def test_sft_comes_before_and_is_where_the_others_start(folder):
    sft = values(f"{folder}/sft")
    assert (sft["model"], sft["loss_type"]) == (MODELS[folder], "sft")
    assert values(f"{folder}/tldr")["model"] == sft["output_dir"]


@pytest.mark.parametrize("key", [*SETS, "sft"])
def test_models_differ_in_model_step_and_memory_only(key):
    """Whatever decides what is learned from a data set is the same in every folder, so that one copy does not drift."""
    own = {"learning_rate", "optim", "bf16"}

    def common(name):
        found = values(name)
        model = {} if key == "sft" else {"model": found["model"]}
        train = {k: v for k, v in found["train"].items() if k not in own}
        return {k: v for k, v in found.items() if k not in ("model", "max_tokens_per_batch", "train")} | model | {"train": train}

    first, *others = (common(name) for name in of_the_paper(key))
    assert len(others) == 3
    assert all(other == first for other in others)


# -------------------------------------------------------------------------------------------------- the command


def test_the_list(capsys):
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == set(RECIPES)
    assert lines[0].startswith("paper/")
    assert "paper/tldr           GDPO on Reddit TL;DR, a base model in the place of PaLM 2-XS" in lines


@pytest.mark.parametrize("name", ["paper/tldr", "paper/tldr.yaml"])
def test_a_recipe_is_printed_as_it_is(name, capsys):
    assert main(["recipes", name]) == 0
    assert capsys.readouterr().out == RECIPES["paper/tldr"].read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["papr/tldr"], "did you mean 'paper/tldr'?"),
        (["paper/tldr", "x"], "give one recipe, not 2"),
        (["tl"], "is no recipe"),
    ],
)
def test_what_a_user_gets_wrong(words, message, capsys):
    assert main(["recipes", *words]) == 2
    assert message in capsys.readouterr().err


# -------------------------------------------------------------------------------------------------- run

ROWS = {
    "tldr": [published.tldr(choice=i % 2, id=f"t3_{i}", post=f"Post {i}. We moved.") for i in range(6)],
    "helpful": [published.hh(before=f"\n\nHuman: How do I make tea {i}?") for i in range(6)],
    "harmless": [published.hh(before=f"\n\nHuman: Insult me {i}.", chosen="Please, no.", rejected="Fool.") for i in range(6)],
    "plasma": [
        published.coplan(source, f"Step 1: {source} boils water", goal=f"make tea {i}")
        for i in range(6)
        for source in ("human", "curie")
    ],
}
FORMATS = {"tldr": "tldr", "helpful": "hh", "harmless": "hh", "plasma": "coplan"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A tiny model, and per data set: published rows, imported, labelled (by hand), and its SFT model."""
    root = tmp_path_factory.mktemp("recipes")
    texts = [json.dumps(rows) for rows in ROWS.values()]
    tokenizer = bpe_tokenizer(texts, 300)
    save(small_llama(tokenizer, hidden=16, layers=1, heads=2, context=2048), tokenizer, root / "model")
    for key, rows in ROWS.items():
        data = root / key
        data.mkdir()
        (data / "rows.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
        imported = ["--data", data / "rows.json", "--output", data / "pairs.jsonl", "--sft_output", data / "sft.jsonl"]
        assert main(["import", FORMATS[key], *map(str, imported)]) == 0
        pairs = read_pairs(data / "pairs.jsonl", ReadOptions(votes="mean"))
        assert len(pairs) == 6
        labelled = [replace(pair, soft_label=0.5 + 0.08 * i) for i, pair in enumerate(pairs)]
        write_rows(data / "labelled.jsonl", map(written_row, labelled))
        assert train(root, "paper/sft", root / "model", data / "sft.jsonl", root / f"sft-{key}") == 0
    return root


def train(root, name, model, data, output):
    arguments = [
        "--model",
        model,
        "--data",
        data,
        "--output_dir",
        output,
        "--train.max_steps",
        1,
        "--train.bf16",
        "false",
    ]
    return main(["train", "--config", str(RECIPES[name]), *map(str, arguments), "--train.disable_tqdm", "true"])


@pytest.mark.parametrize("name", RECIPES)
def test_it_runs_from_published_rows_to_a_trained_model(place, name):
    folder, key = name.split("/")
    run = place / folder / key
    if key == "sft":
        assert train(place, name, place / "model", place / "harmless" / "sft.jsonl", run) == 0
    else:
        assert train(place, name, place / f"sft-{key}", place / key / "labelled.jsonl", run) == 0
    record = json.loads((run / "run.json").read_text())
    assert record["finished"]["steps"] == 1
    # half of six prompts, or all six pairs, of which none was dropped
    assert record["data"]["tokens"]["kept"] == (3 if key == "sft" else 6)
    assert (run / "model.safetensors").is_file()
    if key != "sft":
        assert record["method"]["arguments"] == {"beta": BETAS[key][1]}
        assert record["method"]["label_treatment"] == "geometric"
        assert record["model"]["identity"] == record["reference"]
        # the policy starts as its reference, and the first step of a warm-up is of length 0
        last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
        assert last["train_loss"] == pytest.approx(math.log(2), abs=1e-4)
