"""Functions of log-probs that would overflow, in forms that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

# e^30 ≈ 1e13: squared, for a norm of gradients, it is still far inside fp32's range.
LARGEST_EXPONENT = 30.0


def bounded_exp(x: Tensor) -> Tensor:
    """``e^x``, and beyond x = 30 its tangent there: finite, and a gradient that goes on pointing back. Any shape."""
    below = x.clamp(max=LARGEST_EXPONENT)
    return below.exp() * (1 + (x - below))


def log1mexp(x: Tensor) -> Tensor:
    """``log(1 − e^x)`` for x ≤ 0, any shape. Above −eps of the type, where it goes to −∞, it is its value there.

    Two forms for two ends: Mächler, "Accurately computing log(1 − exp(−|a|))", 2012, eq. 7.
    """
    x = x.clamp(max=-torch.finfo(x.dtype).eps)
    near = x > -0.693
    small, large = torch.where(near, x, -1.0), torch.where(near, -1.0, x)
    return torch.where(near, (-torch.expm1(small)).log(), torch.log1p(-large.exp()))
