"""Attention by spans is softmax over a masked (T, T), forward and backward; what it cannot do, it refuses."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dense_attention import HEADS, SIZE, dense, layer, rows
from softpref.scoring.attention import (
    NAME,
    CannotPackError,
    _flash,
    attention_by_spans,
    causal_lm,
    packed_attention,
    visible,
)
from softpref.scoring.packing import Group, Span, pack


def random_qkv(tokens, key_heads, seed=0):
    """Queries, keys and values whose scores spread over some nats, so that a wrong mask shows."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(1, heads, tokens, SIZE) for heads in (HEADS, key_heads, key_heads)]
    return [torch.randn(*shape, generator=generator, dtype=torch.float64).mul_(2).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("softcap", [None, 3.0])
@settings(deadline=None, max_examples=40)
@given(
    rows.filter(lambda row: row.spans),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([None, 1, 2, 3, 5]),
    st.sampled_from([None, 0.8]),
)
def test_equals_the_dense_form(softcap, row, key_heads, window, scaling):
    """Grouped heads, windows, own scalings; and, with a cap, Gemma 2's softmax in fp32, which costs digits."""
    given_ = random_qkv(row.ids.shape[1], key_heads)
    ours, _ = attention_by_spans(layer(), *given_, None, scaling, softcap, sliding_window=window, softpref_spans=row.spans)
    naive = dense(*given_, row.spans, window, softcap, scaling)
    assert ours.shape == naive.shape
    close = {"rtol": 0, "atol": 1e-12 if softcap is None else 1e-5}
    torch.testing.assert_close(ours, naive, **close)
    upstream = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1), dtype=ours.dtype)
    slopes, expected = (torch.autograd.grad((found * upstream).sum(), given_) for found in (ours, naive))
    torch.testing.assert_close(slopes, expected, **close)


def test_a_span_sees_its_prefix_and_itself_and_not_the_span_before():
    """Keys of the first response (column 2) move; the second response (column 3), after the same prompt, stays."""
    spans = pack([Group([1, 1], [[1, 1], [1, 1]])]).spans
    assert spans == (Span(0, 3, 0, 0), Span(3, 4, 0, 2))
    query, key, value = random_qkv(4, HEADS)
    before, _ = attention_by_spans(layer(), query, key, value, None, softpref_spans=spans)
    with torch.no_grad():
        key[:, :, 2] += 5
        value[:, :, 2] += 5
    after, _ = attention_by_spans(layer(), query, key, value, None, softpref_spans=spans)
    changed = (after != before).any(-1).any(-1)[0]
    assert changed.tolist() == [False, False, True, False]


def test_visible_by_hand():
    """A span of two tokens at positions 3 and 4, after a prefix of three."""
    span = Span(7, 9, 0, 3)
    assert visible(span, None).int().tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    assert visible(span, 2).int().tolist() == [[0, 0, 1, 1, 0], [0, 0, 0, 1, 1]]
    assert visible(span, 1).int().tolist() == [[0, 0, 0, 1, 0], [0, 0, 0, 0, 1]]


@pytest.mark.parametrize(("kind", "window"), [("sliding_attention", 2), ("full_attention", None)])
def test_a_window_that_the_layer_does_not_hand_on_is_read_from_its_configuration(kind, window):
    given_ = random_qkv(6, HEADS)
    spans = (Span(0, 6, 0, 0),)
    ours, _ = attention_by_spans(layer(layer_types=[kind], sliding_window=2), *given_, None, softpref_spans=spans)
    torch.testing.assert_close(ours, dense(*given_, spans, window))


