"""What an engine is given before it draws: the policy's weights by their names in files, adapters merged, nothing moved."""

import copy

import pytest
import torch
from peft import IA3Config, LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from softpref.errors import InputError, OptionError
from softpref.generation.sampling import Response
from softpref.training.on_policy import OnlinePrompt, SampledPair, engine_apart, refuse_another_model
from softpref.training.vllm_sampler import policy_weights, refuse_what_cannot_be_put


def bits(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.fixture
def untied():
    """A head of its own, so that PEFT can train it whole."""
    torch.manual_seed(2)
    config = LlamaConfig(
        vocab_size=27,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config)


def test_of_a_whole_model_they_are_its_weights_and_buffers(tiny_llama):
    """Of tied embeddings both names: an adapter may be on one of the two."""
    tiny_llama.model.layers[0].register_buffer("scalar", torch.tensor([2.0]))
    given, expected = dict(policy_weights(tiny_llama)), tiny_llama.state_dict()
    assert {"lm_head.weight", "model.embed_tokens.weight", "model.layers.0.scalar"} < given.keys()
    assert given.keys() == expected.keys()
    assert all(torch.equal(given[name], expected[name]) and not given[name].requires_grad for name in given)


@pytest.mark.parametrize("whole", [None, ["lm_head"]])
def test_an_adapter_is_merged_and_the_policy_stays_as_it_was(untied, whole):
    """peft's own merge of a copy is the peer; the base's odd weights would lose bits if the adapter were subtracted again."""
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=7, target_modules=["q_proj", "down_proj"], modules_to_save=whole, bias="none")
    policy = get_peft_model(copy.deepcopy(untied), config)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter))
    before = bits(policy)
    given = {name: value.clone() for name, value in policy_weights(policy)}
    after = bits(policy)
    assert all(torch.equal(before[name], after[name]) for name in before)
    merged = copy.deepcopy(policy).merge_and_unload().state_dict()
    assert given.keys() == merged.keys()
    for name, value in merged.items():
        torch.testing.assert_close(given[name], value, rtol=0, atol=1e-6)
    plain = untied.state_dict()
    moved = {name for name in plain if not torch.equal(plain[name], given[name])}
    assert {name.split(".")[-2] for name in moved} == {"q_proj", "down_proj", *(whole or [])}


def test_an_adapter_that_was_loaded_by_transformers_has_the_same_names(tiny_llama, tmp_path):
    torch.manual_seed(1)
    tiny_llama.save_pretrained(tmp_path / "base")
    tuned = get_peft_model(copy.deepcopy(tiny_llama), LoraConfig(r=2, target_modules=["v_proj"], init_lora_weights=False))
    tuned.save_pretrained(tmp_path / "adapter")
    loaded = copy.deepcopy(tiny_llama)
    loaded.load_adapter(str(tmp_path / "adapter"))
    ours, theirs = dict(policy_weights(loaded)), dict(policy_weights(tuned))
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(
    ("config", "what"),
    [
        (LoraConfig(target_modules=["q_proj"], trainable_token_indices=[3]), "lora and trainable_token_indices"),
        (IA3Config(target_modules=["k_proj"], feedforward_modules=[]), "ia3"),
    ],
)
def test_adapters_that_cannot_be_put_into_an_engine_are_refused(untied, config, what):
    with pytest.raises(OptionError, match=f"works with one LoRA adapter on modules, not with {what}: leave it out"):
        refuse_what_cannot_be_put(get_peft_model(untied, config))


def test_several_adapters_and_quantised_models_are_refused_and_plain_ones_pass(untied):
    refuse_what_cannot_be_put(untied)
    policy = get_peft_model(untied, LoraConfig(target_modules=["q_proj"]))
    refuse_what_cannot_be_put(policy)
    policy.add_adapter("other", LoraConfig(target_modules=["q_proj"]))
    with pytest.raises(OptionError, match="not with several adapters"):
        refuse_what_cannot_be_put(policy)
    untied.is_quantized = True
    with pytest.raises(OptionError, match="quantised"):
        refuse_what_cannot_be_put(untied)


# -------------------------------------------------------------------------------------------------- another model


def drawn(*logps):
    """One pair of responses of 4 and 2 tokens, as the engine had them."""
    first, second = (Response(0, k, "", [5] * (4, 2)[k], True, logp) for k, logp in enumerate(logps))
    return [SampledPair(OnlinePrompt("p", [3], 1), first, second)]


def policys(chosen, rejected):
    from softpref.core.pair import PairLogps

    return PairLogps(torch.tensor([chosen]), torch.tensor([rejected]))


def test_an_engine_that_is_another_model_is_refused():
    """|−6.4 + 6| / 4 = 0.1 and |−2.4 + 2| / 2 = 0.2 nats a token; the most is 0.05. What is no number is no agreement."""
    pairs, ours = drawn(-6.4, -2.4), policys(-6.0, -2.0)
    assert engine_apart(pairs, ours) == pytest.approx([0.1, 0.2], abs=1e-6)
    with pytest.raises(InputError, match=r"0\.15 nats a token apart, and 0\.05 is the most"):
        refuse_another_model(pairs, ours)
    with pytest.raises(InputError, match="nan nats a token apart"):
        refuse_another_model(drawn(float("nan"), -2.0), ours)


def test_rounding_of_other_kernels_and_engines_that_say_nothing_pass():
    """|−6.08 + 6| / 4 = 0.02 and |−1.88 + 2| / 2 = 0.06: 0.04 on average."""
    refuse_another_model(drawn(-6.08, -1.88), policys(-6.0, -2.0))
    refuse_another_model(drawn(None, None), policys(-6.0, -2.0))
