"""Every name that the language allows works, the words of the generated programs among them: on both back ends, forward and backward."""
import pytest
import torch

from mcgen.codegen.package import build
from mcgen.runtime import load_package
from mcgen.spec import load_spec
from mcgen.verify.draw import Case, dim_sizes, draw
from mcgen.verify.oracle import Reference

CACHE = {"segments": {"length": 5, "start": "fresh"}, "summary": "mean({k})", "score": "dot({u}, summary) - 0.1 * after(sum({k}) * {w})",
         "weight": "softmax(score) / sum({h})"}
BACKENDS = {"torch": (torch.float64, 1e-9), "tvm": (torch.float32, 1e-4)}


def spec(cached=True, **names):
    """An op with a delayed input k, a per-head input h, a learned and a constant start, and, cached, inputs u and w of the cache."""
    n = {x: names.get(x, x) for x in ("q", "k", "v", "h", "u", "w", "S", "m", "K", "V")}
    rule = {"inputs": {n["q"]: [n["K"]], n["k"]: [n["K"]], n["v"]: [n["V"]], n["h"]: {"shape": [n["K"]], "per": "head", "domain": [0.5, 1]}},
            "state": {n["S"]: [n["K"], n["V"]], n["m"]: {"shape": [n["K"]], "init": "learned"}},
            "update": {n["S"]: "0.9 * {S} + outer({k}, {v})", n["m"]: "{m} + delay({k}, 1) * {h}"},
            "read": "{S}.T @ {q} + dot({m}, {q}) * {v}"}
    tree = {"name": "named", "rule": rule}
    if cached:
        tree["cache"] = {**CACHE, "inputs": {n["u"]: [n["K"]], n["w"]: []}}
    def filled(node):
        if isinstance(node, dict):
            return {key: filled(value) for key, value in node.items()}
        return node.format(**n) if isinstance(node, str) else node
    return load_spec(filled(tree))


def same(folder, made, backend, tokens=13):
    """The op equals the reference: y, every gradient, and (torch) the sequence in two calls."""
    (dtype, tolerance), op, want = BACKENDS[backend], load_package(build(made, folder / "named"), backend=backend), Reference(made)
    given = {n: t.requires_grad_() for n, t in draw(made, Case(tokens, dtype=dtype), dim_sizes(made)).items()}
    exact = {n: t.detach().double().requires_grad_() for n, t in given.items()}
    y, ref = op(**given), want(**exact)
    grads, refs = (torch.autograd.grad(out.double().sin().sum(), list(x.values())) for out, x in ((y, given), (ref, exact)))
    for name, a, b in zip(["y", *given], [y.detach(), *grads], [ref.detach(), *refs], strict=True):
        assert (a.double() - b).abs().max() <= tolerance * max(1.0, b.abs().max()), name
    if backend == "tvm":
        return
    token, x = {f.name for f in op.manifest.fields if f.per == "token"}, {n: t.detach() for n, t in given.items()}
    first, memory = op(**{n: t[:, :7] if n in token else t for n, t in x.items()}, return_memory=True)
    second, _ = op(**{n: t[:, 7:] if n in token else t for n, t in x.items()}, memory=memory)
    torch.testing.assert_close(torch.cat([first, second], 1), y.detach(), rtol=tolerance, atol=tolerance)


# a word for every role at once: inputs q k v h u w, states S m, dims K V
WORDS = {
    "own names": dict(q="table", k="position", v="partial", h="state_S", u="new_state_S", w="saved_S", S="d_y", m="cache_S"),
    "their kin": dict(q="init_S", k="cache_m", v="d_q", h="init_m", u="after_0", w="summary_partial", S="S", m="state_S"),
    "states": dict(q="d_new_state_S", k="new_summary", v="d_summary", h="old_S", u="new_cache_S", w="d_k", S="partial", m="sum_S"),
    "arguments": dict(q="self", k="k", v="save", h="rows", u="like", w="chunk", S="table", m="position", K="batch", V="heads"),
    "modules": dict(q="torch", k="ops", v="F", h="float", u="range", w="results", S="n", m="r", K="N", V="R"),
    "letters": dict(q="n", k="r", v="x", h="x2", u="c", w="z", S="d", m="t", K="C", V="c_"),
    "axes": dict(q="R", k="N", v="C", h="p", u="G", w="s", S="acc", m="M", K="n", V="r"),
    "more axes": dict(q="q_c", k="at_c", v="size_K", h="size_size_K", u="k_1", w="x3", S="kept", m="total", K="c", V="d"),
    "sizes": dict(q="sizes", k="inputs", v="dtype", h="device", u="reversed", w="len", K="t", V="z"),
    "slots": dict(q="slots0", k="slots0_out0", v="dy_0_1", h="S_init", u="over_n", w="per_n", S="next", m="chosen"),
}


@pytest.mark.parametrize("words", [pytest.param(w, marks=pytest.mark.slow) if n in ("their kin", "more axes", "modules") else w for n, w in WORDS.items()], ids=WORDS)
def test_words_of_the_programs_are_names_like_any_other(tmp_path, words):
    same(tmp_path, spec(**words), "torch")


@pytest.mark.parametrize("words", ["own names", "states", "arguments"])
def test_in_kernels_too(tmp_path, words):
    pytest.importorskip("tvm")
    same(tmp_path, spec(**WORDS[words]), "tvm")


@pytest.mark.parametrize("words", ["own names", "arguments"])
def test_in_plain_ops_too(tmp_path, words):
    same(tmp_path, spec(False, **WORDS[words]), "torch")