def varlen_by_the_book(query, key, value, ends_q, ends_k, longest_q, longest_k, *, scale, window_size, enable_gqa):
    """What PyTorch says of ``varlen_attn``, on any device: segment by segment, its mask aligned at the end."""
    (left, right), found = window_size, []
    assert right == 0, "causal"
    assert enable_gqa == (query.shape[1] != key.shape[1])
    for (q_low, q_high), (k_low, k_high) in zip(pairwise(ends_q.tolist()), pairwise(ends_k.tolist()), strict=True):
        q, k, v = query[q_low:q_high], key[k_low:k_high], value[k_low:k_high]
        assert len(q) <= longest_q
        assert len(k) <= longest_k
        k, v = (one.repeat_interleave(q.shape[1] // one.shape[1], 1) for one in (k, v))
        behind = torch.arange(len(q))[:, None] + len(k) - len(q) - torch.arange(len(k))
        seen = (behind >= 0) & ((behind <= left) if left >= 0 else True)
        scores = torch.einsum("ihd,jhd->hij", q, k) * (scale or 1 / math.sqrt(q.shape[-1]))
        found.append(torch.einsum("hij,jhd->ihd", scores.masked_fill(~seen, -math.inf).softmax(-1), v))
    return torch.cat(found)


@settings(deadline=None, max_examples=40)
@given(
    rows.filter(lambda row: row.spans),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([None, 1, 2, 3, 5]),
    st.sampled_from([None, 0.8]),
)
def test_flash_attention_is_asked_for_the_dense_form(row, key_heads, window, scaling):
    """On a GPU all spans are one call of ``varlen_attn``; here one that does what its documentation says stands in."""
    given_ = random_qkv(row.ids.shape[1], key_heads)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.nn.attention.varlen.varlen_attn", varlen_by_the_book)
        ours = _flash(*given_, row.spans, window, scaling)
    naive = dense(*given_, row.spans, window, None, scaling)
    torch.testing.assert_close(ours, naive, rtol=0, atol=1e-12)
    slopes, expected = (torch.autograd.grad(found.square().sum(), given_) for found in (ours, naive))
    torch.testing.assert_close(slopes, expected, rtol=0, atol=1e-10)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("key_heads", [1, 4])
def test_on_a_device_in_bf16(window, softcap, key_heads):
    """Flash attention (and, with a cap, the plain one) within the rounding of bf16, forward and backward."""
    spans = pack([Group([1] * 70, [[1] * 30, [1] * 41]), Group([1] * 5, [[1], [1] * 9])]).spans
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, heads, spans[-1].end, 64) for heads in (HEADS, key_heads, key_heads)]
    exact = [torch.randn(shape, generator=generator).bfloat16().double().requires_grad_() for shape in shapes]
    given_ = [one.detach().to("cuda", torch.bfloat16).requires_grad_() for one in exact]
    ours, _ = attention_by_spans(layer(), *given_, None, 0.125, softcap, sliding_window=window, softpref_spans=spans)
    naive = dense(*exact, spans, window, softcap, 0.125)
    torch.testing.assert_close(ours.cpu().double(), naive, rtol=0, atol=0.03)
    for slope, right in zip(
        torch.autograd.grad(ours.float().sum(), given_), torch.autograd.grad(naive.sum(), exact), strict=True
    ):
        torch.testing.assert_close(slope.cpu().double(), right, rtol=0, atol=0.03 * float(right.abs().max() + 1))


def test_what_is_not_understood_is_refused():
    given_ = random_qkv(2, HEADS)
    spans = (Span(0, 2, 0, 0),)
    with pytest.raises(CannotPackError, match="keeps keyword arguments back"):
        attention_by_spans(layer(), *given_, None)
    with pytest.raises(CannotPackError, match="takes s_aux, which is unknown"):
        attention_by_spans(layer(), *given_, None, softpref_spans=spans, s_aux=torch.zeros(4))
    with pytest.raises(CannotPackError, match="takes dropout"):
        attention_by_spans(layer(), *given_, None, softpref_spans=spans, dropout=0.1)
    harmless = {"position_ids": torch.arange(2)[None], "cache_position": torch.arange(2), "is_causal": True}
    attention_by_spans(layer(), *given_, None, softpref_spans=spans, **harmless)


def test_a_span_that_continues_none_is_a_fault():
    with pytest.raises(ValueError, match="continues none before it"):
        attention_by_spans(layer(), *random_qkv(4, HEADS), None, softpref_spans=(Span(0, 2, 0, 0), Span(2, 4, 1, 3)))


@pytest.mark.parametrize("before", ["sdpa", "eager"])
def test_the_model_attends_as_before_afterwards(tiny_llama, before):
    """Also after an error, and after one use inside another."""
    tiny_llama.set_attn_implementation(before)
    with packed_attention(tiny_llama):
        assert tiny_llama.config._attn_implementation == NAME
        with packed_attention(tiny_llama):
            assert tiny_llama.config._attn_implementation == NAME
        assert tiny_llama.config._attn_implementation == NAME
    assert tiny_llama.config._attn_implementation == before
    with pytest.raises(ZeroDivisionError), packed_attention(tiny_llama):
        _ = 1 / 0
    assert tiny_llama.config._attn_implementation == before


def test_the_model_is_found_inside_its_wrappers(tiny_llama):
    peft = pytest.importorskip("peft")
    assert causal_lm(tiny_llama) is tiny_llama
    assert causal_lm(torch.nn.DataParallel(tiny_llama)) is tiny_llama
    wrapped = peft.get_peft_model(tiny_llama, peft.LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]))
    assert causal_lm(wrapped) is tiny_llama
    with packed_attention(wrapped):
        assert tiny_llama.config._attn_implementation == NAME
    assert tiny_llama.config._attn_implementation == "sdpa"
