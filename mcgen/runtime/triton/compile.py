"""Compiles the Triton kernels of a package for a named GPU, without one: whether they fit, and what they take.

Targets: `cuda:sm_80`, `cuda:sm_90`, ..., `hip:gfx942`. Triton compiles a kernel that needs more shared memory than the device
has without a word, so the limit is compared here.
"""
from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Iterator, Mapping

from mcgen.diagnostics import EnvironmentLacks, McgenError, UsageError, did_you_mean

from mcgen.runtime.schedule import options_of

from ..manifest import Manifest
from ..partition import levels
from .launch import Call, arguments, merges, name_of
from .options import check

SHARED = {"sm_80": 166_912, "sm_86": 101_376, "sm_89": 101_376, "sm_90": 232_448, "sm_100": 232_448, "sm_120": 101_376, "gfx90a": 65_536,
          "gfx942": 65_536}       # bytes of shared memory that one program may have
POINTERS = {"float32": "*fp32", "bfloat16": "*bf16", "float16": "*fp16"}
STACK = 128                       # bytes of spilled registers that do not count


class DoesNotCompile(McgenError):
    """Triton, or what it compiles with, refuses a kernel with these options."""

    exit_code = 3


@dataclass(frozen=True)
class Resources:
    """What one kernel takes. registers: of a thread; stack: spilled bytes of a thread; shared: bytes of a program.

    tensor: tensor-core instructions by name.
    """

    kernel: str
    registers: int
    stack: int
    shared: int
    limit: int
    tensor: Mapping[str, int]

    @property
    def fits(self) -> bool:
        """Whether the kernel can run on the target at all."""
        return self.shared <= self.limit

    @property
    def spills(self) -> bool:
        """Whether it keeps more than a few registers in memory."""
        return self.stack > STACK


def parse_target(text: str) -> tuple[str, str]:
    """(backend, architecture) of a target; `rocm` is another word for `hip`. Raises UsageError for one that is not known."""
    backend, _, arch = text.partition(":")
    backend = {"rocm": "hip"}.get(backend, backend)
    known = [f"{'hip' if a.startswith('gfx') else 'cuda'}:{a}" for a in SHARED]
    if f"{backend}:{arch}" not in known:
        raise UsageError(f"no target {text!r}{did_you_mean(text, known)}", "target", f"one of {', '.join(known)}")
    return backend, arch


def resources(folder: str | Path, target: str, sizes: Mapping[str, int], chunk: int = 64, slots: int = 32,
              options: Mapping[str, Any] | None = None) -> dict[str, Resources]:
    """Kernel name -> what it takes on `target`, for a package's folder; of the split form and of the fused one.

    sizes: dim -> size, the derived ones too. slots: how many memories are cached at most. options: launch options, for all kernels or as
    `<kernel>.<option>` for one.
    Raises UsageError for an unknown target, option or missing sizes, EnvironmentLacks without Triton or where it interprets, DoesNotCompile.
    """
    return {r.kernel: r for r in each(folder, target, sizes, chunk, slots, options)}


def each(folder: str | Path, target: str, sizes: Mapping[str, int], chunk: int = 64, slots: int = 32,
         options: Mapping[str, Any] | None = None) -> Iterator[Resources]:
    """The same, one kernel after the other as they are compiled."""
    parse_target(target)
    for kernel in kernels(*forms(Path(folder))):
        yield compile_one(kernel, target, sizes, chunk, slots, options_of(tuple((options or {}).items()), name_of(kernel)))


def load(folder: Path) -> ModuleType:
    """The Triton kernels of a package, in the split form."""
    return forms(folder)[0]


def forms(folder: Path) -> list[ModuleType]:
    """The Triton kernels of a package in the split form, then in the fused one where that differs."""
    from ..package import triton_modules

    return triton_modules(folder)


def kernels(*modules: ModuleType) -> list[Mapping[str, Any]]:
    return [kernel for module in modules for kernel in (*module.forward["kernels"], *module.backward["kernels"])]


