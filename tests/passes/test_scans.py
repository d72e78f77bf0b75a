"""Rules without a chunk form: the scan over tokens equals the token-by-token reference, forward and in every gradient."""
from __future__ import annotations

from functools import cache

import pytest
import torch

from mcgen.diagnostics import NotLowered
from mcgen.passes.pipeline import compile_model
from mcgen.passes.token_loops import over_tokens, scans_rows
from mcgen.spec import load_spec
from mcgen.symbolic.elaborate import elaborate
from mcgen.symbolic.read import analyse_read

from ops.scans import SCANS
from .cases import drawn, errors, expected, results

TOLERANCE = 1e-9


@cache
def compiled(name: str):
    return compile_model(elaborate(load_spec(SCANS.get(name, name))))


def agree(name: str, tokens: int, chunk: int) -> None:
    state = compiled(name)
    x = drawn(state.model, tokens)
    found = errors(results(state, x, chunk), expected(state.model, x))
    assert not {n: e for n, e in found.items() if not e < TOLERANCE}


@pytest.mark.parametrize("name", SCANS)
def test_scans(name):
    assert compiled(name).source.choice.scanned or name in ("signed_decay", "negative_scalar_decay")     # these have a chunk form too
    agree(name, 23, 4)


@pytest.mark.parametrize("name", ["longhorn", "mamba1", "mesa"])
def test_library(name):
    agree(name, 11, 4)


@pytest.mark.parametrize("tokens, chunk", [(1, 4), (3, 4), (13, 5), (17, 16), (9, 1)])
@pytest.mark.parametrize("name", ["bounded", "chosen", "solved"])
def test_lengths_and_chunks(name, tokens, chunk):
    agree(name, tokens, chunk)


@pytest.mark.parametrize("g", [0.0, -50.0, float("-inf")])
@pytest.mark.parametrize("name", ["bounded", "largest", "shared_decay", "huber"])
def test_decays_at_their_ends(name, g):
    """Forward and gradients are finite and those of the reference."""
    state = compiled(name)
    x = drawn(state.model, 9)
    for decay in {"g", "A"} & set(x):
        mask = torch.arange(x[decay].numel()).reshape(x[decay].shape) % 2 == 0
        x[decay] = torch.where(mask, torch.tensor(g, dtype=torch.float64), x[decay])
    got, want = results(state, x, 4), expected(state.model, x)
    assert all(t.isfinite().all() for t in got.values())
    assert not {n: e for n, e in errors(got, want).items() if not e < TOLERANCE}


def test_connected_states_go_together_and_others_keep_their_form():
    spec = load_spec({"name": "mixed", "rule": {
        "inputs": {"q": ["K"], "k": ["K"], "v": ["V"]}, "state": {"S": ["K", "V"], "Z": ["K", "V"], "m": ["K"], "n": []},
        "update": {"S": "S + tanh(Z)", "Z": "0.5 * Z + outer(k, v)", "m": "0.9 * m + k", "n": "0.5 * n + 1"}, "read": "S.T @ q * dot(m, q) / n"}})
    choice = compile_model(elaborate(spec)).source.choice
    assert set(choice.scanned) == {"S", "Z"} and {n for g in choice.affine for n in g.states} == {"m", "n"}


MATRICES = {"inputs": {"q": ["K"], "k": ["K"], "v": ["V"], "M": ["K", "V"], "N": ["K", "K"]}, "state": {"S": ["K", "V"]}}


@pytest.mark.parametrize("update, read, loops", [
    ("0.5 * S + outer(N @ k, M.T @ q)", "S.T @ (N @ q)", 3),                            # each vector by a loop of its own
    ("0.5 * S + outer(k, sum(outer(v, v + 1), 1))", "S.T @ q + sum(diag(v), 0)", 2),
    ("S + outer(delay(N @ k, 1), window(M.T @ q, 2))", "S.T @ (diag(k) @ q)", 2),              # a window in one; a diagonal is none
    ("tanh(S) + outer(N @ k, M.T @ q)", "S.T @ q", 1),                                  # the state's loop has them too
    ("0.9 * S + outer(k, v)", "S.T @ solve(N @ N.T + eye(K), q)", 1),
])
def test_vectors_that_a_matrix_of_the_token_is_needed_for(update, read, loops):
    """They come from loops over tokens that carry nothing; states keep their form."""
    state = compile_model(elaborate(load_spec({"name": "whole", "rule": {**MATRICES, "update": {"S": update}, "read": read}})))
    every = state.source.program.order()
    found = [v for values in (every, *(rows["body"].order() for rows in filter(scans_rows, every))) for v in values if over_tokens(v)]
    assert len(found) == loops and set(state.source.choice.scanned) == ({"S"} if "tanh" in update else set())
    x = drawn(state.model, 11)
    assert not {n: e for n, e in errors(results(state, x, 4), expected(state.model, x)).items() if not e < TOLERANCE}


def test_a_read_of_a_whole_state_scans_it_alone():
    """The state that the read multiplies with what it solved for keeps its chunk form."""
    assert set(compiled("mesa").source.choice.scanned) == {"P"}
    assert analyse_read(compiled("mesa").model.read).atoms[1].inner == (0,)


@pytest.mark.parametrize("read, cache, words", [
    ("tanh(S).T @ q", {"mix": "states"}, "mixed states under a read"),
    ("tanh(S + outer(q, v)).T @ q", {"mix": "reads"}, "a matrix for every token outside a product"),
    ("dot(q, k) * v", {}, "a cache behind a read without states"),
])
def test_cached_reads_that_are_refused(read, cache, words):
    spec = load_spec({"name": "no", "rule": {
        "inputs": {"q": ["K"], "k": ["K"], "v": ["V"]}, "state": {"S": ["K", "V"]}, "update": {"S": "S + outer(k, v)"}, "read": read},
        "cache": {"segments": {"length": 8}, "weight": "1 / count", **cache}})
    with pytest.raises(NotLowered, match=words):
        compile_model(elaborate(spec))
