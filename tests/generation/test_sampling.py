"""Generated tokens are those that a loop of one token at a time gives, in any company, after any interruption."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from softpref.data.rendering import prompt_with
from softpref.data.tokenization import PromptEncoder
from softpref.demo.small_model import small_llama
from softpref.errors import OptionError
from softpref.generation.sampling import Response, Sampling, generate

PROMPTS = [
    "make tea for two :",
    "wait",
    "boil the water . pour the water . add tea leaves :",
    "a b",
    "serve tea , yes ?",
]
GREEDY = Sampling(max_new_tokens=12)


@pytest.fixture(scope="module")
def model(word_tokenizer):
    """Weights larger than at a start, so that what is likeliest depends on what was said."""
    made = small_llama(word_tokenizer, hidden=16, layers=2, heads=2, context=64, seed=3)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if "norm" not in name:
                weight.mul_(6)
    return made.eval()


@pytest.fixture
def ended(model):
    """The model with a second terminator: ``ended(5)`` makes token 5 end a response too."""
    before = model.generation_config.eos_token_id

    def end_at(*tokens):
        model.generation_config.eos_token_id = [before, *tokens]

    yield end_at
    model.generation_config.eos_token_id = before


@torch.no_grad()
def naive(model, tokenizer, prompt, steps, ends=()):
    """The likeliest token, appended, again: no cache, no padding, no batch."""
    ids = PromptEncoder(tokenizer).prompt(prompt)
    tokens = []
    while len(tokens) < steps and not (tokens and tokens[-1] in ends):
        logits = model(input_ids=torch.tensor([ids + tokens])).logits[0, -1]
        tokens.append(int(logits.argmax()))
    return tokens


def run(model, tokenizer, prompts, sampling, done=frozenset()):
    return [response for batch in generate(model, tokenizer, prompts, sampling, done) for response in batch]


def by_place(responses):
    return {(response.prompt, response.sample): response for response in responses}


# -------------------------------------------------------------------------------------------------- greedy


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_greedy_is_the_naive_loop_in_any_batch(model, word_tokenizer, batch_size):
    """Prompts of 1 to 11 tokens, padded on the left in every batch but the first."""
    found = by_place(run(model, word_tokenizer, PROMPTS, replace(GREEDY, batch_size=batch_size)))
    expected = [naive(model, word_tokenizer, prompt, 12, ends={1}) for prompt in PROMPTS]
    assert len({tuple(tokens) for tokens in expected}) > 2
    assert [found[i, 0].tokens for i in range(len(PROMPTS))] == expected


def test_a_response_ends_with_its_terminator_and_one_that_does_not_is_unfinished(model, word_tokenizer, ended):
    """Token 3 of the first response is made a terminator, as <|eot|> beside eos in a model's generation config."""
    free = naive(model, word_tokenizer, PROMPTS[0], 12)
    end = next(token for token in free if token != free[0])
    ended(end)
    found = by_place(run(model, word_tokenizer, PROMPTS, GREEDY))
    expected = [naive(model, word_tokenizer, prompt, 12, ends={1, end}) for prompt in PROMPTS]
    assert [found[i, 0].tokens for i in range(len(PROMPTS))] == expected
    assert [found[i, 0].finished for i in range(len(PROMPTS))] == [tokens[-1] in (1, end) for tokens in expected]
    assert found[0, 0].tokens == free[: free.index(end) + 1]
    assert len({len(tokens) for tokens in expected}) > 1


def test_an_end_at_the_last_allowed_token_is_an_end(model, word_tokenizer, ended):
    free = naive(model, word_tokenizer, PROMPTS[0], 4)
    ended(free[-1])
    first = free.index(free[-1]) + 1
    [found] = run(model, word_tokenizer, PROMPTS[:1], Sampling(max_new_tokens=first))
    assert (found.tokens, found.finished) == (free[:first], True)
    if first > 1:
        [cut] = run(model, word_tokenizer, PROMPTS[:1], Sampling(max_new_tokens=first - 1))
        assert (cut.tokens, cut.finished) == (free[: first - 1], False)


def test_text_is_what_the_tokens_say_without_the_end(model, word_tokenizer):
    for response in run(model, word_tokenizer, PROMPTS, Sampling(1.0, samples=4, max_new_tokens=30)):
        body = [token for token in response.tokens if token > 2]
        assert response.text == word_tokenizer.decode(body).strip()
        assert response.finished is (response.tokens[-1] == 1)
        assert 1 not in response.tokens[:-1]
        assert len(response.tokens) <= 30


def test_longest_prompts_first_and_places_as_given(model, word_tokenizer):
    batches = list(generate(model, word_tokenizer, PROMPTS, replace(GREEDY, batch_size=2)))
    assert [[response.prompt for response in batch] for batch in batches] == [[2, 0], [4, 3], [1]]


def test_a_conversation_is_answered_through_the_template(model, word_tokenizer):
    tokenizer = copy.deepcopy(word_tokenizer)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }} : {% endfor %}"
    [found] = run(model, tokenizer, [[{"role": "user", "content": "make tea for two"}]], GREEDY)
    assert found.tokens == naive(model, word_tokenizer, "make tea for two :", 12, ends={1})


# -------------------------------------------------------------------------------------------------- sampling

