"""Pairs as other trainers read them: by the target's own code where it is installed, else by its documented schema."""

import json

import datasets
import pytest
from trl.data_utils import is_conversational, maybe_apply_chat_template, maybe_extract_prompt

from softpref.data.exporting import TARGETS, export_pairs
from softpref.data.formats import write_rows
from softpref.data.pairs import PreferencePair
from softpref.errors import DataError
from tokenizers_by_hand import chat

ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Tea?"}]
YES, NO = ([{"role": "assistant", "content": text}] for text in ("Yes.", "No."))
TALK = PreferencePair(ASKED, YES, NO, 0.8, id="a")
PLAIN = PreferencePair("Tea?", " Yes.", " No.", 0.9, weight=2.0)
TIE = PreferencePair("Milk?", " Yes.", " No.", 0.5)
CALL = {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {}}}]}
RESULT = {"role": "tool", "content": "3"}
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
HARD = [name for name, target in TARGETS.items() if not target.labels]


def exported(name, *pairs, beside=False):
    return export_pairs(pairs, TARGETS[name], "pairs", beside)


def only(name, pair):
    [row] = exported(name, pair).rows
    return row


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.mark.parametrize("pairs", [[TALK, TALK], [PLAIN, PLAIN]])
@pytest.mark.parametrize("name", HARD)
def test_datasets_loads_every_form(tmp_path, name, pairs):
    """All of these trainers read JSONL through ``datasets``: the rows come back as they are."""
    rows = exported(name, *pairs).rows
    write_rows(tmp_path / "rows.jsonl", rows)
    assert list(datasets.load_dataset("json", data_files=str(tmp_path / "rows.jsonl"), split="train")) == rows


def test_trl_takes_text_and_conversations():
    assert only("trl", PLAIN) == {"prompt": "Tea?", "chosen": " Yes.", "rejected": " No."}
    row = only("trl", TALK)
    assert is_conversational(row)
    assert maybe_extract_prompt(row) == row
    tokenizer = chat(TEMPLATE)
    assert maybe_apply_chat_template(row, tokenizer) == {
        "prompt": "<system>Be brief.<user>Tea?<assistant>",
        "chosen": "Yes.",
        "rejected": "No.",
    }


def test_trl_takes_tools_and_several_messages():
    pair = PreferencePair(ASKED, [CALL, RESULT, *YES], NO, 0.8, tools=[{"type": "function"}])
    row = only("trl", pair)
    assert (row["chosen"], row["tools"]) == ([CALL, RESULT, *YES], [{"type": "function"}])


def test_axolotl_has_messages_and_one_message_a_side():
    """docs.axolotl.ai, RLHF, chat_template.default: messages, and chosen and rejected as {role, content}."""
    assert only("axolotl", TALK) == {"messages": ASKED, "chosen": YES[0], "rejected": NO[0]}


def test_llama_factory_has_sharegpt_rankings():
    """data/README.md of LLaMA-Factory: human and observation at odd places, gpt and function at even ones, system before."""
    row = only("llama-factory", TALK)
    assert row == {
        "conversations": [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Tea?"}],
        "chosen": {"from": "gpt", "value": "Yes."},
        "rejected": {"from": "gpt", "value": "No."},
    }
    twice = PreferencePair([*ASKED, *ASKED[1:]], YES, NO, 0.8)
    with pytest.raises(DataError, match="does not alternate between user and assistant, for which LLaMA-F"):
        exported("llama-factory", twice)


def test_ms_swift_has_the_chosen_answer_in_its_messages():
    """swift.readthedocs.io, Custom dataset, RLHF: messages that end with the chosen answer, and rejected_response."""
    assert only("ms-swift", TALK) == {"messages": [*ASKED, *YES], "rejected_response": "No."}


def test_openrlhf_has_its_three_keys():
    """RewardDataset of OpenRLHF: with prompt_key, prompt + chosen and prompt + rejected go through the template."""
    assert only("openrlhf", TALK) == {"prompt": ASKED, "chosen": YES, "rejected": NO}


def test_nemo_rl_ranks_completions_from_0():
    """docs.nvidia.com/nemo/rl, DPO datasets: context, completions [{rank, completion}], rank 0 is best."""
    assert only("nemo-rl", TALK) == {
        "context": ASKED,
        "completions": [{"rank": 0, "completion": YES}, {"rank": 1, "completion": NO}],
    }


@pytest.mark.parametrize("name", ["axolotl", "llama-factory", "ms-swift", "nemo-rl"])
def test_text_becomes_messages_where_the_form_has_nothing_else(name):
    text = json.dumps(only(name, PLAIN))
    assert '"Tea?"' in text
    assert '" Yes."' in text


@pytest.mark.parametrize("name", HARD)
def test_ties_have_no_better_side(name):
    found = exported(name, TIE, PLAIN)
    assert (len(found.rows), found.ties) == (1, 1)


@pytest.mark.parametrize("name", ["parquet", "hub"])
def test_ties_stay_where_labels_do(name):
    assert [row["soft_label"] for row in exported(name, TIE, PLAIN).rows] == [0.5, 0.9]


def test_what_has_no_place_is_counted_and_labels_can_stand_beside():
    found = exported("trl", TALK, PLAIN)
    assert found.without_place == {"soft_label": 2, "id": 1, "weight": 1}
    found = exported("trl", TALK, PLAIN, beside=True)
    assert [(row["soft_label"], row.get("weight")) for row in found.rows] == [(0.8, None), (0.9, 2.0)]
    assert found.without_place == {"id": 1}


@pytest.mark.parametrize("name", [name for name in HARD if name != "trl"])
def test_what_a_form_cannot_hold_is_a_fault_of_its_row(name):
    tools = PreferencePair(ASKED, YES, NO, 0.8, row=7, tools=[{"type": "function"}])
    with pytest.raises(DataError, match=r"row 7, messages: tools for the chat template, for which .* has no place"):
        exported(name, tools)
    if name != "openrlhf":
        with pytest.raises(DataError, match=r"for which .* has no place; leave the row out"):
            exported(name, PreferencePair(ASKED, [CALL, RESULT, *YES], NO, 0.8, row=8))
