"""The printed torch program against the interpreter on the same op: every result, forward and backward, in float64."""
import pytest
import torch

from mcgen.codegen.torch_module import torch_module
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