def compile_one(kernel: Mapping[str, Any], target: str, sizes: Mapping[str, int], chunk: int, slots: int,
                record: Mapping | None = None, dtypes: Mapping[str, str] | None = None) -> Resources:
    """One kernel compiled, from Triton's own cache if it was before. dtypes: of tensors that are not float32, by name; see `narrow`."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    backend, arch = parse_target(target)
    missing = [dim for dim in kernel["dims"] if dim not in sizes]
    if missing:
        raise UsageError(f"no size for {', '.join(missing)}", "sizes")
    check(kernel, sizes, record or {}, backend)
    if not hasattr(kernel["run"], "cache_key"):
        raise EnvironmentLacks("Triton interprets its kernels in this process and can't compile them", "triton", "unset TRITON_INTERPRET")
    call = Call(1, 1, chunk, 1, 1, levels(slots) if merges(kernel) else slots, chunk, sizes, backend, slots, arch)
    _, constants, options = arguments(kernel, call, record)
    names = kernel["run"].arg_names
    pointers = {n: POINTERS[(dtypes or {}).get(tensor, "float32")] for n, tensor in zip(names, kernel["tensors"])}
    signature = {n: pointers.get(n) or ("constexpr" if n in constants else "*i32" if n == "table_ptr" else "i32") for n in names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, n in enumerate(names) if n.endswith("_ptr")}
    source = ASTSource(kernel["run"], signature, constants, aligned)
    gpu = GPUTarget("cuda", int(arch.removeprefix("sm_")), 32) if backend == "cuda" else GPUTarget("hip", arch, 64)
    try:
        made = triton.compile(source, target=gpu, options=options)
    except Exception as wrong:                       # whatever it is, it is Triton's word on this kernel
        reason = str(wrong).strip().splitlines()[-1] if str(wrong).strip() else type(wrong).__name__
        raise DoesNotCompile(f"Triton {triton.__version__} cannot compile {name_of(kernel)} for {target}: {reason[:200]}") from None
    return _cuda(made, name_of(kernel), SHARED[arch]) if backend == "cuda" else _hip(made, name_of(kernel), SHARED[arch])


def narrow(manifest: Manifest, dtype: str) -> dict[str, str]:
    """The tensors that are of 16 bits in a call whose tokens are of this dtype."""
    if dtype == "float32":
        return {}
    return dict.fromkeys([*manifest.tokens, *(f"d.{name}" for name in manifest.tokens), "y", "d.y"], dtype)


def _cuda(made: Any, name: str, limit: int) -> Resources:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        usage, code = _tool("cuobjdump", "--dump-resource-usage", file.name), _tool("nvdisasm", "-c", file.name)
    found = {key: int(number) for key, number in re.findall(r"\b(REG|STACK):(\d+)", usage)}
    tensor = {key: len(re.findall(rf"\b{key}\b", code)) for key in ("UTCHMMA", "HGMMA", "HMMA")}
    return Resources(name, found.get("REG", 0), found.get("STACK", 0), made.metadata.shared, limit, {k: n for k, n in tensor.items() if n})


def _hip(made: Any, name: str, limit: int) -> Resources:
    text = made.asm["amdgcn"]
    def number(key: str) -> int:
        return max((int(n) for n in re.findall(rf"\.{key}:\s+(\d+)", text)), default=0)
    count = len(re.findall(r"\bv_mfma_\w+", text))
    return Resources(name, number("vgpr_count"), number("private_segment_fixed_size"), made.metadata.shared, limit, {"MFMA": count} if count else {})


def _tool(name: str, *args: str) -> str:
    """The output of one of the tools that come with Triton."""
    from triton import knobs

    path = getattr(knobs.nvidia, name).path
    done = subprocess.run([path, *args], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvironmentLacks(f"{name} failed: {done.stderr.strip()[:200]}", "triton")
    return done.stdout
