"""What torch offers around an operator: second gradients, transforms, checkpoints, autocast, opcheck."""
import pytest
import torch
from torch.utils.checkpoint import checkpoint

from mcgen.diagnostics import NotLowered
from mcgen.runtime import load_package

from .helpers import HANDMADE, arguments, close, decay_softmax, tensors

SMALL = dict(batch=1, tokens=5, heads=1, K=2, V=2)


def loss(op):
    return lambda *args: op(*args).square().sum()


def test_gradgradcheck(op):
    args = tensors(**SMALL, grad=True)
    assert torch.autograd.gradgradcheck(op, args, fast_mode=True)


def test_gradients_of_gradients(op):
    args = tensors(**SMALL, grad=True)
    first, want = (torch.autograd.grad(f(*args), args, create_graph=True) for f in (loss(op), loss(lambda *a: decay_softmax(*a)[0])))
    weight = [torch.randn_like(x) for x in first]
    second, expected = (torch.autograd.grad(sum((w * x).sum() for w, x in zip(weight, made)), args) for made in (first, want))
    for a, b in zip(second, expected):
        close(a, b)


def test_function_transforms(op):
    args = tensors(**SMALL)
    want = torch.autograd.grad(loss(op)(*(x.requires_grad_() for x in args)), args)
    args = [x.detach() for x in args]
    for a, b in zip(torch.func.grad(loss(op), argnums=(0, 1, 2, 3, 4))(*args), want):
        close(a, b)
    stacked = [torch.stack([x, 2 * x]) for x in args]
    close(torch.func.vmap(op)(*stacked), torch.stack([op(*args), op(*(2 * x for x in args))]))
    close(torch.func.vmap(op, in_dims=(0, None, None, None, None))(stacked[0], *args[1:]), torch.stack([op(*args), op(2 * args[0], *args[1:])]))
    per_sample = torch.func.vmap(torch.func.grad(loss(op)))(*stacked)
    close(per_sample[0], want[0])
    y, pull = torch.func.vjp(op, *args)
    close(y, op(*args))
    for a, b in zip(pull(2 * y), want):
        close(a, b)
    jacobian = torch.func.jacrev(op, argnums=1)(*args)
    close(jacobian, torch.autograd.functional.jacobian(lambda k: op(args[0], k, *args[2:]), args[1]))
    hessian = torch.func.jacrev(torch.func.grad(loss(op)))(*args)
    expected = torch.autograd.functional.hessian(lambda q: loss(op)(q, *args[1:]), args[0])
    close(hessian, expected)


def test_forward_mode_is_refused(op):
    args = tensors(**SMALL)
    with pytest.raises(NotLowered, match="forward-mode"):
        torch.func.jvp(lambda q: op(q, *args[1:]), (args[0],), (torch.ones_like(args[0]),))
    with torch.autograd.forward_ad.dual_level():
        op(*args)                                                     # nothing dual: nothing to lose
        with pytest.raises(NotLowered, match="forward-mode"):
            op(torch.autograd.forward_ad.make_dual(args[0], args[0]), *args[1:])


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoint(op, reentrant):
    args = tensors(grad=True)
    want = torch.autograd.grad(loss(op)(*args), args)
    y = checkpoint(op, *args, use_reentrant=reentrant)
    y.square().sum().backward()
    for x, b in zip(args, want):
        close(x.grad, b)


def test_meta_tensors_have_shapes(op):
    args = [x.to("meta").requires_grad_() for x in tensors(**SMALL)]
    y, memory = op(*args, return_memory=True)
    assert y.is_meta and y.shape == args[0].shape and memory["state"]["S"].is_meta
    y.sum().backward()
    assert all(x.grad is not None and x.grad.shape == x.shape for x in args)


def test_inference_mode_leaves_nothing_behind(op):
    args = tensors(tokens=9)
    with torch.inference_mode():
        want = op(*args)
    close(op(*(x.requires_grad_() for x in args)).detach(), want.clone())
    torch.autograd.grad(op(*args).sum(), args)