SAMPLED = Sampling(temperature=1.0, samples=3, max_new_tokens=10, batch_size=6, seed=4)


def test_a_conversation_is_answered_with_its_tools_and_template_arguments(model, word_tokenizer):
    tokenizer = copy.deepcopy(word_tokenizer)
    tokenizer.chat_template = "{{ messages[0].content }}{% if tools %} {{ tools[0].name }}{% endif %} {{ drink or 'tea' }} :"
    conversation = [{"role": "user", "content": "make"}]
    prompts = [conversation, prompt_with(conversation, [{"name": "pot"}], {"drink": "water"})]
    asked = Sampling(max_new_tokens=12, chat_template_kwargs={"drink": "leaves"})
    answered = by_place(run(model, tokenizer, prompts, asked))
    as_text = by_place(run(model, word_tokenizer, ["make leaves :", "make pot water :"], GREEDY))
    assert {place: response.tokens for place, response in answered.items()} == {
        place: response.tokens for place, response in as_text.items()
    }


def test_records_without_template_arguments_are_as_they_were():
    assert "chat_template_kwargs" not in GREEDY.as_dict()
    assert replace(GREEDY, chat_template_kwargs={"a": 1}).as_dict()["chat_template_kwargs"] == {"a": 1}


def test_a_resumed_run_gives_what_an_unbroken_one_gives(model, word_tokenizer):
    batches = list(generate(model, word_tokenizer, PROMPTS, SAMPLED))
    assert len(batches) == 3
    for stopped_after in range(3):
        done = {response.prompt for batch in batches[:stopped_after] for response in batch}
        assert list(generate(model, word_tokenizer, PROMPTS, SAMPLED, done)) == batches[stopped_after:]


def test_a_batch_of_which_one_prompt_is_missing_is_drawn_again_alike(model, word_tokenizer):
    batches = list(generate(model, word_tokenizer, PROMPTS, SAMPLED))
    missing = batches[1][0].prompt
    assert list(generate(model, word_tokenizer, PROMPTS, SAMPLED, set(range(5)) - {missing})) == [batches[1]]


def test_every_prompt_gets_its_samples_and_they_differ(model, word_tokenizer):
    found = by_place(run(model, word_tokenizer, PROMPTS, SAMPLED))
    assert sorted(found) == [(i, k) for i in range(5) for k in range(3)]
    assert len({tuple(response.tokens) for response in found.values()}) > 10


def test_the_same_seed_repeats_and_another_does_not(model, word_tokenizer):
    torch.manual_seed(99)
    one = run(model, word_tokenizer, PROMPTS, SAMPLED)
    torch.manual_seed(1)
    assert run(model, word_tokenizer, PROMPTS, SAMPLED) == one
    assert run(model, word_tokenizer, PROMPTS, replace(SAMPLED, seed=5)) != one


def test_no_random_state_and_no_mode_is_left_changed(model, word_tokenizer):
    model.train()
    before = torch.get_rng_state()
    run(model, word_tokenizer, PROMPTS, SAMPLED)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    model.eval()


@pytest.mark.parametrize("temperature", [0.7, 2.0])
def test_samples_are_drawn_at_the_temperature(model, word_tokenizer, temperature):
    """4000 first tokens of one prompt against softmax(logits / T): every frequency within 5 standard errors."""
    n = 4000
    sampling = Sampling(temperature, samples=n, max_new_tokens=1, batch_size=n)
    counts = torch.zeros(len(word_tokenizer))
    for response in run(model, word_tokenizer, PROMPTS[:1], sampling):
        counts[response.tokens[0]] += 1
    logits = model(input_ids=torch.tensor([PromptEncoder(word_tokenizer).prompt(PROMPTS[0])])).logits[0, -1]
    p = torch.softmax(logits / temperature, dim=0)
    error = (p * (1 - p) / n).sqrt() + 1 / n
    assert ((counts / n - p).abs() < 5 * error).all()


def test_top_p_keeps_to_the_nucleus(model, word_tokenizer):
    sampling = Sampling(2.0, top_p=0.5, samples=500, max_new_tokens=1, batch_size=500)
    drawn = {response.tokens[0] for response in run(model, word_tokenizer, PROMPTS[:1], sampling)}
    logits = model(input_ids=torch.tensor([PromptEncoder(word_tokenizer).prompt(PROMPTS[0])])).logits[0, -1]
    p, order = torch.softmax(logits / 2.0, dim=0).sort(descending=True)
    nucleus = int((p.cumsum(0) < 0.5).sum()) + 1
    assert drawn == set(order[:nucleus].tolist())


# -------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"top_p": 0.0, "temperature": 1.0}, "top_p"),
        ({"top_p": 0.9}, "no effect with greedy"),
        ({"samples": 2}, "needs a temperature above 0"),
        ({"samples": 0, "temperature": 1.0}, "at least 1"),
        ({"max_new_tokens": 0}, "at least 1"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(OptionError, match=message):
        Sampling(**options)


def test_a_batch_holds_at_least_one_prompt(model, word_tokenizer):
    batches = list(generate(model, word_tokenizer, PROMPTS[:2], replace(SAMPLED, batch_size=1)))
    assert [len(batch) for batch in batches] == [3, 3]
    assert isinstance(batches[0][0], Response)
