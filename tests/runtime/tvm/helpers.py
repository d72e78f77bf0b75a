"""What the tests of the CPU tile builder share."""
from __future__ import annotations

import torch

from mcgen.runtime.tvm import compile


def table_of(B: int, T: int, C: int, segment: int) -> torch.Tensor:
    """The chunk table [B,R,4] of B equal sequences: (start, count, segment, offset)."""
    rows, t = [], 0
    while t < T:
        offset = t % segment
        count = min(C, segment - offset, T - t)
        rows.append((t, count, t // segment, offset))
        t += count
    return torch.tensor(rows, dtype=torch.int32).reshape(1, -1, 4).expand(B, -1, 4).contiguous()


def counting(monkeypatch, module, name: str) -> list:
    """What the lowering `name` of a module says from now on: for each loop that it is asked for, whether it has lowered it."""
    found, plain = [], getattr(module, name)
    monkeypatch.setattr(f"mcgen.runtime.tvm.lower.{name}", lambda *args: found.append(plain(*args)) or found[-1])
    return found


NO_ROWS = torch.zeros(1, 0, 4, dtype=torch.int32)


def margins(tensor: torch.Tensor, width: int = 64):
    """The tensor inside a NaN-filled buffer, misaligned, and a function that says whether the margins are intact."""
    flat = torch.full((tensor.numel() + 2 * width + 1,), float("nan"), dtype=tensor.dtype)
    inner = flat[width + 1:width + 1 + tensor.numel()].view(tensor.shape)
    inner.copy_(tensor)
    return inner, lambda: bool(flat[:width + 1].isnan().all() and flat[width + 1 + tensor.numel():].isnan().all())


def run(fn, sizes: dict, inputs: dict, outputs: dict, table: torch.Tensor | None = None, **options):
    """The outputs of one call; every float tensor stands between NaNs, which must survive and never be read. Vectors of 8 with some sizes,
    of 16 with others, whatever this machine's own are."""
    kernel = compile(fn, {"#chunk": 1, **sizes}, options={"lanes": 8 if sum(sizes.values()) % 2 else 16, **options})
    tensors, intact = {}, []
    for name, tensor in {**inputs, **outputs}.items():
        if tensor.dtype in (torch.float32, torch.float64):
            tensor, check = margins(tensor)
            intact.append(check)
        tensors[name] = tensor
    kernel(NO_ROWS if table is None else table, **tensors)
    assert all(check() for check in intact), "a kernel wrote outside its tensors"
    return {name: tensors[name] for name in outputs}


def close(got: torch.Tensor, wanted: torch.Tensor, tolerance: float = 2e-6) -> None:
    """Equal within tolerance of the largest wanted value."""
    error = (got.double() - wanted.double()).abs().max().item() if got.numel() else 0.0
    assert error <= tolerance * max(1.0, wanted.abs().max().item() if wanted.numel() else 0.0), error
