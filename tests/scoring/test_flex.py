"""FlexAttention over a block mask is attention by spans, forward and backward; where it cannot be had, spans are taken.

On a CPU it runs uncompiled and traced, and compiled without its backward pass, which PyTorch has for GPUs only.
"""

from __future__ import annotations

import logging
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import flex_attention as torchs

from dense_attention import HEADS, dense, layer, rows
from same_update import CORNERS, IN_FP32, assert_same_update
from softpref.errors import OptionError
from softpref.scoring import flex
from softpref.scoring.attention import attention_by_spans
from softpref.scoring.flex import BLOCK, block_attention, block_mask, compiled_attention, runs
from softpref.scoring.packing import Group, Span, pack
from softpref.scoring.shared_prefix import PackedScorer
from tiny_models import pairs_of, tiny

# torch's own, while it compiles
pytestmark = [
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
    pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.script_method.* is deprecated:DeprecationWarning"),
]

windows = st.sampled_from([None, 1, 2, 3, 5, 150])
# rows of several blocks, with spans that begin and end anywhere in them
long_rows = st.lists(
    st.tuples(st.integers(0, 300), st.lists(st.integers(1, 200), min_size=1, max_size=3)), min_size=1, max_size=3
).map(lambda groups: pack([Group([1] * prompt, [[1] * n for n in sizes]) for prompt, sizes in groups]))


@pytest.fixture
def uncompiled(monkeypatch):
    """PyTorch keeps the backward pass of ``flex_attention`` from CPUs, though the uncompiled one has it."""
    torch.compiler.reset()
    # where a release has no such check, there is nothing to go round
    monkeypatch.setattr(torchs, "_validate_device", lambda *_: None, raising=False)
    yield
    torch.compiler.reset()


def qkv(tokens, key_heads, size=16, dtype=torch.float64):
    generator = torch.Generator().manual_seed(tokens)
    shapes = [(1, heads, tokens, size) for heads in (HEADS, key_heads, key_heads)]
    return [torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_() for shape in shapes]


def seen(spans, window):
    """Who sees whom, (T, T), from the runs."""
    prefix_from, prefix_end, own_from = (one[:, None] for one in runs(spans, window))
    column = torch.arange(len(own_from))
    in_prefix = (prefix_from <= column) & (column < prefix_end)
    return in_prefix | ((own_from <= column) & (column <= column[:, None]))


def naively_seen(spans, window):
    found = torch.zeros(spans[-1].end, spans[-1].end, dtype=torch.bool)
    for span in spans:
        columns = [*range(span.prefix_start, span.prefix_end), *range(span.start, span.end)]
        for i in range(span.start, span.end):
            before = columns[: columns.index(i) + 1]
            found[i, before[-window:] if window else before] = True
    return found


def test_the_runs_of_the_docstring():
    found = runs((Span(0, 4, 0, 0), Span(4, 6, 0, 2)), window=3)
    assert [one.tolist() for one in found] == [[0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 2, 2], [0, 0, 0, 1, 4, 4]]


@given(rows.filter(lambda row: row.spans), windows)
def test_runs_are_what_a_span_sees(row, window):
    assert torch.equal(seen(row.spans, window), naively_seen(row.spans, window))


@settings(deadline=None, max_examples=40)
@given(long_rows.filter(lambda row: row.spans), windows)
def test_blocks_are_those_of_the_whole_mask(row, window):
    """As PyTorch's ``create_block_mask`` finds them in (T, T): which are seen in part, and which whole."""
    tokens = row.ids.shape[1]
    whole = seen(row.spans, window)
    expected = torchs.create_block_mask(lambda _b, _h, q, k: whole[q, k], 1, 1, tokens, tokens, "cpu", BLOCK)
    found = block_mask(row.spans, window, torch.device("cpu"))
    assert found.shape == expected.shape
    for name in ("kv_num_blocks", "full_kv_num_blocks", "q_num_blocks", "full_q_num_blocks"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    assert torch.equal(found.to_dense(), expected.to_dense())
    assert torch.equal(torchs.create_mask(found.mask_mod, 1, 1, tokens, tokens, "cpu")[0, 0], whole)


def test_layers_and_rows_share_what_is_made():
    """One mask for a row and a window, whatever the layer."""
    spans = pack([Group([1] * 3, [[1] * 4, [1] * 2])]).spans
    cpu = torch.device("cpu")
    assert block_mask(spans, 3, cpu) is block_mask(tuple(Span(*span) for span in spans), 3, cpu)
    assert block_mask(spans, 3, cpu) is not block_mask(spans, None, cpu)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("softcap", [None, 3.0])
@settings(deadline=None, max_examples=25)
@given(rows.filter(lambda row: row.spans), st.sampled_from([1, 2, 4]), windows, st.sampled_from([None, 0.8]))
def test_equals_the_dense_form(softcap, row, key_heads, window, scaling):
    given_ = qkv(row.ids.shape[1], key_heads, 3)
    ours = block_attention(*given_, row.spans, window, scaling, softcap)
    naive = dense(*given_, row.spans, window, softcap, scaling)
    torch.testing.assert_close(ours, naive, rtol=0, atol=1e-12)
    upstream = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1), dtype=ours.dtype)
    slopes, expected = (torch.autograd.grad((found * upstream).sum(), given_) for found in (ours, naive))
    torch.testing.assert_close(slopes, expected, rtol=0, atol=1e-11)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("family", ["llama", "gemma2", "gemma3", "mistral, windowed", "qwen3", "gpt2", "gpt_neox"])
