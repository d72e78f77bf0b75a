"""Operations on memories of merging segments: a row's segment number counts units, its binary digits name the memories."""
from __future__ import annotations

import pytest
import torch

from mcgen.ir.builder import Builder
from mcgen.ir.functions import TABLE
from mcgen.ir.interpreter import run
from mcgen.ir.nodes import Param, Program, Result
from mcgen.ir.verifier import BrokenProgram, verify_program

from .helpers import CHUNK, LENGTH, SIZES

UNITS = Param("u", "units", ("K",))
ROWS = [(0, 2, 4, 4), (2, 4, 5, 0), (6, 2, 6, 0), (8, 1, 0, 0)]            # digits 100, 101, 110, none
READ = [{2: 3}, {2: 3, 0: 4}, {2: 3, 1: 5}, {}]                             # digit -> slot: units 1 to 4, 5, 5 to 6


def value_of(value, given, results=None):
    kind = {"m": "units", "r": "starts"}[value.axes[0]]
    params = tuple(p for p in (UNITS, Param("s", "starts", ("n", "K"))) if p.name in given)
    program = Program("small", params, (Result("out", kind, value.axes[1:], ((value, 0),)),), "chunk", LENGTH)
    verify_program(program)
    return run(program, given, torch.tensor(ROWS).expand(2, -1, -1), CHUNK, SIZES)["out"]


def units(seed=0):
    return torch.randn(2, 6, SIZES["K"], generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_functions_of_digits():
    i, n = torch.arange(40)[:, None], torch.arange(7)
    digit, below, ones, carries, two_to = (TABLE[f].value for f in ("digit", "below", "ones", "carries", "two_to"))
    for a in range(40):
        for b in range(7):
            low = a % 2 ** b
            assert bool(digit(i, n)[a, b]) == bool(a >> b & 1) and int(below(i, n)[a, b]) == low
            assert int(ones(i, n)[a, b]) == low.bit_count() and bool(carries(i, n)[a, b]) == (low == 2 ** b - 1)
            assert int(two_to(n)[b]) == 2 ** b


def test_take_reads_the_memories_of_the_digits_that_are_1():
    b, u = Builder(), units()
    got = value_of(b.take(b.param(UNITS), b.iota("n")), {"u": u})
    want = torch.zeros_like(got)
    for row, read in enumerate(READ):
        for digit, slot in read.items():
            want[:, row, digit] = u[:, slot]
    assert torch.equal(got, want) and got.shape == (2, 4, 4, SIZES["K"])      # 6 units: 3 digits, and the level above


def test_give_is_the_transpose_of_take():
    """The derivative of either is the other: <give(x), y> = <x, take(y)>."""
    b, u = Builder(), units()
    taken = b.take(b.param(UNITS), b.iota("n"))
    x = torch.randn(2, 4, 4, SIZES["K"], generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    given = b.give(b.param(Param("s", "starts", ("n", "K"))), b.iota("n"))
    got = value_of(given, {"u": u, "s": x})
    torch.testing.assert_close((got * u).sum(), (x * value_of(taken, {"u": u})).sum())
    summed = torch.zeros_like(u)
    for row, read in enumerate(READ):
        for digit, slot in read.items():
            summed[:, slot] += x[:, row, digit]
    torch.testing.assert_close(got, summed)


def test_a_digit_is_a_whole_number_over_memories_alone():
    b = Builder()
    verify_program(Program("right", (UNITS,), (Result("out", "starts", ("n", "K"), ((b.take(b.param(UNITS), b.iota("n")), 0),)),)))
    wrong = b.take(b.param(UNITS), b.map("float", b.iota("n")))
    with pytest.raises(BrokenProgram, match="take"):
        verify_program(Program("wrong", (UNITS,), (Result("out", "starts", ("n", "K"), ((wrong, 0),)),)))
