"""The printed torch program against the interpreter on the same op: every result, forward and backward, in float64."""
import pytest
import torch

from mcgen.codegen.torch_module import torch_module
from mcgen.codegen.torch_printer import print_function
from mcgen.ir import interpreter
from mcgen.ir.builder import Builder
from mcgen.ir.nodes import Param, Program, Result, sort_axes
from mcgen.passes.bisect import bound, table, values
from passes.cases import compiled, drawn, errors, trial

OPS = [("plain", None, "carry"), ("vectors", None, "carry"), ("window", "top", "fresh"), ("nonlinear", "after", "carry"), ("delay", "aged", "fresh"),
       ("per_head", "sum", "carry"), ("output", "counted", "fresh"), ("expression_init", "states", "fresh"), ("raw", "softmax", "carry")]


def module(text: str, folder):
    import importlib.util

    path = folder / "torch_program.py"
    path.write_text(text)
    loaded = importlib.util.module_from_spec(spec := importlib.util.spec_from_file_location("torch_program", path))
    spec.loader.exec_module(loaded)
    return loaded


def as_arguments(program, lanes):
    """[z, *] as the programs take it: one head, z sequences; per-head tensors then need one lane."""
    made = []
    for p in program.params:
        x = lanes[p.name]
        made.append(x[:1] if p.kind == "head" else x.unsqueeze(2) if p.kind == "token" else x.unsqueeze(1))
    return made


@pytest.mark.parametrize("rule, cache_name, start", OPS)
@pytest.mark.parametrize("chunk", [4, 16])
def test_torch_equals_interpreter(tmp_path, rule, cache_name, start, chunk):
    state = compiled(rule, cache_name, start=start)
    x = {n: t[:1, :, :1] if n not in state.model.inputs or state.model.inputs[n].per == "token" else t[:1]
         for n, t in drawn(state.model, 17, zeros=("a",)).items()}
    call = trial(state.model, x, chunk)
    want = values(state, call)
    program, rows = module(torch_module(state), tmp_path), table(call).int()
    forward = as_arguments(state.forward, bound(state.forward, call))
    made = program.forward(*forward, rows, chunk=chunk, save=True)
    got = {r.name: t for r, t in zip(state.forward.results, made)}
    assert len(program.forward(*forward, rows, chunk=chunk)) == state.results
    arguments = as_arguments(state.backward, bound(state.backward, call, want))
    count = len(state.forward.params)
    grads = program.backward(*arguments[:count], rows, *arguments[count:], chunk=chunk)
    got |= {"grad " + r.name.removeprefix("d."): t[:, r.delay:] for r, t in zip(state.backward.results, grads)}
    flat = {n: t.reshape(want[n].shape) for n, t in got.items() if n in want}
    assert {"y", *(f"grad {n}" for n in state.model.inputs)} <= set(flat) and all(torch.is_tensor(t) for t in flat.values())
    found = errors(flat, {n: want[n] for n in flat})
    assert not {n: e for n, e in found.items() if not e < 1e-9}


ALONG = {"cumprod": lambda b, x: b.cumprod(x), "cumprod from the end": lambda b, x: b.cumprod(x, True), "cumsum": lambda b, x: b.cumsum(x, "c"),
         "sum": lambda b, x: b.sum(x, ["c"]), "max": lambda b, x: b.max(x, "K"), "dot": lambda b, x: b.dot(x, b.map("tanh", x), ["K"]),
         "decayed": lambda b, x: b.decayed(x, b.map("tanh", x))}


@pytest.mark.parametrize("name", ALONG)
def test_a_loop_names_axes_in_an_order_of_its_own(tmp_path, name):
    """What a body is given lies as its giver has it, whatever the order of the parameter's axes."""
    b, tokens, memories = Builder(), Param("q", "token", ("K",)), Param("m", "slots", ("V",))
    turned, memory = Param("turned", "value", ("r", "K", "c")), Param("memory", "value", ("V",))
    value = b.mul(ALONG[name](b, b.param(turned)), b.param(memory))
    body = Program("each", (memory, turned), (Result("out0", "sum", sort_axes(value.axes), ((value, 0),)),))
    out = b.slots(body, [b.param(memories)], [b.load(tokens)])[0]
    program = Program("small", (tokens, memories), (Result("out", "starts", out.axes[1:], ((out, 0),)),), "chunk", 4)
    rows, sizes = torch.tensor([[(0, 4, 0, 0), (4, 3, 1, 0)]]), {"K": 5, "V": 2}
    given = {"q": torch.randn(1, 7, 5, dtype=torch.float64), "m": torch.randn(1, 3, 2, dtype=torch.float64)}
    want = interpreter.run(program, given, rows, 4, sizes)["out"]
    text = "import torch\nfrom mcgen.runtime import torch_ops as ops\n\n\n" + print_function("small", program, 2)
    got, = module(text, tmp_path).small(given["q"][:, :, None], given["m"][:, None], rows.int(), chunk=4)
    torch.testing.assert_close(got[:, 0], want)
