"""The programs of a package, and which of them computes a call.

Back ends take contiguous tensors and give new, contiguous ones that share no storage with anything:

    forward(params, chunk, save) -> results, and the saved tensors after them if `save`
    backward(params, chunk) -> gradients        (an absent gradient of a result is None in params)
    passes(params, places, chunk, keep, one) -> both, for calls of one signature: see `direct.Passes`
"""
from __future__ import annotations

import importlib.util
import os
import threading
import warnings
from functools import cache, partial
from types import ModuleType
from typing import Callable, Mapping, Sequence

import torch

from mcgen.diagnostics import EnvironmentLacks, UsageError

from .bound import Bound, Given
from .devices import architecture
from .direct import Passes
from .kernel_passes import KernelPasses, bind_backward, bind_forward
from .layout import Layout, arithmetic
from .manifest import LEVELS, SLOTS, Manifest
from .partition import levels
from .schedule import Schedules, options_of
from .tvm.kernel import HALVES, Kernel

NAMES = ("torch", "tvm", "triton")
INSTALL_TVM = "pip install apache-tvm"
INSTALL_TRITON = "pip install triton"
KEPT = 512              # kernels bound to shapes


class TorchBackend:
    """`torch_program.py`: any device, float32 and float64."""

    def __init__(self, manifest: Manifest, layout: Layout, program: ModuleType):
        self.manifest, self.layout, self.program = manifest, layout, program

    def forward(self, params: Sequence[torch.Tensor], chunk: int, save: bool) -> list[torch.Tensor]:
        with torch.no_grad(), torch.autocast(params[0].device.type, enabled=False):
            return _own(self.program.forward(*params, chunk=chunk, save=save), params)

    def backward(self, params: Sequence[torch.Tensor | None], chunk: int) -> list[torch.Tensor]:
        params = self.layout.with_zeros(params)
        with torch.no_grad(), torch.autocast(params[0].device.type, enabled=False):
            made = self.program.backward(*params, chunk=chunk)
            return _own([x.sum(0) if name in self.manifest.summed else x for name, x in zip(self.manifest.backward_results, made)], params)

    def passes(self, params: Sequence[torch.Tensor], places: Sequence[int], chunk: int, keep: bool, one: bool = False) -> Passes:
        return Passes(self.manifest, self, params, places, chunk, keep, one)


class TvmBackend:
    """`tvm_kernels.py`: float32 on the CPU. Kernels are compiled at first use, one per sizes and schedule.

    Tokens of 16 bits, y and their gradients are so in memory only: kernels widen what they load and round what they store.
    """

    def __init__(self, manifest: Manifest, layout: Layout, load: Callable[[], ModuleType], schedules: Schedules):
        self.manifest, self.layout, self._load, self.schedules = manifest, layout, load, schedules
        self._bound: dict[tuple, Bound] = {}
        self._kernels: dict[tuple, Kernel] = {}
        self._lock = threading.Lock()

    def forward(self, params: Sequence[torch.Tensor], chunk: int, save: bool) -> list[torch.Tensor]:
        def make(named: dict, sources: dict) -> Bound:
            return bind_forward(self, named, sources, chunk, save, list(self.shapes(params, save)))

        return self._run((chunk, save), self.manifest.forward_params, params, make)

    def backward(self, params: Sequence[torch.Tensor | None], chunk: int) -> list[torch.Tensor]:
        m, params = self.manifest, self.layout.with_zeros(params)

        def make(named: dict, sources: dict) -> Bound:
            return bind_backward(self, named, sources, chunk, m.backward_results)

        made, several = self._run((chunk,), m.backward_params, params, make), params[m.forward_params.index("call.table")].shape[0] != 1
        return [x.sum(0) if several and name in m.summed else x for name, x in zip(m.backward_results, made)]

    def passes(self, params: Sequence[torch.Tensor], places: Sequence[int], chunk: int, keep: bool, one: bool = False) -> Passes:
        return KernelPasses(self.manifest, self, params, places, chunk, keep, one)

    def shapes(self, params: Sequence[torch.Tensor], save: bool) -> dict[str, tuple[int, ...]]:
        """Forward result -> its shape, the saved tensors after them if `save`."""
        m = self.manifest
        return dict(zip((*m.forward_results, *(name for name, _ in m.saved)), self.layout.forward(params, save)))

    def _run(self, what: tuple, names: Sequence[str], params: Sequence[torch.Tensor], make: Callable[[dict, dict], Bound]) -> list[torch.Tensor]:
        """By the kernel bound to such parameters, which is kept."""
        key = (*what, *[(x.shape, x.dtype, x.device) for x in params])
        bound = self._bound.get(key)
        if bound is None:
            if len(self._bound) >= KEPT:
                self._bound.clear()
            bound = self._bound[key] = make(dict(zip(names, params)), {name: Given(i) for i, name in enumerate(names)})
        return bound(params)

    def stored(self, params: Sequence[torch.Tensor]) -> dict[str, str]:
        """Parameters of 16 bits, for forward parameters of such dtypes: tokens, y, and the gradients of both."""
        named = {**dict(zip(self.manifest.forward_params, [x.dtype for x in params])), "y": self.layout.y_dtype(params)}
        return {prefix + name: HALVES[dtype] for name, dtype in named.items() if dtype in HALVES for prefix in ("", "d.")}

    def kernel(self, which: str, params: Sequence[torch.Tensor], chunk: int, *save: bool) -> Kernel:
        """The kernel `which` for forward parameters of such shapes."""
        sizes = {dim: size for dim, size in self.layout.sizes(params).items() if dim not in (SLOTS, LEVELS)}
        batch, tokens, heads = self.layout.tokens(params)
        options = self.schedules.find(params[0].device, arithmetic(params[0].dtype), sizes, batch * heads, tokens).options
        stored = self.stored(params)
        key = (which, chunk, options, *save, *sizes.values(), *stored.items())
        kernel = self._kernels.get(key)
        if kernel is None:
            with self._lock:
                from .tvm import Options, compile

                build = partial(getattr(self._load(), which), **({"save": save[0]} if save else {}))
                name = "_".join((self.manifest.name, which, *("save" for wanted in save if wanted)))
                chosen = Options.of(options_of(options, which))
                kernel = self._kernels.setdefault(key, compile(build, sizes={**sizes, "#chunk": chunk}, name=name, options=chosen, stored=stored))
        return kernel


