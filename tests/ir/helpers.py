"""Small programs over one or two lanes, and their values by the interpreter."""
from __future__ import annotations

import torch

from mcgen.ir.autodiff import vjp
from mcgen.ir.builder import Builder
from mcgen.ir.interpreter import run
from mcgen.ir.nodes import Param, Program, Result, Value
from mcgen.ir.verifier import verify_program

SIZES = {"K": 3, "V": 2}
CHUNK, LENGTH = 4, 6
ROWS = [(0, 4, 0, 2), (4, 4, 1, 0), (8, 2, 1, 4), (10, 3, 2, 0)]        # a call that begins inside a segment of 6 tokens
SLOTS = 3
X, Y, M, W = (Param("x", "memory", ("K", "V")), Param("y", "memory", ("K", "V")), Param("m", "slots", ("K",)), Param("w", "memory", ("V",)))
TOKENS = Param("t", "token", ("K",), delay=2)


def table(lanes: int = 2) -> torch.Tensor:
    return torch.tensor(ROWS).expand(lanes, -1, -1)


def tensors(params, seed: int = 0, lanes: int = 2) -> dict[str, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    lead = {"token": lambda p: (p.delay + 13,), "slots": lambda p: (SLOTS,), "units": lambda p: (SLOTS,), "starts": lambda p: (len(ROWS),)}
    return {p.name: torch.randn(lanes, *lead.get(p.kind, lambda p: ())(p), *(SIZES[a.rstrip("~")] for a in p.axes), generator=g, dtype=torch.float64)
            for p in params}


def program(value: Value, params, extra=()) -> Program:
    """The value as the one result of a program, whatever its axes."""
    order = tuple(a for a in value.axes)
    kind = "slots" if order[:1] == ("n",) else "starts" if order[:1] == ("r",) else "memory"
    made = Program("small", tuple(params), (Result("out", kind, order[1:] if kind != "memory" else order, ((value, 0),)),), "chunk", LENGTH)
    verify_program(made)
    return made


def value_of(value: Value, params, given) -> torch.Tensor:
    return run(program(value, params), given, table(), CHUNK, SIZES)["out"]


def gradients(b: Builder, value: Value, params, given):
    """(derived, torch's through the interpreter) of <cotangent, value> by every parameter: two routes to one number."""
    leaves = [b.load(p, 0) if p.kind == "token" else b.param(p) for p in params]
    weight = Param("weight", "memory", ())
    total = b.sum(b.map("mul", value, b.param(weight)), value.axes)
    given = given | {"weight": torch.tensor([1.0, -0.5], dtype=torch.float64)}
    tracked = {n: t.clone().requires_grad_(n != "weight") for n, t in given.items()}
    scalar = run(program(total, (*params, weight)), tracked, table(), CHUNK, SIZES)["out"].sum()
    wanted = torch.autograd.grad(scalar, [tracked[p.name] for p in params], allow_unused=True, materialize_grads=True)
    derived = []
    for p, grad in zip(params, vjp(b, [(total, b.const(1.0))], leaves)):
        result = Result("g", p.kind, p.axes, ((grad, 0),), p.delay)
        made = Program("grad", (*params, weight), (result,), "chunk", LENGTH)
        verify_program(made)
        derived.append(run(made, given, table(), CHUNK, SIZES)["g"])
    return derived, wanted
