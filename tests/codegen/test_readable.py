"""Generated text reads like the paper: telling names, the spec's lines as headings, the spec's own names where it has them."""
import ast
import re

import pytest

from mcgen.codegen.package import files
from mcgen.ir.builder import Builder
from mcgen.ir.naming import fresh, stem
from mcgen.ir.nodes import Param
from mcgen.spec import load_spec

SPEC = {"name": "read_me", "rule": {
    "inputs": {"q": ["K"], "k": ["K"], "v": ["V"], "g": {"shape": [], "domain": ["-inf", 0]}}, "constants": {"scale": "K**-0.5"},
    "let": {"kn": "l2norm(k)"}, "state": {"S": ["K", "V"]}, "update": {"S": "exp(g) * S + outer(kn, v)"}, "read": "scale * S.T @ q"},
    "cache": {"inputs": {"u": ["K"]}, "segments": {"length": 8}, "summary": "mean(kn)", "score": "dot(u, summary)", "weight": "softmax(score)"}}


@pytest.fixture(scope="module")
def package():
    return files(load_spec(SPEC))


def assigned(text, function):
    """The names that a function assigns."""
    body = next(n for n in ast.parse(text).body if isinstance(n, ast.FunctionDef) and n.name == function)
    return {n.id for n in ast.walk(body) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


@pytest.mark.parametrize("module, function, expected", [
    ("torch_program.py", "forward", {"kn", "log_decay", "G", "gap", "reach", "P", "increment_S", "score_online", "score_cached", "weight_online", "y", "q_c"}),
    ("torch_program.py", "backward", {"kn", "reach", "share", "d_q", "d_kn", "d_v", "d_score_cached", "d_summaries"}),
    ("tvm_kernels.py", "forward", {"kn", "log_decay", "G", "P", "score_online", "score_cached", "weight_online", "scale", "S", "q_c"}),
    ("tvm_kernels.py", "backward", {"reach", "share", "d_score_cached", "d_old_S"})])
def test_values_have_telling_names(package, module, function, expected):
    names = assigned(package[module], function)
    assert expected <= names and not [n for n in names if re.fullmatch(r"[xps]\d*", n)]


@pytest.mark.parametrize("module", ["torch_program.py", "tvm_kernels.py"])
def test_statements_stand_below_the_line_that_they_come_from(package, module):
    lines = package["spec.yaml"].splitlines()
    quoted = re.findall(r"^ +# spec line (\d+): (.*)$", package[module], re.M)
    assert {"S", "read", "score", "weight"} <= {text.split(":")[0] for _, text in quoted}
    assert all(lines[int(number) - 1].strip() == text for number, text in quoted)


def test_names_are_free_and_the_first_one_stays():
    b, taken = Builder(), {"k", "d_y"}
    assert [fresh(n, taken) for n in ("k", "d.y", "d.y", "z")] == ["k2", "d_y2", "d_y3", "z"]
    x = b.load(Param("x", "token", ("K",)))
    e = b.map("exp", x)
    assert (stem(e), stem(b.called(e, "growth")), stem(b.called(e, "other"))) == ("exp", "growth", "growth")
    assert b.called(x, "no") is x and not x.name and b.map("exp", x) is e
