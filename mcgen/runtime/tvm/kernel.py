"""A compiled kernel as a function of torch tensors."""
from __future__ import annotations

from array import array
from typing import Mapping, NoReturn, Sequence

import torch

from ..partition import levels
from .load import Entry, packed
from .statements import Storage

DTYPES = {"f32": torch.float32, "f64": torch.float64, "i32": torch.int32, "i64": torch.int64, "bf16": torch.bfloat16, "f16": torch.float16}
HALVES = {torch.bfloat16: "bf16", torch.float16: "f16"}
LEAD = {"token": ("B", "T", "H"), "head": ("H",), "memory": ("B", "H"), "slots": ("B", "H", "N"), "units": ("B", "H", "M"), "levels": ("B", "H", "N"), "starts": ("B", "H", "R"),
        "position": ("B",)}


class Kernel:
    """kernel(table, q=.., y=..): outputs are tensors too, written in place. `start` takes addresses, unchecked.

    The tensors are float32 unless declared or stored otherwise, contiguous, on the CPU; B, T, H, R, N, M are read from their shapes. Token tensors
    with one row under a table of B are packed: [1, T + B*delay, H, ...], and the table's starts count from the row's begin.
    """

    def __init__(self, name: str, params: Sequence[Storage], sizes: dict[str, int], entry: Entry) -> None:
        self.name, self.params, self.sizes, self.entry = name, tuple(params), dict(sizes), entry
        self.names = tuple(p.name for p in params)
        self.dtypes = {p.name: DTYPES[p.dtype] for p in params}
        self._axes = tuple((*LEAD[p.kind], *(_extent(d, sizes) for d in p.dims)) for p in params)
        # where T, H, N and M are read: (tensor, its axis)
        self._sources = [next(((p.name, axes.index(wanted)) for p, axes in zip(params, self._axes) if wanted in axes), None) for wanted in "THNM"]
        self._delay = next((p.delay for p in params if p.kind == "token"), 0)

    def __call__(self, table: torch.Tensor, /, **tensors: torch.Tensor) -> None:
        if len(tensors) != len(self.names):
            self._refuse_names(table, tensors)
        extents = self.extents(table, tensors)
        self.start(self.words([*(tensors[name].data_ptr() for name in self.names), table.data_ptr()], extents), extents)

    def extents(self, table: torch.Tensor, tensors: Mapping[str, torch.Tensor]) -> tuple[int, ...]:
        """B, T, H, R, N and how many tokens lie between the begins of two sequences (0 where they are packed), for these tensors and
        all others of their shapes.

        Raises TypeError for a tensor that is missing, ValueError for one of another shape, dtype or device, or not contiguous.
        """
        if table.dtype is not torch.int32 or table.dim() != 3 or table.shape[2] != 4 or not table.is_contiguous():
            self._refuse_names(table, tensors)
        B, R, _ = table.shape
        try:
            T, H, N, M = [0 if s is None else tensors[s[0]].shape[s[1]] for s in self._sources]
            packed = self._sources[0] is not None and tensors[self._sources[0][0]].shape[0] != B
        except (KeyError, IndexError):
            self._refuse_names(table, tensors)
        if self._sources[2] is None and self._sources[3] is not None:
            N = levels(M)
        T -= self._delay * (B if packed else 1)
        if T < 0 and self._sources[0] is not None:
            self._refuse_names(table, tensors)
        for name, dtype, shape in zip(self.names, self.dtypes.values(), self._expected({"B": B, "T": T, "H": H, "R": R, "N": N, "M": M}, packed)):
            tensor = tensors.get(name)
            if tensor is None or tensor.dtype is not dtype or tensor.shape != shape or not tensor.is_contiguous() or not tensor.is_cpu:
                self._refuse(name, tensor, dtype, shape)
        return B, T, H, R, N, M, 0 if packed else T

    @staticmethod
    def words(addresses: Sequence[int], extents: Sequence[int]) -> array:
        """What `start` takes: addresses (`tensor.data_ptr()`) in the order of `names`, the table's, and the extents.

        Address i stands at place 2*i + 1, for one who changes it.
        """
        return packed([*addresses, *extents])

    def start(self, words: array, extents: Sequence[int]) -> None:
        """The unchecked call."""
        if heads := extents[0] * extents[2]:
            self.entry(min(torch.get_num_threads(), heads), words)

    def _expected(self, extents: Mapping[str, int], packed: bool) -> tuple[tuple[int, ...], ...]:
        B, T = extents["B"], extents["T"]
        shapes = []
        for param, axes in zip(self.params, self._axes):
            shape = [axis if isinstance(axis, int) else extents[axis] for axis in axes]
            if param.kind == "token":
                shape[:2] = (1, T + B * param.delay) if packed else (B, T + param.delay)
            shapes.append(tuple(shape))
        return tuple(shapes)

    def _refuse(self, name: str, tensor: torch.Tensor | None, dtype: torch.dtype, shape: tuple[int, ...]) -> NoReturn:
        if tensor is None:
            raise TypeError(f"{self.name}: tensor {name!r} is missing")
        axes = ", ".join(map(str, self._axes[self.names.index(name)]))
        raise ValueError(f"{self.name}: {name} is {dtype} [{axes}] = {list(shape)}, contiguous, on the CPU; got {tensor.dtype} "
                         f"{list(tensor.shape)} on {tensor.device}" + ("" if tensor.is_contiguous() else ", not contiguous"))

    def _refuse_names(self, table: torch.Tensor, tensors: Mapping[str, torch.Tensor]) -> NoReturn:
        if table.dtype is not torch.int32 or table.dim() != 3 or table.shape[2] != 4 or not table.is_contiguous():
            raise ValueError(f"{self.name}: table is int32 [B, R, 4], contiguous; got {table.dtype} {list(table.shape)}")
        for missing in set(self.names) - set(tensors):
            raise TypeError(f"{self.name}: tensor {missing!r} is missing")
        for strange in set(tensors) - set(self.names):
            raise TypeError(f"{self.name}: there is no tensor {strange!r}; its tensors are {', '.join(self.names)}")
        for source in filter(None, self._sources):
            axes, tensor = self._axes[self.names.index(source[0])], tensors[source[0]]
            raise ValueError(f"{self.name}: {source[0]} is [{', '.join(map(str, axes))}]; got {list(tensor.shape)}")
        raise ValueError(f"{self.name}: the tensors do not fit")


def _extent(axis: str, sizes: dict[str, int]) -> int | str:
    """The length of a dim: `#5` is 5, `K~` a second axis of length K; n, l and m are known when the kernel is called ("N", "M")."""
    if axis in ("n", "l", "m"):
        return "M" if axis == "m" else "N"
    return int(axis[1:].rstrip("~'.")) if axis[0] == "#" else sizes["#chunk" if axis in ("c", "d", "mid") else axis.rstrip("~'.")]
