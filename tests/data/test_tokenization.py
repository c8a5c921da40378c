"""Prompt and response ids: the boundary, exactly one terminator and bos, and what does not fit."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tokenizers_by_hand as by_hand
from softpref.data.pairs import Completion, PreferencePair
from softpref.data.tokenization import PromptEncoder, TokenCounts, TokenizedPair, TokenOptions, tokenize_pairs
from softpref.demo.small_model import bpe_tokenizer
from softpref.errors import DataError, InputError, OptionError

PAIR = PreferencePair("make tea ", "boil the water", "wait", 0.75, weight=2.0, row=4)


def user(text):
    return [{"role": "user", "content": text}]


def answer(text):
    return [{"role": "assistant", "content": text}]


CHAT_PAIR = PreferencePair(user("make tea"), answer("boil the water."), answer("wait"), 0.75, row=4)


@pytest.fixture(scope="module")
def bpe():
    return bpe_tokenizer(by_hand.TEXTS, vocabulary_size=320)


def tokens_of(pair, tokenizer, **options):
    [found] = tokenize_pairs([pair], tokenizer, TokenOptions(**options))
    return found


def faults_of(pair, tokenizer):
    with pytest.raises(DataError) as caught:
        tokenize_pairs([pair], tokenizer, name="pairs.jsonl")
    assert str(caught.value).startswith("pairs.jsonl: ")
    return caught.value.faults


# -------------------------------------------------------------------------------------------------- by hand


def test_a_pair_by_hand():
    """0 pad, 1 end, 2 unk, then the words in order: , . boil make no pot tea the wait water yes."""
    tokenizer = by_hand.words()
    assert tokenizer.get_vocab()["boil"] == 5
    found = tokenize_pairs([PAIR], tokenizer)
    # make tea | boil the water end, and wait end
    assert list(found) == [TokenizedPair([6, 9], [5, 10, 12, 1], [11, 1], 0.75, 2.0, 4)]
    assert found.counts == TokenCounts(kept=1)
    assert found[0].tokens == 2 + 4 + 2


def test_an_unlabelled_pair_and_a_completion():
    tokenizer = by_hand.words()
    [pair] = tokenize_pairs([PreferencePair("make tea ", "yes", "no", row=1)], tokenizer)
    assert pair.soft_label is None
    [completion] = tokenize_pairs([Completion("make tea ", "yes", weight=0.5, row=2)], tokenizer, with_rejected=False)
    assert completion == TokenizedPair([6, 9], [13, 1], [], None, 0.5, 2)


def test_only_the_chosen_side_where_the_other_is_not_trained_on():
    [pair] = tokenize_pairs([PAIR], by_hand.words(), with_rejected=False)
    assert (pair.chosen, pair.rejected) == ([5, 10, 12, 1], [])


def test_an_empty_response_is_its_terminator():
    """54 PandaLM pairs have one."""
    assert tokens_of(PreferencePair("make tea ", "", "wait", 0.9), by_hand.words()).chosen == [1]


# -------------------------------------------------------------------------------------------------- one terminator, one bos


@pytest.mark.parametrize(
    ("bos", "eos", "prompt"),
    [(bos, eos, "make tea ") for bos in (False, True) for eos in (False, True)]
    + [(True, eos, "<bos> make tea ") for eos in (False, True)],
)
@pytest.mark.parametrize("response", ["boil the water", "boil the water <end>"])
def test_exactly_one_bos_and_one_terminator(bos, eos, prompt, response):
    """Whether the tokenizer writes them, the text has them already, or neither."""
    tokenizer = by_hand.words(bos, eos)
    found = tokens_of(PreferencePair(prompt, response, "wait", 0.9), tokenizer)
    start = [tokenizer.bos_token_id] if bos else []
    assert (found.prompt, found.chosen, found.rejected) == ([*start, 6, 9], [5, 10, 12, 1], [11, 1])


@pytest.mark.parametrize(("bos", "eos"), [(False, False), (True, False), (False, True), (True, True)])
def test_an_empty_prompt_is_bos_or_else_eos(bos, eos):
    """A first token needs something before it."""
    tokenizer = by_hand.words(bos, eos)
    found = tokens_of(PreferencePair("", "wait", "yes", 0.9), tokenizer)
    assert (found.prompt, found.chosen) == ([tokenizer.bos_token_id if bos else 1], [11, 1])


def test_a_response_with_an_end_in_its_middle_is_refused():
    [fault] = faults_of(PreferencePair("make tea ", "wait <end> boil <end>", "wait", 0.9, row=3), by_hand.words())
    assert (fault.row, fault.field) == (3, "chosen")
    assert "<end>" in fault.problem
    assert "remove" in fault.mend


@pytest.mark.parametrize("eos", [False, True])
def test_the_end_of_an_earlier_turn_stays_in_the_prompt(eos):
    """A prompt that was rendered by hand may end in eos: it is no part of the response, which keeps its one terminator."""
    found = tokens_of(PreferencePair("make tea <end>", " boil", " wait", 0.9), by_hand.words(eos=eos))
    assert (found.prompt, found.chosen, found.rejected) == ([6, 9, 1], [5, 1], [11, 1])


# eos, template: the terminator that a model learns, and what follows it in the template is cut
TEMPLATES = [
    (by_hand.TURN_END, by_hand.CHATML, by_hand.TURN_END),
    (None, by_hand.CHATML, by_hand.TURN_END),
    (None, by_hand.BARE, "<end>"),
    (None, by_hand.BOTH, by_hand.TURN_END),
]


@pytest.mark.parametrize(("eos", "template", "terminator"), TEMPLATES)
@pytest.mark.parametrize("text", ["boil the water.", "", "boil.\n", "wait, \n\n"])
def test_a_template_ends_a_response_exactly_once(eos, template, terminator, text):
    tokenizer = by_hand.chat(template, eos)
    found = tokens_of(PreferencePair(user("make tea"), answer(text), answer("no"), 0.9), tokenizer)
    last = tokenizer.convert_tokens_to_ids(terminator)
    ends = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(by_hand.TURN_END)}
    assert found.chosen[-1] == last
    assert sum(token in ends for token in found.chosen) == 1
    assert tokenizer.decode(found.chosen[:-1]).rstrip("\n") == text.rstrip("\n")
    assert found.prompt == PromptEncoder(tokenizer).prompt(user("make tea"))


def test_a_conversation_is_all_prompt():
    tokenizer = by_hand.chat(by_hand.CHATML, by_hand.TURN_END)
    turns = [*user("tea?"), *answer("yes"), *user("hot?")]
    found = tokens_of(PreferencePair(turns, answer("no"), answer("wait"), 0.9), tokenizer)
    expected = (
        "<|turn|>user\ntea?<|turn_end|>\n<|turn|>assistant\nyes<|turn_end|>\n<|turn|>user\nhot?<|turn_end|>\n<|turn|>assistant\n"
    )
    assert tokenizer.decode(found.prompt) == expected
    assert tokenizer.decode(found.chosen) == "no<|turn_end|>"


# eos written twice, a line end after it, a rendered turn with Phi-3's two terminators: the first is the one
@pytest.mark.parametrize("tail", ["<|turn_end|>", "<|turn_end|>\n", "<|turn_end|>\n<end>", "<|turn_end|><|turn_end|>"])
def test_a_string_that_ends_in_terminators_keeps_the_first(tail):
    tokenizer = by_hand.chat(by_hand.BOTH)
    found = tokens_of(PreferencePair("tea?", f" boil{tail}", " wait", 0.9), tokenizer)
    assert tokenizer.decode(found.chosen) == " boil<|turn_end|>"
    assert tokenizer.decode(found.rejected) == " wait<end>"


def test_a_string_that_goes_on_after_the_end_of_a_turn_is_refused():
    """Generation would stop there, so nothing after it could ever be said."""
    goes_on = PreferencePair("tea?", " wait", " boil<|turn_end|>\n<|turn|>user\nthanks", 0.9, row=2)
    [fault] = faults_of(goes_on, by_hand.chat(by_hand.CHATML))
    assert (fault.row, fault.field) == (2, "rejected")
    assert "<|turn_end|>" in fault.problem


def test_a_completion_is_named_as_such():
    [fault] = faults_of(Completion("make tea ", "wait <end> boil", row=6), by_hand.words())
    assert (fault.row, fault.field) == (6, "completion")


# -------------------------------------------------------------------------------------------------- the boundary

MERGING = PreferencePair("a", "bc", "x", 0.9, row=7)


def test_a_merge_across_the_boundary_is_an_error(bpe):
    """The text is "abc " sixty times, so abc became one token: a|bc has no boundary in tokens."""
    assert len(bpe("abc")["input_ids"]) == 1
    assert len(bpe("a")["input_ids"]) == 1
    [fault] = faults_of(MERGING, bpe)
    assert fault.row == 7
    assert "merges" in fault.problem
    assert "boundary" in fault.mend


def test_a_merge_on_the_rejected_side_alone_is_one_too(bpe):
    [fault] = faults_of(PreferencePair("a", "x", "bc", 0.9, row=8), bpe)
    assert (fault.row, fault.field) == (8, "rejected")


def test_merging_rows_are_dropped_and_counted_where_asked(bpe):
    good = PreferencePair("a", " x", " bc", 0.9, row=2)
    found = tokenize_pairs([MERGING, good, MERGING], bpe, TokenOptions(boundary="drop"))
    assert [pair.row for pair in found] == [2]
    assert found.counts == TokenCounts(kept=1, boundary=2)


def test_all_merging_rows_are_named_together(bpe):
    with pytest.raises(DataError, match="3 faults"):
        tokenize_pairs([MERGING] * 3, bpe)


@settings(deadline=None)
@given(prompt=st.text(max_size=8), response=st.text(max_size=8))
def test_a_split_gives_the_tokens_of_the_whole_or_is_refused(bpe, prompt, response):
    """prompt ids ++ response ids = the ids of the joined text, and one end; the prompt's are those of the prompt alone."""
    assume("<" not in response)  # the generator knows the markers in our sources, and a terminator has tests of its own
    pair = Completion(prompt, response)
    whole, alone = bpe(prompt + response)["input_ids"], bpe(prompt)["input_ids"]
    if whole[: len(alone)] != alone:
        assert faults_of(pair, bpe)
        return
    found = tokens_of(pair, bpe)
    end = bpe.eos_token_id
    assert found.prompt == (alone or [end])
    assert (found.prompt if alone else []) + found.chosen == [*whole, end]


