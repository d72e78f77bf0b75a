"""An op with compiled CPU kernels inside what torch offers: as in float64 by the torch program, in float32."""
import pytest
import torch
import torch.utils._python_dispatch

import mcgen

from .helpers import arguments, close

SPEC = {
    "name": "at_home",
    "rule": {"inputs": {"q": ["K"], "k": ["K"], "v": ["V"], "g": {"shape": [], "domain": ["-inf", 0]}, "a": {"shape": [], "per": "head"}},
             "state": {"S": ["K", "V"]}, "update": {"S": "exp(g) * S + a * outer(k, v + 0.5 * delay(v, 1))"}, "read": "S.T @ q"},
    "cache": {"inputs": {"u": ["K"]}, "segments": {"length": 6}, "summary": "mean(k)", "score": "dot(u, summary)", "weight": "softmax(score)"},
}
NEAR = 2e-4


@pytest.fixture(scope="module")
def op():
    return mcgen.load(SPEC, backend="tvm")


@pytest.fixture(scope="module")
def exact():
    return mcgen.load(SPEC, backend="torch")


def draw(tokens=14, dtype=torch.float32):
    q, k, v, u = (torch.randn(2, tokens, 2, 4) for _ in range(4))
    return [x.to(dtype) for x in (q, k, v, -torch.rand(2, tokens, 2), torch.rand(2), u)]


def loss(op):
    return lambda *args: op(*args).square().mean()


def test_transforms(op, exact):
    args = draw()
    wide = [x.double() for x in args]
    every = tuple(range(len(args)))
    want = torch.func.grad(loss(exact), argnums=every)(*wide)
    for a, b in zip(torch.func.grad(loss(op), argnums=every)(*args), want):
        close(a.double(), b, NEAR)
    stacked = torch.stack([args[0], -args[0]])
    close(torch.func.vmap(op, in_dims=(0, *[None] * 5))(stacked, *args[1:]), torch.stack([op(q, *args[1:]) for q in stacked]))


def test_second_gradients(op, exact):
    args = [x.requires_grad_() for x in draw(7)]
    wide = [x.detach().double().requires_grad_() for x in args]
    made = []
    for f, given in ((op, args), (exact, wide)):
        first = torch.autograd.grad(loss(f)(*given), given, create_graph=True)
        made.append(torch.autograd.grad(sum(x.square().sum() for x in first), given))
    for a, b in zip(*made):
        close(a.double(), b, NEAR)


def test_whole_graph(op):
    """A graph for any number of tokens takes other chunks than a call of a few: sums in another order."""
    args = [x.requires_grad_() for x in draw()]
    y = torch.compile(op, backend="aot_eager", fullgraph=True)(*args)
    want = op(*args)
    close(y, want, 1e-6)
    for a, b in zip(torch.autograd.grad(y.sum(), args), torch.autograd.grad(want.sum(), args)):
        close(a, b, 1e-6)
    torch._dynamo.reset()


@pytest.mark.parametrize("dtype", [torch.bfloat16, pytest.param(torch.float16, marks=pytest.mark.slow)])
def test_tokens_of_16_bits(op, dtype):
    """To the bit what widened tokens give, rounded: at first, by a recipe, in parts and in steps, with gradients of some or all."""
    low = [x.to(dtype) for x in draw()]
    low[4] = low[4].float()
    dy = torch.randn(2, 14, 2, 4).to(dtype)

    def run(wide: bool, wanted: tuple[int, ...]):
        leaves = [x.detach().requires_grad_(i in wanted) for i, x in enumerate(low)]
        y = op(*[x.float() for x in leaves] if wide else leaves)
        return y.detach().to(dtype), *torch.autograd.grad(y, [leaves[i] for i in wanted], dy.to(y.dtype))

    for wanted in (tuple(range(6)), tuple(range(6)), (1,), (0, 3)):
        for a, b in zip(run(False, wanted), run(True, wanted)):
            assert a.dtype is b.dtype and torch.equal(a, b)
    for _ in range(2):
        assert torch.equal(op(*low), op(*[x.float() for x in low]).to(dtype))
    memory = after = None
    for part in (slice(0, 5), slice(5, 11)):
        mine = [x if i == 4 else x[:, part] for i, x in enumerate(low)]
        y, memory = op(*mine, memory=memory, return_memory=True)
        want, after = op(*[x.float() for x in mine], memory=after, return_memory=True)
        assert torch.equal(y, want.to(dtype)) and torch.equal(memory["state"]["S"], after["state"]["S"])
    for t in (11, 12):
        mine = [x if i == 4 else x[:, t] for i, x in enumerate(low)]
        (y, memory), (want, after) = op.step(*mine, memory=memory), op.step(*[x.float() for x in mine], memory=after)
        assert torch.equal(y, want.to(dtype)) and torch.equal(memory["state"]["S"], after["state"]["S"])


