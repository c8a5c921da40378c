"""What scoring rests on in PyTorch is as it was when it was read. A failure names what changed."""

from __future__ import annotations

import pytest
import torch
from packaging.version import Version

from signatures import assert_takes
from softpref.scoring.torch_seam import DROPOUT, FLASH_PARAMETERS, PASSED, floats_as_constants, has_flash


@pytest.mark.parametrize("name", PASSED)
def test_a_function_takes_what_it_is_passed(name):
    assert_takes(name, PASSED[name])


@pytest.mark.skipif(Version(torch.__version__).release < (2, 13), reason="PyTorch is older than 2.13")
def test_flash_attention_takes_what_it_is_passed():
    assert_takes("torch.nn.attention.varlen.varlen_attn", FLASH_PARAMETERS)
    assert has_flash()


def test_dropout_has_one_base():
    kinds = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")
    assert [name for name in kinds if not issubclass(getattr(torch.nn, name), DROPOUT)] == []


def test_the_compiler_can_be_told_to_take_floats_for_constants():
    before = torch._dynamo.config.specialize_float
    with floats_as_constants():
        assert torch._dynamo.config.specialize_float is True
    assert torch._dynamo.config.specialize_float is before
