"""Names of a spec that a generated program also uses: they work, or are refused with their place."""
import pytest
import torch

from mcgen.codegen.package import build
from mcgen.diagnostics import NotLowered
from mcgen.runtime import load_package
from mcgen.spec import load_spec
from mcgen.verify.draw import Case, dim_sizes, draw
from mcgen.verify.oracle import Reference


def spec(q="q", k="k", h="h", u="u", S="S", K="K"):
    return load_spec({"name": "clash", "rule": {
        "inputs": {q: [K], k: [K], "v": ["V"], h: {"shape": [K], "per": "head"}}, "state": {S: [K, "V"], "m": [K]},
        "update": {S: f"0.9 * {S} + outer({k}, v)", "m": f"m + delay({k}, 1) * {h}"}, "read": f"{S}.T @ {q} + dot(m, {q}) * v"},
        "cache": {"inputs": {u: [K]}, "segments": {"length": 5, "start": "fresh"}, "summary": f"mean({k})",
                  "score": f"dot({u}, summary)", "weight": "softmax(score)"}})


def same(folder, made):
    op, want = load_package(build(made, folder / "clash"), backend="torch"), Reference(made)
    x = {n: t.requires_grad_() for n, t in draw(made, Case(13, dtype=torch.float64), dim_sizes(made)).items()}
    for a, b in zip(*(torch.autograd.grad(f(**x).sin().sum(), list(x.values())) for f in (op, want))):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(op(**x), want(**x), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["like", "rows", "chunk", "save", "ops", "torch", "F", "R", "N", "z", "n", "r", "c", "size_K", "range", "results",
                                  "float", "old_S", "x", "x2", "q_c", "at_c"])
def test_an_input_may_have_a_word_of_the_program(tmp_path, name):
    same(tmp_path, spec(k=name))


@pytest.mark.parametrize("names", [{"q": "like", "k": "like_", "h": "like__"}, {"S": "table", "K": "c"}, {"K": "r"}, {"K": "n", "S": "d"}, {"h": "old_m"},
                                   {"h": "inputs", "u": "sizes"}, {"K": "d", "k": "c"}, {"K": "t"}])
def test_states_dims_and_several_at_once(tmp_path, names):
    same(tmp_path, spec(**names))


@pytest.mark.parametrize("name", ["state_S", "init_S", "cache_S", "table", "position", "partial", "after_0", "d_q", "new_y", "saved_S", "self"])
def test_an_input_that_cannot_be_told_apart_is_refused(tmp_path, name):
    with pytest.raises(NotLowered) as refused:
        build(spec(k=name), tmp_path / "clash")
    assert f"an input named {name!r}" in str(refused.value) and refused.value.diagnostics[0].pos.line and "hint: choose another name" in str(refused.value)
    assert not (tmp_path / "clash").exists()


@pytest.mark.parametrize("name", ["partial", "after0", "sum_m"])
def test_a_state_that_cannot_be_told_apart_is_refused(tmp_path, name):
    with pytest.raises(NotLowered, match=f"a state named '{name}'"):
        build(spec(S=name), tmp_path / "clash")
