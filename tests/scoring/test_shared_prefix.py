"""The fast path gives the plain path's numbers and gradients, in float64, for one family of models after another."""

from __future__ import annotations

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from same_update import CORNERS, IN_FP32, LOSSES, assert_equal, assert_same_update, update
from softpref.data.tokenization import TokenizedPair
from softpref.scoring.attention import CannotPackError, packed_attention
from softpref.scoring.packing import Group
from softpref.scoring.plain import pair_logps
from softpref.scoring.shared_prefix import PackedScorer, head_rule, refuse_unknown_attention
from tiny_models import CONTEXT, FAMILIES, SHAPE, alone, pairs_of, randomised, tiny

# Norms over the root mean square are taken in fp32 whatever the weights are, and so is Gemma 2's softmax of attention.
DIGITS = {"gpt2": 1e-12, "gpt_neox": 1e-12, "phi": 1e-12}

sizes = st.lists(
    st.integers(0, 14).flatmap(lambda n: st.tuples(st.just(n), *[st.integers(1, CONTEXT - n)] * 2)),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss["loss_type"])
@pytest.mark.parametrize("family", FAMILIES)
def test_corner_cases_in_one_row(family, loss):
    """Log-probs, lengths, loss and every parameter's gradient; two sides may also be the same tokens."""
    same = TokenizedPair([5, 6, 7], [8, 9, 1], [8, 9, 1], 0.7, 1.0, 99)
    slopes = assert_same_update(tiny(family), [*pairs_of(CORNERS), same], DIGITS.get(family, IN_FP32), loss)
    assert all(slope.abs().max() > 1e-4 for slope in slopes.values()), "nothing to compare"


@pytest.mark.parametrize("family", ["llama", "gemma3", "mistral, windowed", "gpt2", "mixtral"])
@settings(deadline=None, max_examples=6)
@given(sizes, st.integers(0, 99))
def test_random_lengths(family, several, seed):
    assert_same_update(tiny(family), pairs_of(several, seed), DIGITS.get(family, IN_FP32), scorers={"shared": PackedScorer()})


def test_the_prompt_matters_and_the_other_response_does_not():
    """Were a response to see the other one, or not its prompt, these would be the other way round."""
    model, (pair, other, prompt) = tiny("llama"), pairs_of([(4, 3, 5), (4, 6, 5), (4, 3, 5)])
    with torch.no_grad():
        before = PackedScorer()(model, [pair]).rejected
        assert PackedScorer()(model, [TokenizedPair(pair.prompt, other.chosen, pair.rejected, 0.7, 1.0, 1)]).rejected == (
            pytest.approx(before.item(), abs=1e-12)
        )
        moved = PackedScorer()(model, [TokenizedPair(prompt.prompt, pair.chosen, pair.rejected, 0.7, 1.0, 1)]).rejected
    assert abs(moved.item() - before.item()) > 0.1


def test_three_responses_to_a_prompt():
    """Not only pairs: R log-probs in the order of the groups."""
    model = tiny("qwen3")
    one, two = pairs_of([(5, 3, 4), (2, 6, 1)])
    groups = [Group(one.prompt, [one.chosen, one.rejected, two.chosen]), Group(two.prompt, [two.rejected])]
    sums, lengths = PackedScorer().response_logps(model, groups)
    third = TokenizedPair(one.prompt, two.chosen, [], None, 1.0, 1)
    first, second, last = alone(model, [one]), alone(model, [third]), alone(model, [two])
    expected = torch.cat([first.chosen, first.rejected, second.chosen, last.rejected])
    torch.testing.assert_close(sums, expected, rtol=0, atol=IN_FP32)
    assert lengths.tolist() == [3, 4, 6, 1]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_an_adapter_gets_its_gradient_and_the_base_none(family):
    peft = pytest.importorskip("peft")
    targets = ["c_attn", "c_fc"] if family == "gpt2" else ["q_proj", "v_proj", "down_proj"]
    settings = peft.LoraConfig(
        task_type="CAUSAL_LM", target_modules=targets, r=2, fan_in_fan_out=family == "gpt2", init_lora_weights=False
    )
    bare = tiny(family)
    model = peft.get_peft_model(type(bare)(bare.config).double(), settings).double().eval()
    randomised(model)
    trained = [name for name, value in model.named_parameters() if value.requires_grad]
    assert trained
    assert all(".lora_" in name for name in trained)
    assert_same_update(model, pairs_of(CORNERS), DIGITS.get(family, IN_FP32))