def test_autocast(op):
    q, k, v, g, a, u = draw()
    low = [x.bfloat16() for x in (q, k, v)]
    with torch.autocast("cpu", torch.bfloat16):
        y, memory = op(*low, g, a, u, return_memory=True)
        traced, after = torch.compile(op, backend="aot_eager", fullgraph=True)(*low, g, a, u, return_memory=True)
    assert y.dtype is traced.dtype is torch.bfloat16
    assert memory["state"]["S"].dtype is after["state"]["S"].dtype is torch.float32
    close(y, traced)
    close(memory["state"]["S"], after["state"]["S"])
    close(memory["state"]["S"], op(*(x.float() for x in low), g, a, u, return_memory=True)[1]["state"]["S"])
    torch._dynamo.reset()


def test_opcheck(op):
    real, manifest = op._operators, op.manifest
    args = arguments(lambda: op(*draw()))
    torch.library.opcheck(real.forward, args)
    torch.library.opcheck(real.forward_save, args)
    torch.library.opcheck(real.own_gradient, args, test_utils=("test_schema", "test_faketensor", "test_autograd_registration"))
    made = dict(zip((*manifest.forward_results, *(name for name, _ in manifest.saved)), real.forward_save(*args)))
    made |= dict(zip(manifest.forward_params, args)) | {f"d.{r}": torch.ones_like(made[r]) for r in manifest.forward_results} | {"d.new.summary": None}
    torch.library.opcheck(real.backward, (*(made[p] for p in manifest.backward_params), args[-1]))


def test_a_call_keeps_nothing_that_is_given_away(op):
    args = draw(0)
    _, memory = op(*args, return_memory=True)
    memory["state"]["S"].add_(1)
    memory["position"].add_(1)
    _, other = op(*args, return_memory=True)
    assert not other["state"]["S"].any() and not other["position"].any()
    room = op.empty_memory(2, 2, K=4, V=4, capacity=2)
    room["cache"]["S"].add_(1)
    assert not op.empty_memory(2, 2, K=4, V=4, capacity=2)["cache"]["S"].any()
    whole = draw(9)
    want, memory = op(*whole, return_memory=True)
    for x in (memory["state"]["S"], memory["cache"]["S"], memory["past"]["v"], memory["partial"]):
        x.add_(1)
    close(op(*whole), want)


@pytest.mark.parametrize("keep", [False, True])
def test_gradients_of_some(op, exact, keep):
    """Of one input, with the others left out; and of y and of the memory apart."""
    args = draw(13)
    for i in range(len(args)):
        made = []
        for f, given in ((op, args), (exact, [x.double() for x in args])):
            leaf = given[i].detach().requires_grad_()
            y = f(*given[:i], leaf, *given[i + 1:], return_memory=keep)
            loss = y.square().sum() if not keep else y[1]["cache"]["S"].square().sum() + y[1]["state"]["S"].sum()
            made.append(torch.autograd.grad(loss, leaf, allow_unused=True)[0])
        assert (made[0] is None) == (made[1] is None)
        if made[0] is not None:
            close(made[0].double(), made[1], NEAR)


def test_saved_tensors_may_come_back_otherwise(op):
    args = [x.requires_grad_() for x in draw(13)]
    want = torch.autograd.grad(loss(op)(*args), args)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x.clone().t() if x.dim() == 2 else x.clone(), lambda x: x.t() if x.dim() == 2 else x):
        y = loss(op)(*args)
    for a, b in zip(torch.autograd.grad(y, args), want):
        assert torch.equal(a, b)
    with torch.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x.double() if x.is_floating_point() else x):
        y = loss(op)(*args)
    with pytest.raises((ValueError, RuntimeError)):
        torch.autograd.grad(y, args)


def test_steps_with_and_without_a_gradient(op):
    """The same y and memory; a short way is there for the second and later ones."""
    args = draw(9)
    at = lambda t: [x[:, t] if x.dim() > 1 else x for x in args]                       # noqa: E731
    want = op(*args)
    memory = op.empty_memory(2, 2, K=4, V=4, capacity=2)
    for t in range(9):
        with torch.no_grad():
            y, after = op.step(*at(t), memory=memory)
        leaves = [x.clone().requires_grad_() for x in at(t)]
        again, _ = op.step(*leaves, memory=memory)
        close(y, want[:, t], 1e-5)
        assert torch.equal(y, again) and torch.autograd.grad(again.sum(), leaves, allow_unused=True)[0].shape == leaves[0].shape
        memory = after


def test_defaults_of_torch_change_nothing(op):
    args = draw(9)
    want, memory = op(*args, return_memory=True)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            y, after = op(*[x.clone() for x in args], return_memory=True)
    finally:
        torch.set_default_dtype(torch.float32)
    close(y, want)
    assert after["state"]["S"].dtype is torch.float32 and after["position"].device.type == "cpu"


def test_modes_and_profilers_see_the_operator(op):
    class Seen(torch.utils._python_dispatch.TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.names = []

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            self.names.append(str(function))
            return function(*args, **(kwargs or {}))

    args = draw(9)
    want = op(*args)
    with Seen() as seen:
        close(op(*args), want)
    with torch.profiler.profile() as profiled:
        close(op(*args), want)
    for names in (seen.names, [event.name for event in profiled.events()]):
        assert any("mcgen" in name and "at_home" in name for name in names)
