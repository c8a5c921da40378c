"""Messages have the token ids that TRL's DPOTrainer gives them, in every family of chat templates; and where they have not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import chat_families
from softpref.data.tokenization import TokenOptions, tokenize_pairs
from softpref.data.validation import pairs_from_rows
from softpref.errors import DataError

trl = pytest.importorskip("trl")


def system(text):
    return {"role": "system", "content": text}


def user(text):
    return {"role": "user", "content": text}


def answer(text, **keys):
    return {"role": "assistant", "content": text, **keys}


CALL = [{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "weather", "parameters": {"type": "object"}}}]
PARIS, FOUR = [answer("The capital is Paris.")], [answer("two plus two is four")]
ROWS = {
    "one turn": {"prompt": [user("What is the capital of France?")], "chosen": PARIS, "rejected": FOUR},
    "system": {"prompt": [system("be brief"), user("What is the capital?")], "chosen": PARIS, "rejected": FOUR},
    "several turns": {
        "prompt": [user("two plus two?"), answer("four"), user("And the capital?")],
        "chosen": PARIS,
        "rejected": FOUR,
    },
    "thoughts": {
        "prompt": [user("two plus two?"), answer("<think>\nplus\n</think>\n\nfour"), user("And the capital?")],
        "chosen": [answer("<think>\nFrance\n</think>\n\nParis")],
        "rejected": FOUR,
    },
    "reasoning_content": {
        "prompt": [user("capital?")],
        "chosen": [answer("Paris", reasoning_content="France")],
        "rejected": FOUR,
    },
    "tools": {"prompt": [user("weather in Paris?")], "chosen": [answer("21 degrees")], "rejected": FOUR, "tools": TOOLS},
    "a call in the prompt": {
        "prompt": [user("weather?"), answer(None, tool_calls=CALL), {"role": "tool", "content": "21 degrees"}],
        "chosen": [answer("It is 21 degrees")],
        "rejected": FOUR,
        "tools": TOOLS,
    },
    "a call as answer": {"prompt": [user("weather?")], "chosen": [answer("", tool_calls=CALL)], "rejected": FOUR, "tools": TOOLS},
    "an answer of several messages": {
        "prompt": [user("weather?")],
        "chosen": [answer("", tool_calls=CALL), {"role": "tool", "content": "21 degrees"}, answer("It is 21 degrees")],
        "rejected": FOUR,
        "tools": TOOLS,
    },
    "an empty answer": {"prompt": [user("capital?")], "chosen": PARIS, "rejected": [answer("")]},
    "an assistant's message last": {"prompt": [user("capital?"), answer("The capital is")], "chosen": PARIS, "rejected": FOUR},
    "no thinking": {
        "prompt": [user("capital?")],
        "chosen": PARIS,
        "rejected": FOUR,
        "chat_template_kwargs": {"enable_thinking": False},
    },
    "effort": {
        "prompt": [user("capital?")],
        "chosen": PARIS,
        "rejected": FOUR,
        "chat_template_kwargs": {"reasoning_effort": "high"},
    },
}
# What a family's template has no words for; we say so, where TRL renders something else or leaves it out.
REFUSED = {
    "system": {"mistral", "gemma"},
    "tools": {"gemma", "phi3", "deepseek-r1", "zephyr", "command-r"},
    "a call in the prompt": {"gemma", "phi3", "deepseek-r1", "zephyr", "command-r"},
    "a call as answer": {"gemma", "phi3", "deepseek-r1", "zephyr", "command-r"},
    "an answer of several messages": {"gemma", "phi3", "deepseek-r1", "zephyr", "command-r"},
    "an assistant's message last": {"gemma"},
    "no thinking": set(chat_families.FAMILIES) - {"qwen3", "smollm3"},
    "effort": set(chat_families.FAMILIES) - {"harmony"},
}
FAMILIES = [*chat_families.FAMILIES]


class Rows(list):
    """What DPOTrainer asks of a data set."""

    def map(self, function, fn_kwargs=None, **_):
        return Rows(function(dict(row), **(fn_kwargs or {})) for row in self)


def trl_ids(tokenizer, row):
    """Prompt, chosen and rejected as DPOTrainer's own preparation gives them."""
    trainer = SimpleNamespace(_tokenizer=tokenizer)
    args = SimpleNamespace(dataset_num_proc=None, max_length=None, truncation_mode="keep_start")
    [prepared] = trl.DPOTrainer._prepare_dataset(trainer, Rows([row]), tokenizer, args, "train")
    return tuple(prepared[f"{side}_ids"] for side in ("prompt", "chosen", "rejected"))


def our_ids(tokenizer, row, **options):
    pairs = pairs_from_rows([(1, {**row, "soft_label": 0.8})], "rows")
    [found] = tokenize_pairs(pairs, tokenizer, TokenOptions(**options))
    return found.prompt, found.chosen, found.rejected


# Templates that write the end of a prompt otherwise once an answer follows: a thought that is opened or closed there.
RE_RENDERED = {("qwen3", "an assistant's message last"), *(("deepseek-r1", case) for case in ROWS)}


@pytest.mark.parametrize("case", ROWS)
@pytest.mark.parametrize("family", FAMILIES)
def test_ids_are_trl_s_up_to_what_is_written_after_the_end(family, case):
    """TRL also trains on what the template writes after the end of the turn: a line end, or a second terminator."""
    tokenizer = chat_families.tokenizer(family)
    if family in REFUSED.get(case, ()):
        with pytest.raises(DataError):
            our_ids(tokenizer, ROWS[case], boundary="common")
        return
    options = {}
    if (family, case) in RE_RENDERED:
        options = {"boundary": "common"}
        with pytest.raises(DataError, match=r"renders the prompt differently .* set boundary: common"):
            our_ids(tokenizer, ROWS[case])
    ours, theirs = our_ids(tokenizer, ROWS[case], **options), trl_ids(tokenizer, ROWS[case])
    assert ours[0] == theirs[0]
    for mine, trls in zip(ours[1:], theirs[1:], strict=True):
        assert mine == trls[: len(mine)]
        rest = tokenizer.decode(trls[len(mine) :])
        assert rest in ("", "\n", "\n<|endoftext|>", " \n<|endoftext|>")
