"""Draws stay in their domains and reach the ends; tolerances shrink and grow with what they are made of."""
import math

import pytest
import torch

from mcgen.spec.nodes import Domain
from mcgen.verify.draw import Case, dim_sizes, draw, entries, generator, has_edge
from mcgen.verify.harness import Lab, compare
from mcgen.verify.tolerance import Allowed, allowed, roundoff

from .oracle_specs import DECAY, GATED_DELTA, GRM, MLP, spec

inf = math.inf


@pytest.mark.parametrize("domain", [Domain("interval", -inf, 0.0), Domain("interval", 0.0, 1.0), Domain("interval", 0.0, inf),
                                    Domain("interval", -2.0, -1.0)])
def test_intervals(domain):
    plain = entries((4000,), domain, generator("x", 0))
    assert domain.lo <= plain.min() and plain.max() <= domain.hi and torch.isfinite(plain).all()
    if math.isinf(domain.lo) or math.isinf(domain.hi):
        end = domain.hi if math.isinf(domain.lo) else domain.lo
        assert float((plain - end).abs().mean()) == pytest.approx(0.3, rel=0.1)
    for edge in ("lo", "hi", "far"):
        if has_edge(domain, edge):
            x = entries((4000,), domain, generator("x", 0), edge)
            there = (x - plain).abs() > 15 if edge == "far" else x == getattr(domain, edge)
            assert 0.45 < float(there.double().mean()) < 0.55
            assert domain.lo <= x.min() and x.max() <= domain.hi
    assert not has_edge(Domain("unit"), "lo") and not has_edge(Domain("interval", 0.0, 1.0), "far")


def test_unit_and_real():
    x = entries((50, 8), Domain("unit"), generator("x", 0))
    torch.testing.assert_close(x.norm(dim=-1), torch.ones(50, dtype=torch.float64))
    assert float(entries((4000,), Domain(), generator("x", 0)).std()) == pytest.approx(1, rel=0.1)
    assert float(entries((4000,), Domain(), generator("x", 0), amount=0.1).std()) == pytest.approx(0.1, rel=0.1)


def test_draws_repeat_and_differ_by_seed_and_name():
    s = spec(GATED_DELTA, GRM)
    a, b, c = (draw(s, Case(9, seed=seed), dim_sizes(s)) for seed in (0, 0, 1))
    assert all(torch.equal(a[n], b[n]) and not torch.equal(a[n], c[n]) for n in a)
    assert not torch.equal(a["q"], a["k"]) and a["q"].dtype == torch.float32


def test_sizes_are_distinct_derived_dims_follow_and_learned_starts_are_drawn():
    s = spec(MLP)
    assert dim_sizes(s) == {"K": 16, "V": 32} and dim_sizes(s, {"V": 5}) == {"K": 16, "V": 5}
    x = draw(s, Case(3, heads=4), dim_sizes(s))
    assert x["W1_init"].shape == (4, 32, 16) and x["W2_init"].shape == (4, 32, 32)


def test_fewer_heads_divide_and_one_input_has_all():
    s = spec(GATED_DELTA, GRM)
    x = draw(s, Case(3, heads=6, fewer=True, all_heads="q"), dim_sizes(s))
    heads = {n: t.shape[2] for n, t in x.items()}
    assert heads["q"] == heads["g"] == heads["beta"] == 6 and all(heads[n] in (1, 2, 3) for n in "kvu")


def test_tolerance_grows_with_scale_terms_and_roundoff():
    y = torch.randn(100, dtype=torch.float64)
    base = allowed(y, y.float(), 100, "float32")
    assert allowed(10 * y, 10 * y.float(), 100, "float32").arithmetic_error > 5 * base.arithmetic_error
    assert allowed(y, y.float(), 10000, "float32").arithmetic_error > 5 * base.arithmetic_error
    assert allowed(y, y.float(), 100, "tf32").arithmetic_error > 1000 * base.arithmetic_error
    assert allowed(y, y.float(), 100, "float32", term_scale=1e3).arithmetic_error > 20 * base.arithmetic_error
    assert base.for_dtype(torch.bfloat16) > 2 * roundoff(torch.bfloat16) * base.scale
    assert base.arithmetic_error < 1e-4 * base.scale


def test_tolerances_of_a_plain_rule_are_tight():
    lab = Lab(None, spec(DECAY))
    for name, bound in lab.expected(lab.case(100), start=True).allowed.items():
        assert bound.for_dtype(torch.float32) < (3e-4 if name == "d g" else 1e-4) * bound.scale, name


def test_only_the_gradient_of_a_factor_of_0_may_be_off_by_its_logarithm():
    """Where beta is at an end of its domain: what is held of everything else, and of beta elsewhere, stays."""
    lab = Lab(None, spec(GATED_DELTA))
    inside = lab.expected(lab.case(20)).allowed["d beta"]
    assert lab._floored(lab.plain(lab.case(20))) == set() and lab._floored(lab.plain(lab.case(20, edge="lo"))) == {"d beta"}
    assert inside.arithmetic_error < 1e-4 * inside.scale


def test_compare_frees_what_is_not_finite_and_nothing_else():
    want, bound = torch.tensor([1.0, inf, 2.0], dtype=torch.float64), Allowed(1e-6, 1.0).for_dtype(torch.float32)
    assert compare("y", torch.tensor([1.0, math.nan, 2.0]), want, bound, "").ok
    assert not compare("y", torch.tensor([1.0, 0.0, math.nan]), want, bound, "").ok
    assert not compare("y", torch.tensor([1.0, 0.0]), want, bound, "").ok
    assert "[2] got 2.5" in compare("y", torch.tensor([1.0, 0.0, 2.5]), want, bound, "here").where