class TritonBackend:
    """`triton_kernels.py`, or `triton_fused_kernels.py` where the schedule says so: float32 on CUDA and ROCm devices, and on the CPU under
    Triton's interpreter.

    Tokens of 16 bits, y and their gradients are so in memory only: kernels widen what they load and round what they store.
    """

    def __init__(self, manifest: Manifest, layout: Layout, load: Callable[[], ModuleType], load_fused: Callable[[], ModuleType],
                 schedules: Schedules):
        self.manifest, self.layout, self._load, self._load_fused, self.schedules = manifest, layout, load, load_fused, schedules

    def forward(self, params: Sequence[torch.Tensor], chunk: int, save: bool) -> list[torch.Tensor]:
        m = self.manifest
        names = [*m.forward_results, *(name for name, _ in m.saved)]
        results = [params[0].new_empty(shape, dtype=dtype)
                   for shape, dtype in zip(self.layout.forward(params, True), self.layout.forward_dtypes(params, True))]
        self._run("forward", params, chunk, (*m.forward_params, *names), (*params, *results))
        return results if save else results[:len(m.forward_results)]

    def backward(self, params: Sequence[torch.Tensor | None], chunk: int) -> list[torch.Tensor]:
        m, params = self.manifest, self.layout.with_zeros(params)
        batch = params[m.forward_params.index("call.table")].shape[0]
        results = [params[0].new_empty((batch, *shape) if name in m.summed else shape, dtype=dtype)
                   for name, shape, dtype in zip(m.backward_results, self.layout.backward(params), self.layout.backward_dtypes(params))]
        self._run("backward", params, chunk, (*m.backward_params, *m.backward_results), (*params, *results))
        return [x.sum(0) if name in m.summed else x for name, x in zip(m.backward_results, results)]

    def passes(self, params: Sequence[torch.Tensor], places: Sequence[int], chunk: int, keep: bool, one: bool = False) -> Passes:
        return Passes(self.manifest, self, params, places, chunk, keep, one)

    def _run(self, which: str, params: Sequence[torch.Tensor], chunk: int, names: Sequence[str], tensors: Sequence[torch.Tensor]) -> None:
        from .triton.launch import Call, backend_of, run
        from .triton.options import is_fused

        sizes, named = self.layout.sizes(params), dict(zip(names, tensors))
        slots, units, device = sizes.pop(SLOTS, 0), 0, params[0].device
        if self.manifest.cache is not None and self.manifest.cache.growth == "logarithmic":
            slots, units = sizes.pop(LEVELS, levels(slots)), slots
        packs, tokens, heads = self.layout.tokens(params)
        batch, rows = named["call.table"].shape[:2]
        call = Call(batch, packs, tokens, heads, rows, slots, chunk, sizes, backend_of(device), units, architecture(device))
        found = self.schedules.find(device, self.layout.y_dtype(params), sizes, batch * heads, tokens)
        options = dict(found.options)
        run(getattr((self._load_fused if is_fused(options, which) else self._load)(), which), call, named, options)