def test_models_score_and_learn_the_same(family, monkeypatch):
    """Log-probs, loss and every parameter's gradient; an empty prompt, one-token answers, seven pairs in a row."""
    calls = []

    def counted(*given_):
        calls.append(1)
        return block_attention(*given_)

    monkeypatch.setattr("softpref.scoring.attention.compiled_attention", counted)
    assert_same_update(tiny(family), pairs_of(CORNERS), IN_FP32, scorers={"shared": PackedScorer()})
    assert len(calls) == 2, "one call a layer"


@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")
@pytest.mark.parametrize("softcap", [None, 2.0, 3.0])
def test_compiled_on_a_cpu(softcap):
    """The kernel that leaves blocks out gives the same; rows of other lengths and windows need no other kernel."""
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    for prompt, window in ((170, None), (210, 20), (300, None)):
        spans = pack([Group([1] * prompt, [[1] * 40, [1] * 90]), Group([], [[1] * 33, [1] * 20])]).spans
        given_ = [one.detach() for one in qkv(spans[-1].end, 2, dtype=torch.float32)]
        ours = block_attention(*given_, spans, window, None, softcap, flex._compiled())
        right, _ = attention_by_spans(layer(), *given_, None, None, softcap, sliding_window=window, softpref_spans=spans)
        torch.testing.assert_close(ours, right, rtol=0, atol=2e-6)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    torch.compiler.reset()


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("softcap", [None, 2.0, 3.0])
def test_traced_forward_and_backward(softcap):
    """Of a compiled step on a GPU, all but the making of its kernels: one graph for rows of other lengths and windows."""
    torch._dynamo.utils.counters.clear()
    traced = torch.compile(torchs.flex_attention, dynamic=True, fullgraph=True, backend="aot_eager")
    for prompt, window in ((170, None), (210, 20), (300, None)):
        spans = pack([Group([1] * prompt, [[1] * 40, [1] * 90]), Group([], [[1] * 33, [1] * 20])]).spans
        given_ = qkv(spans[-1].end, 2)
        ours = block_attention(*given_, spans, window, 0.25, softcap, traced)
        naive = dense(*given_, spans, window, softcap, 0.25)
        torch.testing.assert_close(ours, naive, rtol=0, atol=1e-12)
        slopes, expected = (torch.autograd.grad(found.square().sum(), given_) for found in (ours, naive))
        torch.testing.assert_close(slopes, expected, rtol=0, atol=1e-11)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


@pytest.fixture
def asked_for(monkeypatch):
    monkeypatch.setenv(flex.SWITCH, "1")


@pytest.mark.parametrize("value", [None, "", "0"])
def test_it_is_tried_only_where_it_is_asked_for(value, monkeypatch):
    if value is None:
        monkeypatch.delenv(flex.SWITCH, raising=False)
    else:
        monkeypatch.setenv(flex.SWITCH, value)
    monkeypatch.setattr(flex, "_prove", lambda _: pytest.fail("tried"))
    given_ = [one.detach().as_subclass(OnGpu) for one in qkv(4, HEADS, dtype=torch.float32)]
    assert compiled_attention(*given_, (Span(0, 4, 0, 0),), None, None, None) is None
    monkeypatch.setenv(flex.SWITCH, "yes")
    with pytest.raises(OptionError, match="SOFTPREF_FLEX_ATTENTION is 'yes'; set it to 1"):
        compiled_attention(*given_, (Span(0, 4, 0, 0),), None, None, None)


