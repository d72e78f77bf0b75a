"""Memory handed on: any split, rows at different positions, packed sequences, single steps, given start states."""
import pytest
import torch

from mcgen.verify import reference
from mcgen.verify.memory import STACKED, leaves, rebuild

from .oracle_helpers import draw
from .oracle_specs import (
    DECAY,
    DELAYED,
    FRESH,
    GATED_DELTA,
    GRM,
    LINEAR,
    LOG,
    MLP,
    MOMENTUM,
    NORMALISED,
    RESIDUAL,
    SOUP,
    SSC,
    segmented,
    spec,
)

RULES = {"decay": DECAY, "delta": GATED_DELTA, "normalised": NORMALISED, "momentum": MOMENTUM, "mlp": MLP, "delayed": DELAYED}
AFTER = {**RESIDUAL, "weight": "exp(-0.1 * after(dot(k, k))) + 0.1 * sum(after(k) * k)"}
CACHES = {"none": None, "grm": GRM, "soup": SOUP, "ssc": SSC, "after": AFTER}
PAIRS = [(r, c, "carry", "constant") for r in RULES for c in CACHES] + [
    (r, c, start, growth) for r in ("momentum", "delayed") for c in ("soup", "after")
    for start, growth in (("fresh", "constant"), ("carry", "logarithmic"), ("fresh", "logarithmic"))]


def build(rule, cache, start="carry", growth="constant"):
    cache = CACHES[cache] if isinstance(cache, str) else cache
    return spec(RULES[rule] if isinstance(rule, str) else rule,
                None if cache is None else segmented(cache, start=start, growth=growth))


def cut(x, s, a, b):
    tokens = {n for n, i in {**s.rule.inputs, **(s.cache.inputs if s.cache else {})}.items() if i.per == "token"}
    return {n: t[:, a:b] if n in tokens else t for n, t in x.items()}


def equal(a, b):
    a, b = dict(leaves(a)), dict(leaves(b))
    assert a.keys() == b.keys()
    for path in a:
        torch.testing.assert_close(a[path], b[path], rtol=1e-9, atol=1e-11, msg=lambda m, path=path: f"{path}: {m}")


@pytest.mark.parametrize("rule,cache,start,growth", PAIRS)
def test_split_equals_whole(rule, cache, start, growth):
    s = build(rule, cache, start, growth)
    x, ref = draw(s, T=19), reference(s)
    y, memory, details = ref(**x, return_memory=True, return_weights=True)
    grads = torch.autograd.grad(y.square().sum(), list(x.values()), retain_graph=True)
    for points in ([0], [1], [6], [8, 11], [19], range(1, 19)):
        parts, weights, m = [], [], None
        for a, b in zip([0, *points], [*points, 19]):
            part, m, d = ref(**cut(x, s, a, b), memory=m, return_memory=True, return_weights=True)
            parts.append(part)
            weights.append(d["weights"])
        split = torch.cat(parts, 1)
        torch.testing.assert_close(split, y, rtol=1e-9, atol=1e-11)
        equal(m, memory)
        for g, w in zip(torch.autograd.grad(split.square().sum(), list(x.values())), grads):
            torch.testing.assert_close(g, w, rtol=1e-8, atol=1e-10)
        wide = details["weights"].shape[-1]
        weights = torch.cat([torch.nn.functional.pad(w, (0, wide - w.shape[-1])) for w in weights], 1)
        torch.testing.assert_close(weights, details["weights"])


@pytest.mark.parametrize("rule,cache,start,growth", [
    ("momentum", "soup", "fresh", "logarithmic"), ("delayed", "after", "carry", "constant"), ("decay", "after", "fresh", "logarithmic")])
def test_rows_at_different_positions(rule, cache, start, growth):
    s = build(rule, cache, start, growth)
    x, ref = draw(s, T=30), reference(s)
    y = ref(**x)
    ends = (13, 6)
    memories = [ref(**{n: t[i:i + 1] if t.dim() > 2 and n in ref.inputs else t for n, t in cut(x, s, 0, e).items()},
                    return_memory=True)[1] for i, e in enumerate(ends)]
    both = []
    for (path, a), (_, b) in zip(leaves(memories[0]), leaves(memories[1])):
        if path[0] in STACKED:
            axis = STACKED[path[0]]
            b = torch.nn.functional.pad(b, (0, 0) * (b.dim() - axis - 1) + (0, a.shape[axis] - b.shape[axis]), value=float("nan"))
        both.append((path, torch.cat([a, b])))
    rest = {n: torch.cat([t[:1, ends[0]:ends[0] + 9], t[1:, ends[1]:ends[1] + 9]]) if n in ref.inputs else t for n, t in x.items()}
    got, memory = ref(**rest, memory=rebuild(iter(both)))
    torch.testing.assert_close(got, torch.cat([y[:1, 13:22], y[1:, 6:15]]))
    assert memory["position"].tolist() == [22, 15]
    assert all(torch.isfinite(leaf).all() for _, leaf in leaves(memory) if leaf.is_floating_point())