@pytest.mark.parametrize("template", [by_hand.THINKING, by_hand.SHIFTING])
def test_a_template_that_renders_the_prompt_differently_with_the_answer_is_refused(template):
    [fault] = faults_of(CHAT_PAIR, by_hand.chat(template))
    assert fault.row == 4
    assert "renders the prompt differently once an answer follows" in fault.problem
    assert "thinking" in fault.mend


def test_a_template_that_knows_no_system_role_is_a_fault_of_the_row():
    """Gemma's and others raise inside jinja; the row is named and the others are read."""
    system = [{"role": "system", "content": "be brief"}, *user("make tea")]
    rows = [CHAT_PAIR, PreferencePair(system, answer("boil"), answer("wait"), 0.9, row=5)]
    with pytest.raises(DataError) as caught:
        tokenize_pairs(rows, by_hand.chat(by_hand.NO_SYSTEM))
    [fault] = caught.value.faults
    assert (fault.row, fault.field) == (5, "prompt")
    assert "no system role" in fault.problem
    assert "template" in fault.mend


def test_a_template_that_refuses_the_answer_is_a_fault_of_the_answer():
    refused = [{"role": "tool", "content": "boil"}]
    [fault] = faults_of(PreferencePair(user("make tea"), answer("a"), refused, 0.9), by_hand.chat(by_hand.NO_TOOLS))
    assert (fault.field, "no tools" in fault.problem) == ("rejected", True)


