"""The implicit path against plain gradient descent, against minima that are known, and against its own laws."""

import numpy as np
import pytest
import torch
from scipy.special import expit

from softpref.core import PairLogps, preference_loss
from softpref.core.treatments import resolve
from softpref.research.bandit.gradient_flow import Comparisons, derivative, derivatives, orient, times_between, train


def three_actions(p=(0.9, 0.7, 0.95), weight=(2.0, 1.0, 3.0)):
    """Actions 0, 1, 2, each better than the next: 0 over 1, 1 over 2, 0 over 2."""
    first, second = np.array([[0, 1, 0]]), np.array([[1, 2, 2]])
    return Comparisons(first, second, np.array([p]), np.array([weight]))


def by_descent(comparisons, method, steps, rate):
    """``steps`` steps of plain gradient descent by autograd through the table of f itself."""
    f = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    first, second, p, weight = (torch.tensor(value[0]) for value in vars(comparisons).values())
    zero = torch.zeros(len(p), dtype=torch.float64)
    for _ in range(steps):
        losses = preference_loss(method, PairLogps(f[first], f[second], zero, zero), p, beta=1.0)
        [gradient] = torch.autograd.grad((weight * losses).sum() / weight.sum(), f)
        f = (f - rate * gradient).detach().requires_grad_()
    return f.detach().numpy()


@pytest.mark.parametrize("method", ["dpo", "cdpo", "gdpo", "ipo", "cipo", "gipo", "ropo", "gropo"])
def test_it_is_the_limit_of_gradient_descent(method):
    """Time 8 = 1600 steps of 0.005. Each side is off by the order of its own step; the finer path, by far less."""
    plain = by_descent(three_actions(), method, 1600, 0.005)
    path = train(three_actions(), resolve(method, beta=1.0), times_between(0.01, 8.0, per_decade=40), 3)
    np.testing.assert_allclose(path[0, -1], plain, atol=0.01 * np.abs(plain).max())


@pytest.mark.parametrize("method", ["dpo", "cdpo", "gdpo"])
def test_it_is_of_second_order(method):
    """Four times the steps: a sixteenth of the error. The default of 8 a decade is off by less than 1% of f."""
    fine, normal, coarse = (
        train(three_actions(), resolve(method, beta=1.0), times_between(0.1, 1e3, n), 3)[0, -1] for n in (128, 8, 4)
    )
    error, coarser = np.abs(normal - fine).max(), np.abs(coarse - fine).max()
    assert error < 0.01 * np.abs(fine).max()
    assert error < coarser / 2.5


def test_cdpo_ends_at_the_log_odds():
    """Labels of one Bradley–Terry model: the minimum of cDPO at β = 1 is that model's reward, up to a constant."""
    reward = np.array([1.5, 0.4, -0.7])
    comparisons = three_actions(p=expit([reward[0] - reward[1], reward[1] - reward[2], reward[0] - reward[2]]))
    f = train(comparisons, resolve("cdpo", beta=1.0), times_between(0.1, 1e6), 3)[0, -1]
    np.testing.assert_allclose(f - f.mean(), reward - reward.mean(), atol=1e-8)


def test_beta_is_a_change_of_time_and_scale():
    """f_β(t) = g(β²t)/β with g the path at β = 1, for the DPO family."""
    for method in ("dpo", "cdpo", "gdpo"):
        times = times_between(0.1, 1e3, 32)
        own = train(three_actions(), resolve(method, beta=0.5), times, 3)[0, -1]
        scaled = train(three_actions(), resolve(method, beta=1.0), times * 0.25, 3)[0, -1] / 0.5
        np.testing.assert_allclose(own, scaled, rtol=1e-9)


def test_a_count_is_so_many_rows():
    one_by_one = Comparisons(*(np.repeat(v, [2, 1, 3], axis=1) for v in (
        np.array([[0, 1, 0]]), np.array([[1, 2, 2]]), np.array([[0.9, 0.7, 0.95]]), np.ones((1, 3))
    )))  # fmt: skip
    for method in ("dpo", "cdpo", "gdpo"):
        paths = [train(rows, resolve(method, beta=1.0), times_between(0.1, 100), 3) for rows in (three_actions(), one_by_one)]
        np.testing.assert_allclose(*paths, rtol=1e-12)


def test_worlds_do_not_touch():
    alone = [three_actions(), three_actions(p=(0.6, 0.99, 0.8))]
    together = Comparisons(*(np.concatenate(v) for v in zip(*(vars(c).values() for c in alone), strict=True)))
    times, method = times_between(0.1, 100), resolve("gdpo", beta=1.0)
    both = train(together, method, times, 3)
    for world, comparisons in enumerate(alone):
        np.testing.assert_allclose(both[world], train(comparisons, method, times, 3)[0], rtol=1e-12)


def test_a_tie_teaches_hard_and_geometric_nothing():
    tied = three_actions(p=(0.9, 0.7, 0.5))
    two = Comparisons(tied.first[:, :2], tied.second[:, :2], tied.soft_label[:, :2], tied.weight[:, :2])
    times = times_between(0.1, 100)
    with_tie, without = (train(rows, resolve("dpo", beta=1.0), times, 3) for rows in (tied, two))
    np.testing.assert_allclose(with_tie, without, rtol=1e-12)
    # under geometric it stays in the mean, where it takes time: 3 of 6 parts of the weight
    slower = train(tied, resolve("gdpo", beta=1.0), times * 2, 3)
    np.testing.assert_allclose(slower, train(two, resolve("gdpo", beta=1.0), times, 3), rtol=1e-9)


def test_derivatives_by_hand():
    """DPO at h = 0: −(1 − ½) = −½ and ρ(1 − ρ) = ¼. GDPO at p = ¾: ½ of the first, ¼ of the second."""
    zero, label = torch.zeros(1, dtype=torch.float64), torch.tensor([0.75], dtype=torch.float64)
    for name, by_hand in (("dpo", (-0.5, 0.25)), ("gdpo", (-0.25, 0.0625))):
        assert [float(d) for d in derivatives(resolve(name, beta=1.0), zero, label)] == pytest.approx(by_hand)
        assert float(derivative(resolve(name, beta=1.0), zero, label)) == by_hand[0]


def test_orientation():
    oriented = orient(np.array([[4, 5]]), np.array([[6, 7]]), np.array([[0.2, 0.5]]))
    assert oriented.first.tolist() == [[6, 5]]
    assert oriented.second.tolist() == [[4, 7]]
    assert oriented.soft_label.tolist() == [[0.8, 0.5]]
    assert oriented.weight.tolist() == [[1, 1]]


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="one shape"):
        Comparisons(np.zeros((1, 2), int), np.zeros((1, 2), int), np.zeros((1, 3)), np.zeros((1, 2)))


def test_times():
    np.testing.assert_allclose(times_between(0.1, 10, 2), [0.1, 10**-0.5, 1, 10**0.5, 10])
