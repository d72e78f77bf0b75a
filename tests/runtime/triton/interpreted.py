"""Runs Triton kernels in its interpreter and prints what came out as JSON: a process of its own, since the variable that chooses
the interpreter acts when kernels are imported. `python -m runtime.triton.interpreted FOLDER CASE...`"""
import json
import os
import sys
from pathlib import Path

os.environ["TRITON_INTERPRET"] = "1"

import torch  # noqa: E402
from triton.runtime import interpreter  # noqa: E402

from mcgen.runtime.triton import launch  # noqa: E402

from .cases import (BLOCKS, CASES, FUSED, LONG, TOKENS, blocks_op, differences, fused_op, half_differences, load_spec, op_of,  # noqa: E402
                    packed_difference, sizes_of, step_difference)

MARGIN = 64


def rounding(self, src, dst_type, cut=interpreter.InterpreterBuilder.cast_impl):
    """The interpreter's cast, but that it cuts float32 to bfloat16, where GPUs round to the nearest."""
    made = cut(self, src, dst_type)
    if src.dtype.scalar == interpreter.tl.float32 and dst_type.scalar == interpreter.tl.bfloat16:
        made.data = torch.from_numpy(src.data.copy()).bfloat16().view(torch.uint16).numpy()
    return made


class Fenced:
    """Every tensor of a call inside a larger one full of NaN; results and scratch memory are NaN themselves until written."""

    def __init__(self):
        self.real, self.outside = launch.run, 0
        self.around: list[torch.Tensor] = []
        self.kernels: set[str] = set()

    def inside(self, x: torch.Tensor) -> torch.Tensor:
        fill = float("nan") if x.is_floating_point() else -(2 ** 30)
        outer = torch.full((x.numel() + 2 * MARGIN,), fill, dtype=x.dtype)
        self.around.append(outer)
        return outer[MARGIN:MARGIN + x.numel()].view(x.shape)

    def scratch(self, shape, device):
        return self.inside(torch.empty(shape))

    def run(self, program, call, tensors, options=None):
        """The kernels see copies of the parameters, which must stay as they are, and NaN for results, which go back."""
        back = "d.y" in tensors
        made = {n for n in tensors if (n.startswith("d.") and n != "d.y" and not n.startswith("d.new.") if back else
                                       n == "y" or n.startswith(("new.", "saved.")))}
        fenced = {name: self.inside(x) for name, x in tensors.items()}
        for name in tensors:
            if name not in made:
                fenced[name].copy_(tensors[name])
        self.real(program, call, fenced, options)
        self.kernels |= {launch.name_of(kernel) for kernel in program["kernels"]}
        for name, x in tensors.items():
            if name in made:
                x.copy_(fenced[name])
            else:
                self.outside += int((fenced[name] != x).sum())
        for outer in self.around:
            ends = torch.cat([outer[:MARGIN], outer[-MARGIN:]])
            self.outside += int((~torch.isnan(ends) if outer.is_floating_point() else ends != -(2 ** 30)).sum())
        self.around.clear()


def main(folder: Path, names: list[str]) -> dict:
    torch.set_num_threads(1)
    fence = Fenced()
    launch.run, launch.scratch = fence.run, fence.scratch
    interpreter.InterpreterBuilder.cast_impl = rounding
    found = {}
    for name in names:
        fence.outside = 0
        fence.kernels.clear()
        spec = load_spec({**CASES, **FUSED, **BLOCKS}.get(name, name))
        op = fused_op(spec, folder) if name in FUSED else blocks_op(spec, folder) if name in BLOCKS else op_of(spec, folder)
        sizes = LONG if name in BLOCKS else sizes_of(spec.name)
        found[name] = {**differences(op, spec, tokens=TOKENS.get(spec.name, 37), sizes=sizes), "written outside": fence.outside}
        found[name]["of the other form"] = sum(kernel.startswith("fused_") is not (name in FUSED) for kernel in fence.kernels)
        if name in ("fused: log decay", "fused: erased, cached"):
            found[name]["packed"] = packed_difference(op, op_of(spec, folder, backend="torch"), spec)
        if name in ("log decay", "normaliser, cached", "a scan, one decay a head", "levels, all ways to call", "merging_branches"):
            found[name]["steps"] = step_difference(op, spec, 3)
        if name in ("log decay", "delayed write, chosen memories", "levels, all ways to call", "merging_branches"):
            found[name]["16 bits"] = half_differences(op, spec)
        if name in ("delayed write, chosen memories", "a scan, cached", "steps in a token", "levels, all ways to call", "merging, chosen memories"):
            found[name]["packed"] = packed_difference(op, op_of(spec, folder, backend="torch"), spec)
    return found


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2:])))
