"""The reference against plain float64 loops written out for one row and one head."""
import pytest
import torch

from mcgen.verify import reference

from .oracle_helpers import draw, same
from .oracle_specs import DECAY, DELAYED, FRESH, GATED_DELTA, GRM, LINEAR, LOG, MOMENTUM, NORMALISED, RESIDUAL, SOUP, SSC, segmented, spec

C = 4


def zeros(x):
    return torch.zeros(x["k"].shape[-1], x["v"].shape[-1], dtype=torch.float64)


def linear_states(x, start=0, stop=None, S=None):
    """S after each of the tokens start..stop of plain linear attention."""
    S, out = zeros(x) if S is None else S, []
    for k, v in zip(x["k"][start:stop], x["v"][start:stop]):
        S = S + torch.outer(k, v)
        out.append(S)
    return out


def test_linear_attention_is_masked_attention():
    s = spec(LINEAR)
    same(reference(s), lambda x: torch.tril(x["q"] @ x["k"].T) @ x["v"], draw(s))


def test_scalar_decay():
    def plain(x):
        S, out = zeros(x), []
        for t in range(len(x["q"])):
            S = torch.exp(x["g"][t]) * S + torch.outer(x["k"][t], x["v"][t])
            out.append(x["q"].shape[-1] ** -0.5 * S.T @ x["q"][t])
        return torch.stack(out)

    s = spec(DECAY)
    same(reference(s), plain, draw(s))


def test_decay_of_minus_infinity_forgets():
    s = spec(DECAY)
    x = {n: t.detach() for n, t in draw(s, T=6).items()}
    x["g"][:, 3] = float("-inf")
    tail = {n: t[:, 3:] for n, t in x.items()}
    torch.testing.assert_close(reference(s)(**x)[:, 3:], reference(s)(**tail))


def test_gated_delta():
    def plain(x):
        S, out = zeros(x), []
        for t in range(len(x["q"])):
            S = torch.exp(x["g"][t]) * S
            S = S + x["beta"][t] * torch.outer(x["k"][t], x["v"][t] - S.T @ x["k"][t])
            out.append(S.T @ x["q"][t])
        return torch.stack(out)

    s = spec(GATED_DELTA)
    same(reference(s), plain, draw(s))


def cached(x, t, start):
    """Online state and cached (state, mean key) at token t, segments of C tokens, linear memory."""
    n = t // C
    carried = linear_states(x)
    if start == "carry":
        memories = [carried[(i + 1) * C - 1] for i in range(n)]
        online = carried[t]
    else:
        memories = [linear_states(x, i * C, (i + 1) * C)[-1] for i in range(n)]
        online = linear_states(x, n * C, t + 1)[-1]
    keys = [x["k"][i * C:(i + 1) * C].mean(0) for i in range(n)]
    return online, x["k"][n * C:t + 1].mean(0), memories, keys


@pytest.mark.parametrize("start", ["carry", "fresh"])
def test_residual(start):
    def plain(x):
        rows = (cached(x, t, start) for t in range(len(x["q"])))
        return torch.stack([sum([S, *Ms]).T @ x["q"][t] for t, (S, _, Ms, _) in enumerate(rows)])

    s = spec(LINEAR, segmented(RESIDUAL, start=start))
    same(reference(s), plain, draw(s))


def test_residual_of_independent_linear_memories_is_linear_attention():
    x = draw(spec(LINEAR))
    torch.testing.assert_close(reference(spec(LINEAR, FRESH))(**x), reference(spec(LINEAR))(**x))


