"""What can end a response with a tokenizer, and that prompts are rendered and tokenised once."""

import pytest

import tokenizers_by_hand as by_hand
from softpref.data.prompt_encoder import PromptEncoder, SideError

TEA = [{"role": "user", "content": "make tea"}]
BOIL = [{"role": "assistant", "content": "boil"}]
SYSTEM = [{"role": "system", "content": "be brief"}]


def terminators(tokenizer):
    return {tokenizer.convert_ids_to_tokens(i) for i in PromptEncoder(tokenizer).terminators}


@pytest.mark.parametrize(
    ("template", "eos", "special", "expected"),
    [
        (by_hand.CHATML, by_hand.TURN_END, True, {by_hand.TURN_END}),
        (by_hand.CHATML, None, True, {by_hand.TURN_END, "<end>"}),
        # Phi-3: of two in a row the first
        (by_hand.BOTH, None, True, {by_hand.TURN_END, "<end>"}),
        # markers that were added as common tokens
        (by_hand.CHATML, None, False, {by_hand.TURN_END, "<end>"}),
        (by_hand.BARE, None, True, {"<end>"}),
        (by_hand.THINKING, None, True, {by_hand.TURN_END, "<end>"}),
        (by_hand.NO_SYSTEM, None, True, {by_hand.TURN_END, "<end>"}),
        # refuses every conversation, the probe too
        ("{{ raise_exception('no') }}", None, True, {"<end>"}),
        ("{{ 'nothing of it' }}", None, True, {"<end>"}),
        (None, None, True, {"<end>"}),
    ],
)
def test_what_can_end_a_response(template, eos, special, expected):
    assert terminators(by_hand.chat(template, eos, special)) == expected


def test_a_terminator_that_pads_as_well_is_still_one():
    tokenizer = by_hand.chat(by_hand.CHATML)
    tokenizer.pad_token = by_hand.TURN_END
    encoder = PromptEncoder(tokenizer)
    assert encoder.split(TEA, BOIL)[1][-1] == tokenizer.pad_token_id
    assert encoder.terminators <= encoder.markers.keys()


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("template", [by_hand.CHATML, by_hand.BOTH, by_hand.BARE])
def test_training_ends_a_response_where_generation_stops(template, special):
    """The last token of what is trained on is a terminator, and the only one."""
    encoder = PromptEncoder(by_hand.chat(template, special=special))
    _, response = encoder.split(TEA, BOIL)
    assert [token in encoder.terminators for token in response] == [False] * (len(response) - 1) + [True]


@pytest.mark.parametrize("appends", [True, False])
def test_one_token_for_bos_and_eos(appends):
    """OPT's: what it writes before everything is no eos after it."""
    encoder = PromptEncoder(by_hand.words(bos=True, eos=appends, first="<end>"))
    assert encoder.prompt("make tea <end>") == [1, 6, 9, 1]
    assert encoder.split("make tea ", "boil") == ([1, 6, 9], [5, 1])


def test_the_prompt_of_many_responses_is_rendered_once(monkeypatch):
    """One prompt in three pairs: once alone, and six times with a response."""
    tokenizer = by_hand.chat(by_hand.CHATML)
    encoder, rendered = PromptEncoder(tokenizer), []
    render = tokenizer.apply_chat_template
    monkeypatch.setattr(tokenizer, "apply_chat_template", lambda *a, **k: rendered.append(a) or render(*a, **k))
    splits = [encoder.split([dict(TEA[0])], BOIL) for _ in range(6)]
    assert len(rendered) == 1 + 6
    splits[0][0].append(-1)
    assert splits[1] == encoder.split(TEA, BOIL)


def test_a_string_and_the_messages_that_it_spells_are_two_prompts():
    tokenizer = by_hand.chat(by_hand.CHATML)
    encoder = PromptEncoder(tokenizer)
    text = '[{"role": "user", "content": "make tea"}]'
    assert encoder.split(TEA, BOIL)[0] != encoder.split(text, " boil")[0]
    assert tokenizer.decode(encoder.split(text, " boil")[0]) == text


def test_generation_hears_of_a_prompt_that_the_template_refuses():
    with pytest.raises(SideError, match=r"prompt: the chat template refuses it \(no system role\); give messages"):
        PromptEncoder(by_hand.chat(by_hand.NO_SYSTEM)).prompt(SYSTEM + TEA)
