"""A compiled kernel as a function of torch tensors."""
from __future__ import annotations

from typing import Callable, Sequence

import torch

from .statements import Storage

DTYPES = {"f32": torch.float32, "f64": torch.float64, "i32": torch.int32, "i64": torch.int64}


class Kernel:
    """kernel(table=.., q=.., y=..): outputs are tensors too, written in place. `run(tensors, table)` takes them in order, unchecked.

    The tensors are float32 unless declared otherwise, contiguous, on the CPU; B, T, H, R, N are read from their shapes.
    """

    def __init__(self, name: str, params: Sequence[Storage], sizes: dict[str, int], entry: Callable) -> None:
        self.name, self.params, self.sizes, self.entry = name, tuple(params), dict(sizes), entry
        self.names = tuple(p.name for p in params)
        self._checks = [(p.name, DTYPES[p.dtype], p.kind, tuple(_extent(d, sizes) for d in p.dims), p.delay)
                        for p in params]

    def __call__(self, *, table: torch.Tensor, **tensors: torch.Tensor) -> None:
        B = T = H = N = -1
        R = table.shape[1]
        addresses = []
        found = {"B": table.shape[0]}
        if table.dtype is not torch.int32 or table.dim() != 3 or table.shape[2] != 4 or not table.is_contiguous():
            raise ValueError(f"{self.name}: table is int32 [B, R, 4], contiguous; got {table.dtype} {tuple(table.shape)}")
        for name, dtype, kind, dims, delay in self._checks:
            tensor = tensors.get(name)
            if tensor is None:
                raise TypeError(f"{self.name}: tensor {name!r} is missing")
            shape = tuple(tensor.shape)
            lead = LEAD[kind]
            fits = len(shape) == len(lead) + len(dims) and (shape[len(lead):] == dims or (None in dims and all(
                want in (None, have) for want, have in zip(dims, shape[len(lead):]))))
            if tensor.dtype is not dtype or not tensor.is_contiguous() or not fits or tensor.is_cuda:
                raise ValueError(f"{self.name}: {name} is {dtype} [{', '.join((*lead, *map(str, dims)))}], contiguous, on the CPU; "
                                 f"got {tensor.dtype} {shape}" + ("" if tensor.is_contiguous() else ", not contiguous"))
            for axis, extent in zip(lead, shape):
                if axis == "T":
                    extent -= delay
                if axis == "R":
                    if extent != R:
                        raise ValueError(f"{self.name}: {name} has R = {extent}, the table has {R} rows")
                elif found.setdefault(axis, extent) != extent:
                    raise ValueError(f"{self.name}: {name} has {axis} = {extent}, another tensor {found[axis]}")
            addresses.append(tensor.data_ptr())
        if len(tensors) != len(self._checks):
            raise TypeError(f"{self.name}: no such tensor: {', '.join(sorted(set(tensors) - set(self.names)))}")
        B, T, H, N = found["B"], found.get("T", 0), found.get("H", 1), found.get("N", 0)
        if B * H:
            self.entry(min(torch.get_num_threads(), B * H), *addresses, table.data_ptr(), B, T, H, R, N)

    def run(self, addresses: Sequence[int], table: int, B: int, T: int, H: int, R: int, N: int) -> None:
        """The unchecked call: addresses (`tensor.data_ptr()`) in the order of `names`, the table's, and the extents."""
        if B * H:
            self.entry(min(torch.get_num_threads(), B * H), *addresses, table, B, T, H, R, N)


def _extent(axis: str, sizes: dict[str, int]) -> int | None:
    """The length of a dim: `#5` is 5, `K~` a second axis of length K, n is known when the kernel is called (None)."""
    if axis == "n":
        return None
    return int(axis[1:]) if axis[0] == "#" else sizes["C" if axis in ("c", "d") else axis.rstrip("~'.")]


LEAD = {"token": ("B", "T", "H"), "head": ("H",), "memory": ("B", "H"), "slots": ("B", "H", "N"), "starts": ("B", "H", "R"),
        "position": ("B",)}