def test_only_a_boundary_may_be_dropped_for_being_one():
    """Text that was rendered already is in every row or a mistake in one: never dropped under another's name."""
    rendered = PreferencePair(user("<|turn|>user\ntea"), answer("boil"), answer("wait"), 0.9, row=5)
    with pytest.raises(DataError, match="rendered already"):
        tokenize_pairs([CHAT_PAIR, rendered], by_hand.chat(by_hand.CHATML), TokenOptions(boundary="drop"))


# -------------------------------------------------------------------------------------------------- rendered already


@pytest.mark.parametrize("side", ["prompt", "chosen", "rejected"])
def test_text_that_was_templated_already_is_refused_where_it_stands(side):
    texts = {"prompt": user("make tea"), "chosen": answer("boil"), "rejected": answer("wait")}
    role = texts[side][0]["role"]
    texts[side] = [{"role": role, "content": f"<|turn|>{role}\nmake tea<|turn_end|>\n"}]
    [fault] = faults_of(PreferencePair(**texts, soft_label=0.9, row=5), by_hand.chat(by_hand.CHATML))
    assert fault.row == 5
    assert "rendered already" in fault.problem
    assert fault.field == side


def test_rendered_strings_are_taken_as_they_stand():
    """The other way to give a conversation: the text itself, its markers included."""
    tokenizer = by_hand.chat(by_hand.CHATML, by_hand.TURN_END)
    prompt = tokenizer.apply_chat_template(user("make tea"), tokenize=False, add_generation_prompt=True)
    rendered = PreferencePair(prompt, "boil the water.<|turn_end|>", "wait", 0.75, row=4)
    assert tokens_of(rendered, tokenizer) == tokens_of(CHAT_PAIR, tokenizer)


