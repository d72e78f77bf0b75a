"""Measuring: what computes something else is found, ratios are of the same round."""
import itertools

import pytest
import torch

from tuner import measure
from tuner.states import Wrong


class Cube(torch.autograd.Function):
    """x cubed, with a gradient that is off by a factor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return x ** 3

    @staticmethod
    def backward(ctx, grad):
        return 3 * ctx.factor * ctx.saved_tensors[0] ** 2 * grad, None


def op(factor=1.0, offset=0.0):
    return lambda x: Cube.apply(x, factor) + offset


X = {"x": torch.linspace(-1, 1, 30)}


def test_the_same_passes():
    measure.compare(op(), op(), X)
    measure.compare(op(), op(1.0 + 1e-5), X)


@pytest.mark.parametrize("bad, words", [(op(1.001), "d x differs"), (op(offset=1e-3), "y differs"), (op(offset=float("nan")), "y differs")])
def test_what_is_wrong_is_named(bad, words):
    with pytest.raises(Wrong, match=words):
        measure.compare(op(), bad, X)


def test_what_differs_from_run_to_run_is_wrong():
    count = itertools.count()
    with pytest.raises(Wrong, match="differs between two runs"):
        measure.compare(op(), lambda x: op(offset=1e-6 * next(count))(x), X)


def test_ratios_are_of_the_same_round(monkeypatch):
    """The machine is now fast, now slow; the candidate takes half of the default all the same."""
    load = {0: 1.0, 1: 9.0, 2: 3.0, 3: 1.0}
    calls = itertools.count()
    order = ["default", "half", "half", "default"]

    def once(call):
        n = next(calls)
        return load[n // 2 % 4] * {"default": 1.0, "half": 0.5}[order[n % 4]]

    monkeypatch.setattr(measure, "_once", once)
    found = measure.race({"default": op(), "half": op()}, X, rounds=8, seconds=100)
    assert all(by["half"]["ratio"] == 0.5 and by["half"]["noise"] == 0.0 and by["half"]["rounds"] == 8 for by in found.values())
    assert found["forward"]["default"]["ratio"] == 1.0


def test_scores():
    found = {"forward": {"c": {"ratio": 0.5, "noise": 0.1}}, "forward + backward": {"c": {"ratio": 2.0, "noise": 0.3}}}
    assert measure.score(found, "c") == pytest.approx(1.0) and measure.noise(found, "c") == 0.3


def test_a_hopeless_candidate_is_given_up(monkeypatch):
    times = {"default": 1.0, "slow": 4.0}
    order = iter(itertools.cycle(["default", "slow", "slow", "default"]))
    monkeypatch.setattr(measure, "_once", lambda call: times[next(order)])
    found = measure.race({"default": op(), "slow": op()}, X, rounds=50, seconds=100, give_up=True)
    assert found["forward"]["slow"]["rounds"] == measure.LEAST
    assert found["forward"]["slow"]["ratio"] == 4.0
