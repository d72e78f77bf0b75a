"""Kernels that solve dense systems hold the system, and read or make again what else is a matrix."""
from __future__ import annotations

import pytest

from mcgen.codegen.package import files
from mcgen.codegen.triton_printer import print_kernel
from mcgen.passes.held import had_again, solves
from mcgen.passes.pipeline import compile_model
from mcgen.passes.slice import cut
from mcgen.spec import load_spec
from mcgen.symbolic.elaborate import elaborate

from ops.scans import SCANS
from .cases import every


def slices_of(name):
    made = compile_model(elaborate(load_spec(name)))
    return [s for p in (made.forward, made.backward) for s in cut(p, made.source.builder).slices]


@pytest.fixture(scope="module")
def slices():
    return slices_of("mesa+grm")


def test_matrices_of_systems_alone_are_had_again(slices):
    with_slots = [s for s in slices if solves(s.program.order()) and any(p.name == "new.cache.P" for p in s.program.params)]
    assert with_slots
    for s in with_slots:
        values = s.program.order()
        again = had_again(s.program, values)
        named = {v["name"] for v in every(values) if id(v) in again and v.op in ("param", "load")}
        assert "new.cache.P" in named and "new.cache.G" not in named and "saved.P" not in named        # a product's, a scan's
        assert not any(v.op == "dense_solve" or "c" in v.axes for v in every(values) if id(v) in again)


def test_none_without_systems(slices):
    others = [s for s in slices if not solves(s.program.order())]
    assert others and not any(had_again(s.program, s.program.order()) for s in others)


@pytest.mark.parametrize("read, count", [("G.T @ solve(P + diag(l), q)", 1), ("G.T @ (solve(P + diag(l), q) + solve(P + 2 * diag(l), q))", 2)])
def test_they_are_read_where_a_system_is_made_of_them(read, count):
    """As often as there are systems of a memory, inside the loop over memories or rows."""
    found = []
    for i, s in enumerate(slices_of({"name": "systems", "rule": {"use": "mesa", "read": read}, "cache": {"use": "grm"}})):
        text = print_kernel(f"kernel_{i}", s, "test").text
        reads = [line for line in text.splitlines() if "tl.load(new_cache_P_ptr" in line]
        if reads and "lib.dense_solve" in text and "r" in {a for v in s.program.order() for a in v.axes}:
            assert len(reads) == text.count("lib.dense_solve") - text.count("# tokens") and all(line.startswith(" " * 8) for line in reads), text
            assert "in range(" not in text                                                   # what is read again stays in the loop
            found.append(len(reads))
    assert found == [count]


def test_a_matrix_that_a_scan_over_rows_is_given():
    """It is made in the loop over rows, in whose body it is a parameter."""
    text = files(load_spec(SCANS["a_system_of_its_square"]))["triton_kernels.py"]
    compile(text, "triton_kernels.py", "exec")
    loop = text.index("for r in tl.range")
    assert loop < text.index("at_K[:, None] == at_K[None, :]", loop) < text.index("lib.dense_solve")
