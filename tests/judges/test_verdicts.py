"""Which side a judge's text is for, or that it is for none: what could be read either way is no verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest

from softpref.errors import InputError
from softpref.judges.prompt import load_prompt, parse_prompt
from softpref.judges.reading import read_logprobs, read_verdicts
from softpref.judges.verdicts import find_verdict, visible

PROMPT = load_prompt("general")
LETTERS = replace(PROMPT, first=("A",), second=("B",))

FIRST = """1|Response 1|**Response 1**|[[1]]|1.|(1)|\\boxed{1}|"1"|“1”|１|# 1|- 1|`1`|Option 1.|one|First
The answer is 1.|Answer: **1**|The first response is better.|Response 1 is much better than Response 2.|I prefer response 1
1, because it is apt|{"winner": "1"}|Response 2 is clear. Response 1 is right. Final answer: 1|<answer>1</answer>|回答1更好
My verdict is: Response 1|Response 1 wins"""
NONE = """|Neither|Both|10|1.5|1/2|2/2|1 and 2 are equal|Answer: 1 or 2?|Answer: 10|I'm sorry|Response|Response 1 is wrong
Response 1 is clear. Response 2 is wrong.|Response 1 is better in style, but Response 2 is right.|My answer is not 1
**Response 1** ok **Response 2** no|The worse response is 1|One of these is better|First, let us look at both|11. 12.
The first response is|The better response"""


@pytest.mark.parametrize("text", FIRST.replace("\n", "|").split("|"))
def test_what_is_a_verdict(text):
    verdict = find_verdict(text, PROMPT.first, PROMPT.second, "better")
    assert verdict is not None
    assert verdict.side == "first"
    assert text[verdict.start] in "1１oFf"


@pytest.mark.parametrize("text", NONE.replace("\n", "|").split("|"))
def test_what_is_none(text):
    assert find_verdict(text, PROMPT.first, PROMPT.second, "better") is None


def test_the_last_marked_verdict_counts():
    text = "At first [[A]] seems right. But B is correct, so [[B]]"
    assert find_verdict(text, LETTERS.first, LETTERS.second, "better").side == "second"
    assert find_verdict("A good response says why", LETTERS.first, LETTERS.second, "better") is None


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("1", "first"),
        ("The more harmful response is 2", "second"),
        ("Response 2 is more harmful.", "second"),
        ("The better response is 1", None),
        ("Response 1 is better", None),
    ],
)
def test_a_prompt_that_asks_for_the_worse_is_answered_with_the_worse(text, side):
    verdict = find_verdict(text, PROMPT.first, PROMPT.second, "worse")
    assert (verdict.side if verdict else None) == side


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<think>2 is it</think>\n1", "1"),
        ("2 is it</think>1", "1"),
        ("<think>2", ""),
        ("<think>a</think><think>b</think> 1", "1"),
        ("[THINK]2[/THINK]1", "1"),
        ("<|channel|>analysis<|message|>2<|end|><|channel|>final<|message|>1", "1"),
        ("1 has no <think> tag", "1 has no <think> tag"),
    ],
)
def test_thoughts_are_not_said(text, said):
    assert visible(text) == said


@pytest.mark.parametrize("filler", ["<|is|>", " ", '"', "the ", "answer ", "[[", "<think>", "response 1 ", "is "])
def test_long_texts_come_to_an_end(filler):
    """A judge may say anything, twenty thousand times; patterns that try every split of it would never come back."""
    assert find_verdict(visible(filler * 20_000), PROMPT.first, PROMPT.second, "better") is None


# ------------------------------------------------------------------------------------------------------ a prompt's own patterns

OWN = ((r"Verdict: (?:(?P<first>A)|(?P<second>B)|(?P<tie>C)|(?P<none>D))"),)


def test_a_prompt_s_patterns_decide_alone():
    """Two for A, one for B, one tie: with a = 1, (2 + ½ + 1) / (4 + 2); D is no answer, and neither is what they do not find."""
    prompt = replace(LETTERS, verdicts=OWN)
    texts = ["Verdict: B. No, Verdict: A", "Verdict: A", "Verdict: B", "Verdict: C"]
    reading = read_verdicts(texts, prompt, 1.0)
    assert 2.718281828459045**reading.first_logp == pytest.approx(3.5 / 6)
    assert read_verdicts(["Verdict: D", "A", "[[A]]", "Verdict: A"], prompt, 1.0).mass == 0.25


def test_log_probs_are_read_where_a_prompt_s_pattern_finds_the_answer():
    prompt = replace(LETTERS, verdicts=OWN)
    sampled = ["Ver", "dict", ":", " ", "A"]
    positions = [{token: -0.01} for token in sampled[:-1]] + [{"A": -0.5, "B": -1.5}]
    reading = read_logprobs(positions, sampled, prompt)
    assert (reading.first_logp, reading.second_logp) == (-0.5, -1.5)


def test_a_number_that_begins_with_an_answer_is_none():
    assert read_logprobs([{"1": -0.1, "2": -3.0}, {"0": -0.1}], ["1", "0"], PROMPT).failure is not None


# ------------------------------------------------------------------------------------------------------ prompt files

TOML = """
name = "own"
version = "1"
asks_for = "better"
criterion = "c"
text = "{prompt} {first} {second}"
[chat]
system = "s"
user = "{prompt} {first} {second}"
[answers]
first = ["A"]
second = ["B"]
"""


def test_patterns_stand_in_the_prompt_file_and_make_it_another_prompt():
    own = parse_prompt(TOML + "[verdict]\npatterns = ['(?P<first>A)!|(?P<second>B)!']\n", "p.toml")
    assert own.verdicts == ("(?P<first>A)!|(?P<second>B)!",)
    assert own.identity != parse_prompt(TOML, "p.toml").identity


def test_identities_of_shipped_prompts_are_what_they_were():
    """Answers that were paid for stay good."""
    assert load_prompt("general").identity == "general@1:8f410606cba5"
    assert load_prompt("harmless").identity == "harmless@1:84b97827d6c0"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('["A"]', '["**Response 1**"]', r"answers.first: '\*\*Response 1\*\*' can never be read"),
        ('["A"]', '[\'{"winner": "A"}\']', "answers.first: .* can never be read"),
        ('["A"]', '["", "A"]', "can never be read"),
        ('["A"]', "[]", "answers.first: is empty"),
        ('["A"]', "[[1]]", r"answers.first: holds \[1\]; give spellings as text"),
        ('["A"]', "[true]", "answers.first: holds True"),
        ('["A"]', '["[[B]]"]', "have a spelling in common"),
        ('"own"', "9" * 5000, "a number has thousands of digits"),
        ('"own"', "0x" + "f" * 5000, "name is a number of thousands of digits"),
        ('"own"', "[" * 5000, "is not TOML"),
        ('"own"', "3", "name is 3; give a str"),
        ('second = ["B"]', 'second = ["B"]\n[verdict]\npatterns = ["("]', "is no regular expression"),
        ('second = ["B"]', 'second = ["B"]\n[verdict]\npatterns = ["A"]', "needs named groups of first, second, tie, none"),
        ('second = ["B"]', 'second = ["B"]\n[verdict]\npatterns = ["(?P<first>A)"]', "no pattern has the group second"),
        ('second = ["B"]', 'second = ["B"]\n[verdict]\npatterns = [1]', "holds 1; give regular expressions as text"),
        ('second = ["B"]', 'second = ["B"]\n[verdict]\npattern = ["A"]', "pattern is no key of a judge prompt"),
    ],
)
def test_a_prompt_file_with_a_fault_is_one_message(old, new, message):
    with pytest.raises(InputError, match=rf"^p\.toml: .*{message}"):
        parse_prompt(TOML.replace(old, new, 1), "p.toml")


def test_a_file_that_is_not_utf_8(tmp_path):
    (tmp_path / "p.toml").write_bytes(b"name = 'caf\xe9'")
    with pytest.raises(InputError, match=r"p\.toml: is not UTF-8 \(byte 11\); save it as UTF-8"):
        load_prompt(str(tmp_path / "p.toml"))
