"""Training of a table of log-ratios on all comparisons at once, as the limit of gradient descent with small steps.

One number per action, f(y) = log π(y)/π_ref(y) up to a constant, and the loss of a comparison depends on the margin
h = f(first) − f(second) alone. Full-batch gradient descent from f = 0 follows ``df/dt = −∇L(f)``, t being the learning rate
times the number of steps, as long as its steps are small. A million such steps are needed before rare actions have
learnt; here the same path is walked in some hundred implicit steps whose lengths grow with t (ROS2: Verwer, Spee, Blom,
Hundsdorfer, SIAM J. Sci. Comput. 20, 1999; of second order whatever stands for the Jacobian, and stable at any length).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from softpref.core import PairLogps
from softpref.core.arrays import Floats
from softpref.core.treatments import Method

GAMMA = 1 - 2**-0.5


@dataclass(frozen=True)
class Comparisons:
    """Labelled comparisons of actions, (W, N) in W worlds that are trained side by side.

    ``first`` and ``second`` are actions, ``soft_label`` is P(first preferred) ∈ [½, 1], ``weight`` counts alike rows.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    soft_label: Floats
    weight: Floats

    def __post_init__(self) -> None:
        shapes = {name: value.shape for name, value in vars(self).items()}
        if len({*shapes.values()}) != 1 or self.first.ndim != 2:
            raise ValueError(f"comparisons must all have one shape (worlds, rows), not {shapes}")


def orient(first: NDArray[np.int64], second: NDArray[np.int64], soft_label: Floats, weight: Floats | None = None) -> Comparisons:
    """Comparisons with the preferred-or-equal action first, as readers of data do it."""
    turn = soft_label < 0.5
    return Comparisons(
        np.where(turn, second, first),
        np.where(turn, first, second),
        np.where(turn, 1 - soft_label, soft_label),
        np.ones(soft_label.shape) if weight is None else weight,
    )


def times_between(first: float, last: float, per_decade: int = 8) -> Floats:
    """Times from ``first`` to ``last`` whose logarithms are equally far apart; both ends belong to them."""
    return np.geomspace(first, last, 1 + round(per_decade * np.log10(last / first)))


def train(comparisons: Comparisons, method: Method, times: Sequence[float] | Floats, actions: int) -> Floats:
    """The log-ratios f, (W, T, A), at each of the rising ``times``. One step leads from each time to the next.

    ``method`` is what ``softpref.core.treatments.resolve`` gives. Under ``hard`` a tie weighs 0, as in training. The loss
    is the weighted mean over a world's rows.
    """
    path = _Path(comparisons, method, actions)
    f = torch.zeros(len(comparisons.first), actions, dtype=torch.float64)
    found, now = [], 0.0
    for time in times:
        f, now = path.step(f, float(time) - now), float(time)
        found.append(f)
    return torch.stack(found, dim=1).numpy()


class _Path:
    """``df/dt = −∇L(f)`` for one set of comparisons, (W, N)."""

    def __init__(self, comparisons: Comparisons, method: Method, actions: int) -> None:
        self.method, self.actions = method, actions
        self.first, self.second = torch.tensor(comparisons.first), torch.tensor(comparisons.second)
        self.p = torch.tensor(comparisons.soft_label)
        weight = torch.tensor(comparisons.weight)
        if method.treatment == "hard":
            weight = torch.where(self.p == 0.5, 0.0, weight)
        self.weight = weight / weight.sum(dim=1, keepdim=True)

    def step(self, f: torch.Tensor, length: float) -> torch.Tensor:
        first, second = derivatives(self.method, self._margins(f), self.p)
        # where a loss is concave the path is the same without its curvature, and the matrix stays positive definite
        curvature = self.weight * second.clamp_min(0)
        factor = torch.linalg.cholesky(self._implicit(curvature, GAMMA * length))
        k1 = _solve(factor, length * self._downhill(first))
        again = derivative(self.method, self._margins(f + k1), self.p)
        k2 = _solve(factor, length * self._downhill(again) - 2 * k1)
        return f + 1.5 * k1 + 0.5 * k2

    def _margins(self, f: torch.Tensor) -> torch.Tensor:
        return f.gather(1, self.first) - f.gather(1, self.second)

    def _downhill(self, derivative: torch.Tensor) -> torch.Tensor:
        """``−∇L`` in f, (W, A), from the derivative of every row's loss by its margin."""
        push = -self.weight * derivative
        still = torch.zeros(len(push), self.actions, dtype=torch.float64)
        return still.scatter_add(1, self.first, push).scatter_add(1, self.second, -push)

    def _implicit(self, curvature: torch.Tensor, length: float) -> torch.Tensor:
        """``I + length · ∇²L``, (W, A, A): the Hessian is the Laplacian of the graph of comparisons."""
        worlds, actions = len(curvature), self.actions
        edges = torch.zeros(worlds, actions * actions, dtype=torch.float64)
        edges = edges.scatter_add(1, self.first * actions + self.second, curvature).view(worlds, actions, actions)
        edges = length * (edges + edges.mT)
        return torch.diag_embed(1 + edges.sum(dim=2)) - edges


def derivative(method: Method, h: torch.Tensor, soft_label: torch.Tensor) -> torch.Tensor:
    """Derivative of each row's loss by its margin, by automatic differentiation of the core's loss."""
    h = h.detach().requires_grad_()
    [first] = torch.autograd.grad(_losses(method, h, soft_label).sum(), h)
    return first


def derivatives(method: Method, h: torch.Tensor, soft_label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same, and the second derivative."""
    h = h.detach().requires_grad_()
    [first] = torch.autograd.grad(_losses(method, h, soft_label).sum(), h, create_graph=True)
    [second] = torch.autograd.grad(first.sum(), h)
    return first.detach(), second


def _losses(method: Method, h: torch.Tensor, soft_label: torch.Tensor) -> torch.Tensor:
    zero = torch.zeros_like(h)
    return method(PairLogps(h, zero, zero, zero), soft_label)


def _solve(factor: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    return torch.cholesky_solve(right[..., None], factor)[..., 0]
