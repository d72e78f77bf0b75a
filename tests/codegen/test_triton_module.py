"""What of a package's Triton text does not need Triton: which programs have it, its launches, that it is the same every time."""
from __future__ import annotations

import ast
from functools import cache

import pytest

import mcgen
from mcgen.codegen.package import build, files
from mcgen.codegen.triton_module import printable
from mcgen.codegen.triton_printer import used
from mcgen.ir.builder import Builder
from mcgen.ir.nodes import Param, Program, Result

from ops.specs import CORNERS, SMALL_OF_LARGE

KERNELS = {"linear_attention": (2, 4), "simple_gla": (2, 4), "mlstm+grm": (3, 12), "linear_attention+grm": (3, 8), "swla+ssc": (3, 12),
           "mamba1": (1, 3), "longhorn": (1, 3), "mesa": (3, 8)}


@cache
def text_of(name):
    return files(mcgen.load_spec(name))["triton_kernels.py"]


@pytest.mark.parametrize("name", KERNELS)
def test_few_kernels_are_launched(name):
    """Budgets: a pass that needs more launches shows here. (Kernels that would fill registers are cut, for more launches.)"""
    text = text_of(name)
    count = [sum(isinstance(n, ast.FunctionDef) and n.name.startswith(which) for n in ast.parse(text).body) for which in ("forward_", "backward_")]
    assert tuple(count) <= KERNELS[name] and count[1] <= KERNELS[name][1]


@pytest.mark.parametrize("name", ["simple_gla", "mlstm+grm", "mamba1"])
def test_the_same_every_time(name):
    assert text_of.__wrapped__(name) == text_of(name)


@pytest.mark.parametrize("name, count", [("simple_gla", 2), ("gated_delta", 4), ("gla", 5)])
def test_the_fused_form_is_one_pass_and_what_it_needs(name, count):
    made = files(mcgen.load_spec(name))
    text = made["triton_fused_kernels.py"]
    assert text.count("\ndef fused_") == text.count("\ndef ") == count < made["triton_kernels.py"].count("\ndef ")


def test_no_fused_form_where_it_is_the_same():
    assert "triton_fused_kernels.py" not in files(mcgen.load_spec("simple_gla+log_linear"))


def test_states_are_cut_along_both_dims():
    text = text_of("simple_gla")
    assert text.count("\"grid\": 'loop', \"blocked\": ('K', 'V')") == 2 and "tl.atomic" not in text


def test_a_scan_takes_one_token_at_a_time():
    """Its inputs are loaded for that token, and no tile of all tokens' states is made."""
    forward, backward = text_of("mamba1").split("def backward_0")
    assert "token[:, None]" not in forward and "tl.store(y_ptr" in forward and "[c, K, V]" not in backward
    assert "('each.S', 'memory', ('c', 'K', 'V'))" in backward           # the states of one row, for every sequence and head


@pytest.mark.parametrize("name", ["simple_gla+grm", "titans_linear+grm"])
def test_what_runs_in_order_sums_up_no_tokens(name):
    """The gradient of a mean over tokens takes one sum a row, which a kernel over rows stores."""
    loop = next(k for k in ast.parse(text_of(name)).body if isinstance(k, ast.FunctionDef) and k.name.startswith("backward_")
                and "d.summary.partial" in ast.get_docstring(k))
    names = {a.arg for a in loop.args.args}
    assert "d_summary_partial_ptr" in names and "u_ptr" not in names


def corner(name, spec):
    tree = {k: {a: b for a, b in v.items() if b is not None} for k, v in spec.items() if k != "name"}
    return mcgen.load_spec({"name": name, **tree})


def test_products_with_every_cached_memory_are_printed():
    name = "a_matrix_times_every_cached_vector"
    assert "lib.dot(" in files(corner(name, CORNERS[name]))["triton_kernels.py"]


@pytest.mark.parametrize("name", SMALL_OF_LARGE)
def test_loops_over_tokens_of_what_has_levels_are_printed(name):
    made = files(corner(name, SMALL_OF_LARGE[name]))["triton_kernels.py"]
    assert ast.parse(made) and "for j in range(" in made


def test_only_what_is_asked_for_is_named():
    """A line of the frame goes with the last one that needs it; what is no line of the frame stays."""
    lines = ["    row_ptr = rows_ptr + r * 4", "    segment = tl.load(row_ptr + 2)", "    b, h = z // H, z % H", "    x = tl.load(x_ptr + h)"]
    assert used(lines) == lines[2:]


def test_an_unknown_operation_leaves_the_back_end_out(tmp_path, monkeypatch):
    b = Builder()
    x = b.load(Param("x", "token", ("K",)))
    whole = Program("p", (Param("x", "token", ("K",)),), (Result("y", "token", ("K",), ((b.make("unheard", (x,), x.axes), 0),)),))
    assert not printable(whole) and printable(Program("p", whole.params, (Result("y", "token", ("K",), ((x, 0),)),)))
    spec = mcgen.load_spec("linear_attention")
    folder = build(spec, tmp_path / "op")
    assert (folder / "triton_kernels.py").is_file() and (folder / "triton_fused_kernels.py").is_file()
    monkeypatch.setattr("mcgen.codegen.triton_module.OPS", {"const"})
    build(spec, folder)
    assert not list(folder.glob("triton_*")) and (folder / "tvm_kernels.py").is_file()