@pytest.mark.usefixtures("asked_for")
def test_not_on_a_cpu():
    assert compiled_attention(*qkv(4, HEADS), (Span(0, 4, 0, 0),), None, None, None) is None


KIND = flex.Kind(torch.device("cpu"), torch.float32, 4, 2, 16, 16, None, 3.0)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("change", [{}, {"scale": 0.4}, {"block_mask": None}, {"score_mod": None}], ids=str)
def test_a_kernel_that_is_wrong_is_not_taken(change, monkeypatch):
    """It is held against the uncompiled one: scale, mask and cap."""
    monkeypatch.setattr(flex, "_compiled", lambda: lambda *qkv, **told: torchs.flex_attention(*qkv, **{**told, **change}))
    if not change:
        flex._prove.__wrapped__(KIND)
        return
    with pytest.raises(ArithmeticError, match=r"compiled, it is .* off"):
        flex._prove.__wrapped__(KIND)


class OnGpu(torch.Tensor):
    """A tensor that says it is on a GPU."""

    is_cuda = True


@pytest.mark.usefixtures("asked_for")
def test_what_cannot_be_compiled_is_tried_once_and_logged_once(monkeypatch, caplog):
    tried = []

    def fails(kind):
        tried.append(kind)
        raise RuntimeError("Cannot find a working triton installation.\nMore on this")

    monkeypatch.setattr(flex, "_prove", fails)
    monkeypatch.setattr(flex, "_refused", set())
    given_ = [one.detach().as_subclass(OnGpu) for one in qkv(4, 2, dtype=torch.float32)]
    with caplog.at_level(logging.WARNING, "softpref"):
        for _ in range(3):
            ours, _ = attention_by_spans(layer(), *given_, None, 0.25, 3.0, softpref_spans=(Span(0, 4, 0, 0),))
    plain = [one.as_subclass(torch.Tensor) for one in (ours, *given_)]
    torch.testing.assert_close(plain[0], dense(*plain[1:], (Span(0, 4, 0, 0),), None, 3.0, 0.25), rtol=0, atol=1e-6)
    assert len(tried) == 1
    assert [record.getMessage() for record in caplog.records] == [
        "attention is computed span by span, as FlexAttention cannot be had here: Cannot find a working triton installation."
    ]


@pytest.mark.usefixtures("asked_for")
def test_no_memory_is_not_a_reason_to_give_up_the_kernel(monkeypatch):
    """The trainer splits the batch and comes again."""

    def fails(kind):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(flex, "_prove", fails)
    monkeypatch.setattr(flex, "_refused", set())
    given_ = [one.detach().as_subclass(OnGpu) for one in qkv(4, 2, dtype=torch.float32)]
    with pytest.raises(torch.OutOfMemoryError):
        compiled_attention(*given_, (Span(0, 4, 0, 0),), None, None, None)
    assert not flex._refused


@pytest.mark.gpu
@pytest.mark.usefixtures("asked_for")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("window", [None, 30])
@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("key_heads", [1, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_on_a_device(window, softcap, key_heads, dtype):
    """Forward and backward against the dense form in float64, rows of one block and of several."""
    for prompt in (20, 170, 400):
        spans = pack([Group([1] * prompt, [[1] * 30, [1] * 41]), Group([1] * 5, [[1], [1] * 9])]).spans
        given_ = [one.detach().to("cuda", dtype).requires_grad_() for one in qkv(spans[-1].end, key_heads, 64)]
        exact = [one.detach().cpu().double().requires_grad_() for one in given_]
        ours = compiled_attention(*given_, spans, window, 0.125, softcap)
        assert ours is not None, "refused"
        naive = dense(*exact, spans, window, softcap, 0.125)
        digits = 0.03 if dtype == torch.bfloat16 else 1e-4
        torch.testing.assert_close(ours.cpu().double(), naive, rtol=0, atol=digits)
        slopes = torch.autograd.grad(ours.float().sum(), given_)
        for slope, right in zip(slopes, torch.autograd.grad(naive.sum(), exact), strict=True):
            torch.testing.assert_close(slope.cpu().double(), right, rtol=0, atol=digits * float(right.abs().max() + 1))