class Backends:
    """Chooses: float32 goes to TVM on the CPU and to Triton on GPUs, where they are installed, all else to torch; `forced` names one
    for everything. `kernels`: how to load the modules of the back ends that the package has; 'triton_fused' where that form differs."""

    def __init__(self, manifest: Manifest, program: ModuleType, kernels: Mapping[str, Callable[[], ModuleType]], forced: str | None,
                 schedules: Schedules | None = None):
        self.name, self.forced = manifest.name, forced
        self.schedules = schedules or Schedules(manifest.chunk, sides=manifest.sides, loads=manifest.loads)
        self.layout = Layout(manifest)
        self.torch = TorchBackend(manifest, self.layout, program)
        self.tvm = TvmBackend(manifest, self.layout, kernels["tvm"], self.schedules) if "tvm" in kernels else None
        fused = kernels.get("triton_fused", kernels.get("triton"))
        self.triton = TritonBackend(manifest, self.layout, kernels["triton"], fused, self.schedules) if "triton" in kernels and fused else None
        self._passes: dict[tuple, Passes] = {}
        self._gpus_narrow = forced is None and self.triton is not None and triton_installed()
        self._cpus_narrow = forced in (None, "tvm") and self.tvm is not None and tvm_installed()
        self._tokens = frozenset(manifest.tokens)
        self._at_once = self._tokens - {field.name for field in manifest.delays}
        if forced is not None and forced not in NAMES:
            raise UsageError(f"no back end {forced!r}: expected one of {', '.join(NAMES)}", "backend")
        for name, called, made, installed, hint in (("tvm", "TVM", self.tvm, tvm_installed, INSTALL_TVM),
                                                    ("triton", "Triton", self.triton, triton_installed, INSTALL_TRITON)):
            if forced == name and made is None:
                raise EnvironmentLacks(f"{self.name} was generated without {called} kernels", "backend", "mcgen build it again")
            if forced == name and not installed():
                raise EnvironmentLacks(f"backend='{name}' needs {called}", "backend", hint)

    def passes(self, params: Sequence[torch.Tensor], chunk: int, keep: bool) -> Passes:
        """The passes of calls whose forward parameters have the shapes of these; kept."""
        backend = self.for_params(params)
        key = (type(backend), chunk, keep, *[(x.shape, x.dtype) for x in params])
        found = self._passes.get(key)
        if found is None:
            if len(self._passes) >= KEPT:
                self._passes.clear()
            found = self._passes[key] = backend.passes(params, range(len(params)), chunk, keep)
        return found

    def narrow(self, dtype: torch.dtype, device: torch.device) -> frozenset[str]:
        """Which tokens of 16 bits a call that computes in `dtype` takes as they are: all where it goes to Triton; where it goes to TVM
        those without delays, since a kernel adds up the gradient of others in memory."""
        if self.tuned_narrow(dtype, device):
            return self._tokens
        return self._at_once if dtype is torch.float32 and self._cpus_narrow and device.type == "cpu" else frozenset()

    def tuned_narrow(self, dtype: torch.dtype, device: torch.device) -> bool:
        """Whether there are records for calls of 16 bits that compute in `dtype`: where products have a choice of precision."""
        return dtype is torch.float32 and (self.forced == "triton" or self._gpus_narrow and device.type == "cuda")

    def for_params(self, params: Sequence[torch.Tensor]) -> TorchBackend | TvmBackend | TritonBackend:
        """The back end for a call with such parameters."""
        return self.choose(arithmetic(params[0].dtype), params[0].device)

    def choose(self, dtype: torch.dtype, device: torch.device) -> TorchBackend | TvmBackend | TritonBackend:
        """The back end for a call that computes in `dtype`."""
        if self.forced == "torch":
            return self.torch
        single, where = dtype is torch.float32, device.type
        if self.forced == "tvm":
            if not (single and where == "cpu"):
                raise UsageError(f"backend='tvm' computes in float32 on the CPU, not in {dtype} on {device}", "backend")
            return self.tvm
        if self.forced == "triton":
            if not single:
                raise UsageError(f"backend='triton' computes in float32, not in {dtype}", "backend")
            if where == "cpu" and not interpreted():
                raise UsageError("backend='triton' needs tensors on a GPU", "backend", "on the CPU: TRITON_INTERPRET=1, for tests")
            return self.triton
        if single and where == "cuda" and self.triton is not None and triton_installed():
            return self.triton
        if single and where == "cpu" and self.tvm is not None:
            if tvm_installed():
                return self.tvm
            _warn_without_tvm()
        return self.torch


@cache
def triton_installed() -> bool:
    return importlib.util.find_spec("triton") is not None


def interpreted() -> bool:
    """Whether Triton kernels run in its interpreter, which needs no GPU."""
    return os.environ.get("TRITON_INTERPRET", "0") not in ("", "0")


@cache
def tvm_installed() -> bool:
    return importlib.util.find_spec("tvm") is not None


@cache
def _warn_without_tvm() -> None:
    warnings.warn(f"TVM is not installed: mcgen ops run as torch programs on the CPU, several times slower ({INSTALL_TVM})", stacklevel=2)


def _own(results: Sequence[torch.Tensor], params: Sequence[torch.Tensor | None]) -> list[torch.Tensor]:
    """`results`, contiguous, copied where they share storage with a parameter or with each other."""
    taken = {x.untyped_storage()._cdata for x in params if x is not None}
    owned = []
    for x in results:
        x = x.contiguous()
        storage = x.untyped_storage()._cdata
        if storage in taken:
            x = x.clone()
            storage = x.untyped_storage()._cdata
        taken.add(storage)
        owned.append(x)
    return owned
