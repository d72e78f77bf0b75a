"""Tokens of 16 bits: kernels widen what they load and round what they store, as torch does."""
import pytest
import torch

from mcgen.runtime.tvm import compile

from .helpers import table_of


def kernel(k):
    x, y, z = k.token("x", "K"), k.token("y", "K", out=True), k.token("z", "K", out=True)
    with k.sequences():
        x_ = k.tile("x_", "c", "K")
        with k.rows():
            k.load(x_["c", "K"], x, fill=0.0)
            k.store(y, x_["c", "K"])
            k.store(z, x_["c", "K"] * 1.0039062)


@pytest.mark.parametrize("dtype, short", [(torch.bfloat16, "bf16"), (torch.float16, "f16")])
def test_all_numbers(dtype, short):
    x = torch.arange(-2 ** 15, 2 ** 15, dtype=torch.int32).to(torch.int16).view(dtype).reshape(1, -1, 2, 8)
    x = torch.cat([x, x.flip(1)], 3)[..., :13].contiguous()             # a whole vector, and a part of one
    tokens = x.shape[1]
    y, z = torch.zeros_like(x), torch.zeros_like(x)
    compile(kernel, {"K": 13, "#chunk": 64}, stored=dict.fromkeys("xyz", short))(table_of(1, tokens, 64, 1 << 20), x=x, y=y, z=z)
    assert torch.equal(y.isnan(), x.isnan()) and torch.equal(y.nan_to_num(), x.nan_to_num())
    wanted = (x.float() * 1.0039062).to(dtype)
    assert torch.equal(z.isnan(), wanted.isnan()) and torch.equal(z.nan_to_num(), wanted.nan_to_num())


def test_a_kernel_says_which_tensors_it_takes():
    made = compile(kernel, {"K": 13, "#chunk": 64}, stored={"x": "bf16"})
    x, y = torch.zeros(1, 3, 1, 13), torch.zeros(1, 3, 1, 13)
    made(table_of(1, 3, 64, 64), x=x.bfloat16(), y=y, z=y.clone())
    with pytest.raises(ValueError, match="x is torch.bfloat16"):
        made(table_of(1, 3, 64, 64), x=x, y=y, z=y.clone())