@pytest.mark.parametrize("rule,cache", [("delta", "grm"), ("mlp", "soup"), ("delayed", "none")])
def test_packed_equals_separate(rule, cache):
    s = build(rule, cache)
    x, ref, offsets = draw(s, B=1, T=20), reference(s), [0, 3, 3, 14, 20]
    y, memory, d = ref(**x, cu_seqlens=torch.tensor(offsets), return_memory=True, return_weights=True)
    apart = [ref(**cut(x, s, a, b), return_memory=True) for a, b in zip(offsets, offsets[1:])]
    torch.testing.assert_close(y, torch.cat([a[0] for a in apart], 1))
    assert memory["position"].tolist() == [3, 0, 11, 6]
    for i, (_, m) in enumerate(apart):
        mine = dict(leaves(m))
        for path, leaf in leaves(memory):
            part = leaf[i:i + 1]
            if path[0] in ("cache", "summary"):
                part = part[:, :, :mine[path].shape[2]]
            torch.testing.assert_close(part, mine[path])
    assert d["weights"].shape[:3] == y.shape[:3]


def test_step_is_the_last_token_of_a_run():
    s = build("delta", "grm")
    x, ref = draw(s, T=9), reference(s)
    y = ref(**x)
    _, m = ref(**cut(x, s, 0, 8), return_memory=True)
    last, m = ref.step(**{n: t[:, 8] for n, t in x.items()}, memory=m)
    torch.testing.assert_close(last, y[:, 8])
    assert m["position"].tolist() == [9, 9]


def test_a_bare_start_state():
    s = build(DECAY, None)
    x, ref = draw(s), reference(s)
    S0 = torch.randn(2, 2, 3, 5, dtype=torch.float64)
    y, m = ref(**x, memory={"state": {"S": S0}})
    reach = torch.exp(x["g"].cumsum(1))[..., None] * torch.einsum("bthk,bhkv->bthv", x["q"], S0) * 3 ** -0.5
    torch.testing.assert_close(y, ref(**x) + reach)
    assert m["position"].tolist() == [23, 23]


def test_under_fresh_a_given_state_reaches_the_current_segment_only():
    s = spec(LINEAR, FRESH)
    x, ref = draw(s, T=8), reference(s)
    S0 = torch.randn(2, 2, 3, 5, dtype=torch.float64)
    y, m = ref(**x, memory={"state": {"S": S0}})
    reach = torch.einsum("bthk,bhkv->bthv", x["q"], S0)
    torch.testing.assert_close(y, ref(**x) + reach)             # online at first, then cached with the first segment
    torch.testing.assert_close(m["cache"]["S"][:, :, 1], ref(**x, return_memory=True)[1]["cache"]["S"][:, :, 1])
    assert not m["state"]["S"].any()                            # at a boundary: the next token's start


def test_shapes():
    s = build("mlp", GRM)
    x, ref = draw(s, T=10), reference(s)
    y, m, d = ref(**x, return_memory=True, return_weights=True)
    shapes = {"/".join(p): list(leaf.shape) for p, leaf in leaves(m)}
    assert shapes == {"state/W1": [2, 2, 6, 3], "state/W2": [2, 2, 5, 6], "cache/W1": [2, 2, 2, 6, 3], "cache/W2": [2, 2, 2, 5, 6],
                      "summary": [2, 2, 2, 3], "partial": [2, 2, 3], "run/W1": [2, 2, 6, 3], "run/W2": [2, 2, 5, 6], "position": [2]}
    assert y.shape == (2, 10, 2, 5) and d["weights"].shape == d["selected"].shape == (2, 10, 2, 3)
    torch.testing.assert_close(d["weights"].sum(-1), torch.ones(2, 10, 2, dtype=torch.float64))
    assert not d["weights"][:, :4, :, 1:].any() and d["selected"].dtype == torch.bool


def test_no_tokens():
    s = build("momentum", SOUP)
    x, ref = draw(s, T=9), reference(s)
    y, m = ref(**cut(x, s, 0, 0), return_memory=True)
    assert y.shape == (2, 0, 2, 5) and m["position"].tolist() == [0, 0] and m["cache"]["W"].shape == (2, 2, 0, 3, 5)
    torch.testing.assert_close(m["state"]["W"], x["W_init"].expand(2, 2, 3, 5))
    assert ref(**cut(x, s, 0, 0)).shape == (2, 0, 2, 5)
    _, before = ref(**x, return_memory=True)
    _, after = ref(**cut(x, s, 0, 0), memory=before)
    equal(before, after)


def test_gradient_through_a_returned_memory():
    s = build("delta", "ssc")
    x, ref = draw(s, T=10), reference(s)
    _, m = ref(**cut(x, s, 0, 5), return_memory=True)
    y, _ = ref(**cut(x, s, 5, 10), memory=m)
    got = torch.autograd.grad(y.sum(), x["k"])[0]
    want = torch.autograd.grad(ref(**x)[:, 5:].sum(), x["k"])[0]
    torch.testing.assert_close(got, want)


def test_logarithmic_memory_stays_short():
    s = spec(LINEAR, LOG)
    _, m = reference(s)(**draw(s, T=31), return_memory=True)
    assert m["cache"]["S"].shape[2] == 3                        # 7 units: 4 + 2 + 1
