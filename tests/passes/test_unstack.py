"""Steps inside a token as values of their own, systems as products with inverses, derivatives that share their products."""
from __future__ import annotations

import pytest
import torch

from mcgen.ir import interpreter
from mcgen.ir.builder import Builder
from mcgen.ir.nodes import Param, Program, Result, is_step
from mcgen.ir.verifier import verify_program
from mcgen.passes.eliminate import solved_steps
from mcgen.passes.hoist import hoist
from mcgen.passes.share_factors import share_factors
from mcgen.passes.unstack import unstack

from .cases import compiled


def every(program):
    for v in program.order():
        yield v
        if "body" in dict(v.attrs):
            yield from every(v["body"])


@pytest.mark.parametrize("rule", ["steps", "erase", "momentum", "erase_channels"])
def test_no_steps_and_no_systems_are_left(rule):
    state = compiled(rule)
    for program in (state.forward, state.backward):
        made = hoist(unstack(program, state.source.builder), state.source.builder)
        verify_program(made)
        assert not [v for v in every(made) if v.op == "solve" or any(map(is_step, v.axes))]
        assert not [v for loop in made.order() if loop.op == "scan" for v in loop["body"].order() if v.op == "inverse"]
        assert [v for v in made.order() if v.op == "inverse"]
        assert [(r.name, r.axes) for r in made.results] == [(r.name, r.axes) for r in program.results]


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("alone", [(), (0,), (1, 2)])
def test_steps_are_eliminated(transposed, alone):
    """Three steps that read each other, in the token and before it, against one dense system over (token, step). alone: steps that
    read none of their own values."""
    b, steps, size = Builder(), 3, 5
    params = {(i, j): Param(f"l.{i}.{j}", "starts", ("c", "d")) for i in range(steps) for j in range(steps)}
    given = [Param(f"x.{i}", "starts", ("c", "V")) for i in range(steps)]
    blocks = [[b.zero() if i == j and i in alone else b.param(params[i, j]) for j in range(steps)] for i in range(steps)]
    found = solved_steps(b, blocks, [b.param(p) for p in given], transposed)
    program = Program("p", (*params.values(), *given), tuple(Result(f"y.{i}", "starts", ("c", "V"), ((v, 0),)) for i, v in enumerate(found)))
    verify_program(program)
    torch.manual_seed(0)
    joined = torch.tril(torch.randn(size * steps, size * steps, dtype=torch.float64), -1)      # token by token, step by step
    for i in alone:
        joined.view(size, steps, size, steps)[:, i, :, i] = 0.0
    x = torch.randn(size, steps, 2, dtype=torch.float64)
    inputs = {p.name: joined.view(size, steps, size, steps)[:, i, :, j][None, None] for (i, j), p in params.items()}
    inputs |= {p.name: x[:, i][None, None] for i, p in enumerate(given)}
    table = torch.tensor([[[0, size, 0, 0]]])
    got = interpreter.run(program, inputs, table, size, {"V": 2, "#tokens": size})
    want = torch.linalg.solve(torch.eye(size * steps, dtype=torch.float64) - (joined.mT if transposed else joined), x.flatten(0, 1)).view(size, steps, 2)
    for i in range(steps):
        assert torch.allclose(got[f"y.{i}"][0, 0], want[:, i], atol=1e-10)


def test_derivatives_share_their_products():
    state = compiled("channels")
    made = share_factors(state.backward, state.source.builder)
    verify_program(made)
    parts = [v for v in made.order() if v.op == "channels"]
    assert sorted(v["part"] for v in parts) == ["f", "k", "q"] and len({tuple(map(id, v.args)) for v in parts}) == 1
    assert not [v for v in made.order() if v.op in ("papply", "pfactor")]