def test_gradient_checkpointing_computes_the_same_attention_again():
    """The backward pass runs inside ``packed_attention``, as the trainer does it."""
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE)).double()
    randomised(model)
    pairs = pairs_of(CORNERS)
    expected, slopes = update(model, alone(model, pairs), **LOSSES[0])
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    model.train()
    computed = []
    handle = model.model.layers[0].input_layernorm.register_forward_hook(lambda *_: computed.append(1))
    with packed_attention(model):
        value, found = update(model, PackedScorer()(model, pairs), **LOSSES[0])
    handle.remove()
    assert len(computed) == 2
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(found, slopes, rtol=0, atol=IN_FP32)


def test_nothing_to_compute_is_zero():
    """An empty prompt and one-token answers: no token is predicted from another."""
    model = tiny("llama")
    scores = PackedScorer()(model, pairs_of([(0, 1, 1)]))
    assert (scores.chosen.tolist(), scores.rejected.tolist()) == ([0], [0])
    assert (scores.chosen_length.tolist(), scores.rejected_length.tolist()) == ([1], [1])
    scores.chosen.sum().backward()
    assert all(value.grad is None or not value.grad.any() for value in model.parameters())
    model.zero_grad()


def test_the_model_is_as_it_was_afterwards():
    model = tiny("gemma2")
    decoder = model.get_decoder()
    PackedScorer()(model, pairs_of([(2, 3, 1)]))
    assert model.config._attn_implementation == "eager"
    assert not decoder._forward_hooks
    with pytest.raises(IndexError):
        PackedScorer()(model, [TokenizedPair([999], [5, 6], [7], 0.7, 1.0, 1)])
    assert model.config._attn_implementation == "eager"
    assert not decoder._forward_hooks


def test_the_vocabulary_meets_no_position_in_the_models_own_head():
    """Its head is called on nothing, or, where it makes the logits itself, on the M positions that are scored."""
    model, pairs = tiny("llama"), pairs_of([(5, 3, 4)])
    shapes = []
    handle = model.lm_head.register_forward_hook(lambda _module, given_, _made: shapes.append(tuple(given_[0].shape)))
    PackedScorer()(model, pairs)
    PackedScorer(chunked_head=False)(model, pairs)
    handle.remove()
    assert shapes == [(1, 0, 16), (1, 7, 16)]


def mamba():
    config = transformers.MambaConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, state_size=2)
    return transformers.MambaForCausalLM(config)


def llama4():
    settings = {"head_dim": 4, "intermediate_size_mlp": 8, "num_local_experts": 1, "attention_chunk_size": 4}
    return transformers.Llama4ForCausalLM(transformers.Llama4TextConfig(**SHAPE, **settings))


def minimax():
    kinds = ["linear_attention", "full_attention"]
    config = transformers.MiniMaxConfig(**SHAPE, layer_types=kinds, num_local_experts=1, num_experts_per_tok=1)
    return transformers.MiniMaxForCausalLM(config)


@pytest.mark.parametrize(
    ("make", "message"), [(mamba, "cannot be exchanged"), (llama4, "chunked"), (minimax, "linear_attention")]
)
def test_other_kinds_of_layers_are_refused(make, message):
    """A state space, attention in chunks, and a hybrid."""
    model = make()
    with pytest.raises(CannotPackError, match=message):
        refuse_unknown_attention(model)
    with pytest.raises(CannotPackError, match=message):
        PackedScorer()(model, pairs_of([(2, 2, 2)]))


@pytest.mark.parametrize(
    ("family", "scale", "cap"),
    [("llama", 1.0, None), ("gemma2", 1.0, 3.0), ("cohere", 0.25, None), ("granite", 0.25, None)],
)
def test_the_rule_of_the_head_is_read_from_the_configuration(family, scale, cap):
    rule = head_rule(tiny(family).config)
    assert (rule.scale, rule.cap) == (scale, cap)


def test_bf16_weights_are_scored_in_fp32():
    """Rounding of a bf16 model aside (0.2 nats per √token), and summed in fp32: the plain path's own precision."""
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SHAPE)).bfloat16()
    pairs = pairs_of([(5, 9, 12), (3, 18, 4)])
    ours, plain = PackedScorer()(model, pairs), pair_logps(model, pairs)
    assert ours.chosen.dtype == torch.float32
    assert_equal(ours, plain, 0.05)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("family", ["llama", "gemma3", "mistral, windowed", "gpt2"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_on_a_device(family, dtype):
    """float64 as on the CPU; in bf16 within rounding of the plain path."""
    bare = tiny(family)
    model = type(bare)(bare.config).to("cuda", dtype)
    model.load_state_dict(bare.state_dict())
    pairs = pairs_of(CORNERS)
    ours, plain = PackedScorer()(model, pairs), pair_logps(model, pairs)
    assert ours.chosen.device.type == "cuda"
    assert_equal(ours, plain, 1e-9 if dtype == torch.float64 else 0.3)
    (ours.chosen - ours.rejected).sum().backward()
    assert all(value.grad.isfinite().all() for value in model.parameters() if value.grad is not None)