@pytest.mark.parametrize("start", ["carry", "fresh"])
@pytest.mark.parametrize("cache,top", [(GRM, None), (SSC, 2)])
def test_softmax_gates_and_selection(cache, top, start):
    def plain(x):
        out = []
        for t in range(len(x["q"])):
            S, key, Ms, keys = cached(x, t, start)
            scores = [float((x["u"][t] @ m).detach()) for m in keys]
            best = sorted(range(len(Ms)), key=lambda i: (-scores[i], i))[:top]
            gates = torch.softmax(torch.stack([x["u"][t] @ m for m in [key] + [keys[i] for i in best]]), 0)
            out.append(sum(g * M.T @ x["q"][t] for g, M in zip(gates, [S] + [Ms[i] for i in best])))
        return torch.stack(out)

    s = spec(LINEAR, segmented(cache, start=start))
    same(reference(s), plain, draw(s))


def test_soup_mixes_states_before_a_nonlinear_read():
    def plain(x):
        S, z, out, memories = zeros(x), torch.zeros_like(x["k"][0]), [], []
        for t in range(len(x["q"])):
            S, z = S + torch.outer(x["k"][t], x["v"][t]), z + x["k"][t] ** 2
            keys = [m[2] for m in memories] + [x["k"][t // C * C:t + 1].mean(0)]
            gates = torch.softmax(torch.stack([x["u"][t] @ m for m in keys]), 0)
            Sm = sum(g * m[0] for g, m in zip(gates, memories + [(S, z)]))
            zm = sum(g * m[1] for g, m in zip(gates, memories + [(S, z)]))
            out.append(Sm.T @ x["q"][t] / (1 + zm @ x["q"][t] ** 2))
            if (t + 1) % C == 0:
                memories.append((S, z, x["k"][t + 1 - C:t + 1].mean(0)))
        return torch.stack(out)

    s = spec(NORMALISED, SOUP)
    same(reference(s), plain, draw(s))


def fenwick(n):
    """Segments of the first n units by the digits of n, highest first: (start, units, level)."""
    out, start = [], 0
    for j in reversed(range(12)):
        if n & (1 << j):
            out.append((start, 1 << j, 1 + j))
            start += 1 << j
    return out


@pytest.mark.parametrize("start", ["carry", "fresh"])
def test_logarithmic_growth(start):
    def plain(x):
        out = []
        for t in range(len(x["q"])):
            n = t // C
            S = linear_states(x, 0 if start == "carry" else n * C, t + 1)[-1]
            y = torch.sigmoid(x["u"][t] @ x["k"][n * C:t + 1].sum(0)) * S.T @ x["q"][t]
            parts = fenwick(n)
            for i, (first, units, level) in enumerate(parts):
                a, b = first * C, (first + units) * C
                M = linear_states(x, 0 if start == "carry" else a, b)[-1]
                age = len(parts) - i
                y = y + torch.sigmoid(x["u"][t] @ x["k"][a:b].sum(0) - 0.1 * age) / level * M.T @ x["q"][t]
            out.append(y)
        return torch.stack(out)

    cache = {**LOG, "inputs": {"u": ["K"]}, "summary": "sum(k)", "score": "dot(u, summary)",
             "weight": "sigmoid(score - 0.1 * age) / maximum(level, 1)"}
    s = spec(LINEAR, segmented(cache, start=start))
    same(reference(s), plain, draw(s, T=34))


def test_logarithmic_fresh_with_a_rule_that_does_not_compose():
    """A merged segment is the rule run over all of it, not a sum of its parts."""
    rule = dict(LINEAR, update={"S": "tanh(S + outer(k, v)) + 0.1 * outer(delay(k, 1), v)"})

    def run(x, a, b):
        S = zeros(x)
        for t in range(a, b):
            before = x["k"][t - 1] if t > a else torch.zeros_like(x["k"][0])
            S = torch.tanh(S + torch.outer(x["k"][t], x["v"][t])) + 0.1 * torch.outer(before, x["v"][t])
        return S

    def plain(x):
        out = []
        for t in range(len(x["q"])):
            n = t // C
            spans = [(s * C, (s + u) * C) for s, u, _ in fenwick(n)] + [(n * C, t + 1)]
            out.append(sum(run(x, a, b) for a, b in spans).T @ x["q"][t])
        return torch.stack(out)

    s = spec(rule, segmented(LOG, start="fresh"))
    same(reference(s), plain, draw(s, B=1, H=1, T=34))


def test_log_linear_attention_with_levels_and_decay_after():
    rule = dict(DECAY, constants={"scale": 1})
    cache = {"inputs": {"lam": ["L"]}, "segments": {"length": 1, "start": "fresh", "growth": "logarithmic"},
             "weight": "lam[level] * exp(after(g))"}

    def plain(x):
        out = []
        for t in range(len(x["q"])):
            y = 0
            for first, units, level in fenwick(t) + [(t, 1, 0)]:
                for i in range(first, first + units):
                    decay = torch.exp(x["g"][i + 1:t + 1].sum())
                    y = y + x["lam"][t][level] * decay * (x["q"][t] @ x["k"][i]) * x["v"][i]
            out.append(y)
        return torch.stack(out)

    s = spec(rule, cache)
    same(reference(s), plain, draw(s, T=18))


@pytest.mark.parametrize("start", ["carry", "fresh"])
def test_momentum_with_gradients_at_the_start_of_a_run_and_learned_init(start):
    def plain(x):
        W, Z, out, memories = x["W_init"], torch.zeros_like(x["W_init"]), [], []
        for t in range(len(x["q"])):
            if t % 4 == 0:
                W0 = W
            k, v = x["k"][t], x["v"][t]
            Z = x["m"][t] * Z - x["lr"][t] * torch.outer(k, W0.T @ k - v)
            W = 0.9 * W + Z
            out.append(sum([W, *memories]).T @ x["q"][t])
            if (t + 1) % 8 == 0:
                memories.append(W)
                if start == "fresh":
                    W, Z = x["W_init"], torch.zeros_like(Z)
        return torch.stack(out)

    s = spec(MOMENTUM, {"segments": {"length": 8, "start": start}})
    same(reference(s), plain, draw(s))


def test_gradient_at_another_value():
    rule = dict(MOMENTUM, update={"Z": "0.5 * Z - lr * grad(W, at=W + 0.5 * Z)", "W": "W + new(Z)"}, gradient="token")

    def plain(x):
        W, Z, out = x["W_init"], torch.zeros_like(x["W_init"]), []
        for t in range(len(x["q"])):
            k, v = x["k"][t], x["v"][t]
            Z = 0.5 * Z - x["lr"][t] * torch.outer(k, (W + 0.5 * Z).T @ k - v)
            W = W + Z + 0 * x["m"][t]
            out.append(W.T @ x["q"][t])
        return torch.stack(out)

    s = spec(rule)
    same(reference(s), plain, draw(s))


@pytest.mark.parametrize("start", [None, "carry", "fresh"])
def test_delay_and_window(start):
    """Under `fresh` update sees only the segment's tokens, read the whole sequence."""
    def plain(x):
        S, out, memories = zeros(x), [], []
        none = torch.zeros_like(x["k"][0])
        for t in range(len(x["q"])):
            first = t // C * C if start == "fresh" else 0
            k2 = x["k"][t - 2] if t - 2 >= first else none
            before = S
            S = 0.9 * S + torch.outer(x["k"][t] + 0.5 * k2, x["v"][t])
            S = S + sum(torch.outer(x["k"][i], x["v"][i]) for i in range(max(first, t - 2), t + 1))
            kk = x["k"][t] + 0.5 * (x["k"][t - 2] if t >= 2 else none)
            out.append(before.T @ kk + S.T @ x["q"][t] + sum(M.T @ (kk + x["q"][t]) for M in memories))
            if start and (t + 1) % C == 0:
                memories.append(S)
                S = zeros(x) if start == "fresh" else S
        return torch.stack(out)

    s = spec(DELAYED, None if start is None else segmented(RESIDUAL, start=start))
    same(reference(s), plain, draw(s))


def test_window_in_an_objective_uses_this_tokens_state():
    rule = dict(inputs=MOMENTUM["inputs"], state={"W": ["K", "V"]}, objective="window(0.5 * m * sum((W.T @ k - v)**2), 3)",
                update={"W": "W - lr * grad(W)"}, read="W.T @ q")

    def plain(x):
        W, out = zeros(x), []
        for t in range(len(x["q"])):
            grads = [x["m"][i] * torch.outer(x["k"][i], W.T @ x["k"][i] - x["v"][i]) for i in range(max(0, t - 2), t + 1)]
            W = W - x["lr"][t] * sum(grads)
            out.append(W.T @ x["q"][t])
        return torch.stack(out)

    s = spec(rule)
    same(reference(s), plain, draw(s))


def test_read_before_update_bonus_output_and_a_per_head_input():
    rule = dict(inputs={**LINEAR["inputs"], "w": {"shape": ["K"], "per": "head"}}, state=LINEAR["state"],
                update={"S": "diag(sigmoid(w)) @ S + outer(k, v)"}, read="prev(S).T @ q", output="y + dot(w * k, q) * v")

    def plain(x):
        S, out = zeros(x), []
        for q, k, v in zip(x["q"], x["k"], x["v"]):
            out.append(S.T @ q + (x["w"] * k * q).sum() * v)
            S = torch.sigmoid(x["w"])[:, None] * S + torch.outer(k, v)
        return torch.stack(out)

    s = spec(rule)
    same(reference(s), plain, draw(s))


def test_prev_in_a_mixed_read():
    rule = dict(NORMALISED, read="prev(S).T @ q / (1 + dot(z, q * q))")

    def plain(x):
        S, z, out, memories = zeros(x), torch.zeros_like(x["k"][0]), [], []
        for t in range(len(x["q"])):
            before = S
            S, z = S + torch.outer(x["k"][t], x["v"][t]), z + x["k"][t] ** 2
            Sm = before + sum(m[0] for m in memories)
            zm = z + sum(m[1] for m in memories)
            out.append(Sm.T @ x["q"][t] / (1 + zm @ x["q"][t] ** 2))
            if (t + 1) % C == 0:
                memories.append((S, z))
        return torch.stack(out)

    s = spec(rule, {**RESIDUAL, "mix": "states"})
    same(reference(s), plain, draw(s))


def test_end_of_a_run_after_its_read_and_before_the_cache():
    rule = dict(LINEAR, end={"S": "0.5 * S"}, gradient={"chunk": 2}, objective="sum(S)")

    def plain(x):
        S, out, memories = zeros(x), [], []
        for t in range(len(x["q"])):
            S = S + torch.outer(x["k"][t], x["v"][t])
            out.append(sum([S, *memories]).T @ x["q"][t])
            if (t + 1) % 2 == 0:
                S = 0.5 * S
            if (t + 1) % C == 0:
                memories.append(S)
        return torch.stack(out)

    s = spec(rule, RESIDUAL)
    same(reference(s), plain, draw(s))


def test_constant_segments_with_count_age_and_init_expression():
    rule = dict(LINEAR, inputs={**LINEAR["inputs"], "w": {"shape": ["V"], "per": "head"}},
                state={"S": {"shape": ["K", "V"], "init": "eye(K) @ solve(eye(K), outer(sum(w) * one, w))"}})
    rule["inputs"]["one"] = {"shape": ["K"], "per": "head"}

    def plain(x):
        S0 = torch.outer(x["w"].sum() * x["one"], x["w"])
        out = []
        for t in range(len(x["q"])):
            n = t // C
            states = linear_states(x, S=S0)
            Ms = [states[t]] + [states[(i + 1) * C - 1] for i in reversed(range(n))]
            out.append(sum(M.T @ x["q"][t] / (1 + n) * 0.9 ** age for age, M in enumerate(Ms)))
        return torch.stack(out)

    s = spec(rule, {**RESIDUAL, "weight": "exp(age * log(0.9)) / count"})
    same(reference(s), plain, draw(s))
