"""What is said about rows that become tokens, and is no fault."""

from __future__ import annotations

import chat_families
import tokenizers_by_hand as by_hand
from softpref.data.pairs import Completion, PreferencePair
from softpref.data.token_notes import token_notes
from softpref.data.tokenization import TokenCounts

USER, ANSWER = [{"role": "user", "content": "a"}], [{"role": "assistant", "content": "b"}]
THOUGHT = [{"role": "assistant", "content": "b", "reasoning_content": "c"}]


def notes(rows, tokenizer, **counts):
    return token_notes(rows, TokenCounts(kept=len(rows), **counts), tokenizer)


def test_plain_strings_beside_a_chat_template_are_told_with_what_to_write():
    rows = [
        PreferencePair("a", " b", " c"),
        PreferencePair(USER, ANSWER, THOUGHT),
        Completion("<|turn|>user\na<|turn_end|>", "b"),
    ]
    [note] = notes(rows[:1] + rows[2:], by_hand.chat(by_hand.CHATML))
    assert note.startswith("1 of 2 prompts are plain strings, so the chat template is not used for them")
    assert '[{"role": "user", "content": "…"}]' in note
    assert notes(rows[:1], by_hand.words()) == []


def test_a_thought_that_the_template_leaves_out_is_told():
    rows = [PreferencePair(USER, ANSWER, THOUGHT), PreferencePair(USER, ANSWER, ANSWER)]
    [note] = notes(rows, chat_families.tokenizer("qwen2.5"))
    assert "does not render reasoning_content: it is left out of 1 of 2 rows" in note
    assert notes(rows, chat_families.tokenizer("qwen3")) == notes(rows, chat_families.tokenizer("harmony")) == []


def test_prompts_that_were_cut_back_are_told():
    [note] = notes([PreferencePair(USER, ANSWER, ANSWER)], chat_families.tokenizer("deepseek-r1"), common=1)
    assert note.startswith("1 of 1 prompts end where the chat template renders them otherwise")