def test_autocast():
    op = load_package(HANDMADE / "decay_softmax", backend="torch")
    args = tensors(dtype=torch.float32)
    want = op(*args)
    with torch.autocast("cpu", torch.bfloat16):
        y, memory = op(*args, return_memory=True)
    assert memory["state"]["S"].dtype is torch.float32
    close(y, want, 1e-6)
    low = [args[0].bfloat16(), args[1].bfloat16(), args[2].bfloat16(), args[3], args[4]]
    with torch.autocast("cpu", torch.bfloat16):
        y = op(*low)
        traced = torch.compile(op, backend="aot_eager", fullgraph=True)(*low)
    assert y.dtype is traced.dtype is torch.bfloat16
    close(y, traced, 1e-2)
    low = [x.requires_grad_() for x in low]
    with torch.autocast("cpu", torch.bfloat16):
        y = op(*low)
    made = torch.autograd.grad(y.float().sum(), low, create_graph=True)
    assert [x.dtype for x in made] == [x.dtype for x in low]
    torch.autograd.grad(sum(x.float().sum() for x in made), low)


def test_operators_pass_opcheck(op):
    manifest = op.manifest
    q, k, v, g, u = tensors(tokens=6)
    memory = op.empty_memory(2, 2, K=3, V=5, capacity=2, dtype=torch.float64)
    real = op._operators
    args = arguments(lambda: op(q, k, v, g, u, memory=memory))
    torch.library.opcheck(real.forward, args)
    torch.library.opcheck(real.forward_save, args)
    torch.library.opcheck(real.own_gradient, args, test_utils=("test_schema", "test_faketensor", "test_autograd_registration"))
    made = dict(zip((*manifest.forward_results, *(s for s, _ in manifest.saved)), real.forward_save(*args)))
    made |= dict(zip(manifest.forward_params, args)) | {f"d.{r}": torch.ones_like(made[r]) for r in manifest.forward_results} | {"d.new.summary": None}
    torch.library.opcheck(real.backward, (*(made[p] for p in manifest.backward_params), args[-1]))
    torch.library.opcheck(torch.ops.mcgen.within_capacity.default, (torch.tensor([5, 6]), 4, 2))


def test_loads_do_not_clash(op, tmp_path):
    other = tmp_path / "decay_softmax"
    other.mkdir()
    for part in ("manifest.json", "torch_program.py"):
        text = (HANDMADE / "decay_softmax" / part).read_text()
        (other / part).write_text(text.replace("LENGTH = 4", "LENGTH = 3").replace('"length": 4', '"length": 3'))
    short = load_package(other)
    args = tensors()
    assert not torch.allclose(short(*args), op(*args))
    close(op(*args), decay_softmax(*args)[0])
    assert load_package(other) is short and load_package(other, backend="torch") is not short


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_operators_make_of_tokens_of_16_bits(op, dtype):
    """Traced: y like v, gradients like their inputs, all else float32."""
    manifest = op.manifest
    *given, chunk = arguments(lambda: op(*tensors(tokens=6, dtype=torch.float32), return_memory=True))
    given = [x.to(dtype) if name in manifest.tokens else x for name, x in zip(manifest.forward_params, given)]
    with torch._subclasses.FakeTensorMode() as mode:
        args = [mode.from_tensor(x) for x in given]
        made = dict(zip((*manifest.forward_results, *(name for name, _ in manifest.saved)), op._operators.forward_save(*args, chunk)))
        assert {name: x.dtype for name, x in made.items()} == {name: dtype if name == "y" else torch.float32 for name in made}
        named = {**made, **dict(zip(manifest.forward_params, args)), **{f"d.{r}": made[r] for r in manifest.forward_results}}
        gradients = op._operators.backward(*(named[name] for name in manifest.backward_params), chunk)
        assert [x.dtype for x in gradients] == [named[name.removeprefix("d.")].dtype for name in manifest.backward_results]
