"""Runs the kernels of a generated program in order: scratch tensors, grids, launch options."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping

import torch

from mcgen.runtime.schedule import options_of

from .options import HOPPER, chosen, exact, plain, power


@dataclass(frozen=True)
class Call:
    """What the launches of one call share. sizes: dim -> size; rows: of the chunk table; slots: of the cache, where segments merge
    the digits of their number `units`.

    packs: the rows of tokens, 1 with all sequences one after the other or one a sequence; tokens: in such a row.
    """

    batch: int
    packs: int
    tokens: int
    heads: int
    rows: int
    slots: int
    chunk: int
    sizes: Mapping[str, int]
    backend: str                        # 'cuda', 'hip' or 'interpreter'
    units: int = 0
    arch: str = HOPPER                  # of the GPU

    @property
    def packed(self) -> bool:
        return self.packs != self.batch


def run(program: Mapping[str, Any], call: Call, tensors: dict[str, torch.Tensor], options: Mapping[str, Any] | None = None) -> None:
    """Fills the results among `tensors`, which also holds the parameters and `call.table`. All are contiguous.

    options: launch options as `options.knobs` names them, for all kernels, or `<kernel>.<option>` for one.
    """
    like = tensors["call.table"]
    for name, kind, axes in program["scratch"]:
        tensors[name] = scratch(shape_of(call, kind, axes), like.device)
    for result, param in program["copies"]:
        tensors[result].copy_(tensors[param])
    for kernel in program["kernels"]:
        launch(kernel, call, tensors, options_of(tuple((options or {}).items()), name_of(kernel)))
    for result, parts in program["shifted"]:
        add_shifted(call, tensors[result], [(tensors[part], shift) for part, shift in parts], like)


def add_shifted(call: Call, result: torch.Tensor, parts: list[tuple[torch.Tensor, int]], table: torch.Tensor) -> None:
    """result [packs, past + T, H, *] = the sum, in float32, of parts [packs, T, H, *], each moved `shift` tokens to the front; past tokens
    come first, when packed before every sequence."""
    total = torch.zeros_like(result, dtype=torch.float32)
    delay = (total.shape[1] - call.tokens) * call.packs // call.batch
    if call.packed:
        token = torch.arange(call.tokens, device=table.device)
        before = torch.searchsorted((table[:, :, 0] + table[:, :, 1]).amax(1), token, right=True)       # sequences that ended earlier
        for part, shift in parts:                    # no place twice: nothing depends on an order
            total.index_add_(1, token + (before + 1) * delay - shift, part)
    else:
        for part, shift in parts:
            total[:, delay - shift:delay - shift + call.tokens] += part
    result.copy_(total)


def scratch(shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
    """Memory between two kernels, not yet written."""
    return torch.empty(shape, dtype=torch.float32, device=device)


def launch(kernel: Mapping[str, Any], call: Call, tensors: Mapping[str, torch.Tensor], record: Mapping | None) -> None:
    grid, constants, options = arguments(kernel, call, record)
    if not all(grid):
        return
    args = [tensors[name] for name in kernel["tensors"]]
    numbers = [0 if call.packed else call.tokens, call.heads, call.rows, call.slots, *([call.units] if merges(kernel) else [])]
    kernel["run"][grid](*args, tensors["call.table"], *numbers, **constants, **options)


def merges(kernel: Mapping[str, Any]) -> bool:
    """Whether it is a kernel of an op whose segments merge."""
    return "M" in kernel["run"].arg_names


def arguments(kernel: Mapping[str, Any], call: Call, record: Mapping | None) -> tuple[tuple[int, ...], dict[str, Any], dict[str, int]]:
    """A kernel's grid, its constants, and how it is compiled."""
    options = chosen(kernel, call.sizes, record, call.backend, call.arch)
    blocks = {dim: options.blocks.get(dim, power(call.sizes[dim])) for dim in kernel["dims"]}
    parts = 1
    for dim in map(plain, kernel["blocked"]):
        parts *= -(-call.sizes[dim] // blocks[dim])
    if kernel.get("levels"):
        parts *= call.slots
    front = {"rows": (call.rows,), "slots": (call.slots,), "units": (call.units,), "loop": ()}[kernel["grid"]]
    constants = {"C": power(call.chunk), "SLOTS": power(max(1, call.slots)), "PRECISION": options.precision,
                 "EXACT": exact(options.precision, call.backend, call.arch), "PACKED": call.packed,
                 **{f"size_{dim}": call.sizes[dim] for dim in kernel["dims"]}, **{f"block_{dim}": side for dim, side in blocks.items()}}
    return (*front, call.batch * call.heads, parts), constants, {
        "num_warps": options.num_warps, "num_stages": options.num_stages, "enable_fp_fusion": True}


def shape_of(call: Call, kind: str, axes: tuple[str, ...]) -> tuple[int, ...]:
    """The shape of a tensor between kernels."""
    length = {**dict.fromkeys(("c", "d", "mid"), power(call.chunk)), "n": call.slots, "l": call.slots}
    inner = [length[a] if a in length else int(plain(a)) if plain(a).isdigit() else call.sizes[plain(a)] for a in axes]
    lead = {"token": (call.packs, call.tokens, call.heads), "memory": (call.batch, call.heads), "slots": (call.batch, call.heads, call.slots),
            "levels": (call.batch, call.heads, call.slots), "units": (call.batch, call.heads, call.units), "starts": (call.batch, call.heads, call.rows)}[kind]
    return (*lead, *inner)


def backend_of(device: torch.device) -> str:
    """What kernels on a device are compiled by."""
    if device.type == "cpu":
        return "interpreter"
    return "hip" if torch.version.hip else "cuda"


def name_of(kernel: Mapping[str, Any]) -> str:
    return kernel["run"].__name__