def test_messages_need_a_template():
    with pytest.raises(InputError, match="no chat template"):
        tokenize_pairs([CHAT_PAIR], by_hand.words())


def test_a_tokenizer_without_an_end_is_refused():
    tokenizer = by_hand.words()
    tokenizer.eos_token = None
    with pytest.raises(InputError, match=r"data: the tokenizer has no eos token"):
        tokenize_pairs([PAIR], tokenizer)


# -------------------------------------------------------------------------------------------------- what does not fit


def lengths(found):
    return [(len(pair.prompt), len(pair.chosen), len(pair.rejected)) for pair in found]


def test_a_pair_fits_to_the_last_token():
    """2 of the prompt and 4 of the longer side, its end included."""
    assert lengths(tokenize_pairs([PAIR], by_hand.words(), TokenOptions(max_length=6))) == [(2, 4, 2)]


def test_a_pair_that_does_not_fit_is_dropped_whole_and_counted():
    """The rejected side would fit; half a pair is none."""
    short = PreferencePair("make tea ", "yes", "no", 0.9, row=5)
    found = tokenize_pairs([PAIR, short, PAIR], by_hand.words(), TokenOptions(max_length=5))
    assert [pair.row for pair in found] == [5]
    assert found.counts == TokenCounts(kept=1, too_long=2)


def test_a_truncated_answer_gets_no_terminator_and_a_whole_one_keeps_its_own():
    found = tokenize_pairs([PAIR], by_hand.words(), TokenOptions(max_length=5, truncation="keep"))
    assert (found[0].prompt, found[0].chosen, found[0].rejected) == ([6, 9], [5, 10, 12], [11, 1])
    assert found.counts == TokenCounts(kept=1, cut=1)


def test_a_prompt_that_leaves_no_room_is_dropped_even_then():
    short = PreferencePair("make ", "yes", "no", 0.9, row=5)
    long = PreferencePair("make tea , wait ", "yes", "no", 0.9, row=6)
    found = tokenize_pairs([long, short], by_hand.words(), TokenOptions(max_length=4, truncation="keep"))
    assert lengths(found) == [(1, 2, 2)]
    assert found.counts == TokenCounts(kept=1, too_long=1)


def test_sides_that_were_cut_to_the_same_tokens_are_dropped_and_counted():
    """boil the | water and boil the | pot: what is left teaches nothing."""
    alike = PreferencePair("make tea ", "boil the water", "boil the pot", 0.9, row=5)
    found = tokenize_pairs([alike, PAIR], by_hand.words(), TokenOptions(max_length=4, truncation="keep"))
    assert [pair.row for pair in found] == [4]
    assert found.counts == TokenCounts(kept=1, cut=1, identical=1)


def test_sides_that_a_template_trims_to_the_same_are_dropped_and_counted():
    tokenizer = by_hand.chat(by_hand.TRIMMING)
    alike = PreferencePair(user("make tea"), answer("wait"), answer("wait \n"), 0.9)
    found = tokenize_pairs([CHAT_PAIR, alike], tokenizer)
    assert found.counts == TokenCounts(kept=1, identical=1)
    [kept] = tokenize_pairs([alike], tokenizer, TokenOptions(identical="keep"))
    assert kept.chosen == kept.rejected
    with pytest.raises(InputError, match="1 whose sides are the same tokens"):
        tokenize_pairs([alike], tokenizer)


def test_no_limit():
    pair = PreferencePair("make tea ", "wait " * 3000, "no", 0.9)
    assert len(tokens_of(pair, by_hand.words(), max_length=None).chosen) == 3001


def test_every_row_is_kept_or_counted(bpe):
    rows = [MERGING, PreferencePair("q", " " + "x" * 50, " a", 0.9), PreferencePair("q", " a", " b", 0.9)]
    found = tokenize_pairs(rows, bpe, TokenOptions(max_length=10, boundary="drop"))
    assert found.counts.as_dict() == {"kept": 1, "cut": 0, "too_long": 1, "boundary": 1, "identical": 0, "common": 0}


def test_nothing_left_is_an_error_with_the_counts(bpe):
    with pytest.raises(InputError, match=r"pairs\.csv: no row is left .*0 longer than max_length=1024, 1 whose prompt"):
        tokenize_pairs([MERGING], bpe, TokenOptions(boundary="drop"), name="pairs.csv")


@pytest.mark.parametrize("options", [{"truncation": "cut"}, {"boundary": "keep"}, {"identical": "error"}, {"max_length": 1}])
def test_options_are_checked(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        TokenOptions(**options)
