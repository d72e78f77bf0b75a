"""The op that a user calls."""
from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType
from typing import Any, Mapping

import torch

from mcgen.diagnostics import UsageError

from .backends import Backends
from .binding import bind
from .calls import Calls
from .describe import document, signature
from .empty import empty_memory
from .manifest import Field, Manifest
from .register import Operators
from .schedule import Schedule


class Op:
    """A recurrent memory op made from a spec.

    `op(*inputs)` gives y; `op.step` runs one token; `op.empty_memory` makes room for decoding; `op.inputs` lists the inputs.
    An op's own signature and docstring, in the spec's names, are on the instance: `help(op)`, `inspect.signature(op)`.
    """

    def __init__(self, manifest: Manifest, program: ModuleType, backends: Backends, operators: Operators, folder: Path):
        self.manifest, self.folder = manifest, folder
        self._program, self._backends, self._operators = program, backends, operators
        self._calls = Calls(manifest, program, backends, operators)
        self.__name__ = self.__qualname__ = manifest.name
        self.__signature__ = signature(manifest)
        self.__doc__ = document(manifest)

    # -- what it is

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def inputs(self) -> tuple[Field, ...]:
        """The inputs in the order of a call: name, shape, per, domain, default, doc."""
        return self.manifest.inputs

    @property
    def spec(self) -> str:
        """The spec that the op was made from, as text."""
        path = self.folder / "spec.yaml"
        return path.read_text(encoding="utf-8") if path.is_file() else self.manifest.spec

    @property
    def backend(self) -> str | None:
        """The back end that every call uses; None: chosen by dtype and device."""
        return self._backends.forced

    def chunk_at(self, device: torch.device | str, sizes: Mapping[str, int]) -> int:
        """Tokens of a chunk in a long call at these sizes of all dims, where no record says another."""
        forced = self._backends.schedules.forced
        return self._calls.forced_chunk or (forced.chunk if forced else self._backends.schedules.usual(torch.device(device).type, sizes))

    def with_chunk(self, chunk: int) -> "Op":
        """This op with chunks of `chunk` tokens whatever the call. Raises UsageError for a size that it was not made for."""
        if chunk != 1 and chunk not in self.manifest.chunks:
            raise UsageError(f"{self.name} has no chunks of {chunk} tokens: expected 1 or one of {', '.join(map(str, self.manifest.chunks))}", "chunk")
        other = Op(self.manifest, self._program, self._backends, self._operators, self.folder)
        other._calls.forced_chunk = chunk
        return other

    def __repr__(self) -> str:
        return f"<op {self.name}{inspect.Signature([p.replace(annotation=p.empty) for p in self.__signature__.parameters.values()])}>"

    def __reduce__(self) -> tuple:
        from .package import restore

        return restore, (str(self.folder), self.backend, self._calls.forced_chunk, self._backends.schedules.forced)

    def with_schedule(self, schedule: Schedule) -> "Op":
        """This op with one schedule for every call, whatever the record says. Raises UsageError for a chunk that it was not made for."""
        from .package import load_package

        if schedule.chunk not in self.manifest.chunks:
            raise UsageError(f"{self.name} has no chunks of {schedule.chunk} tokens: expected one of {', '.join(map(str, self.manifest.chunks))}", "chunk")
        return load_package(self.folder, backend=self.backend, schedule=schedule)

    def __deepcopy__(self, _: dict) -> "Op":
        return self

    # -- calls

    def __call__(self, /, *args: torch.Tensor, memory: dict | None = None, return_memory: bool | None = None, return_weights: bool = False,
                 cu_seqlens: torch.Tensor | None = None, **named: torch.Tensor) -> Any:
        """y [B, T, H, *output], with what else was asked for: (y, memory), (y, details), (y, memory, details).

        cu_seqlens [S + 1]: the one row of tokens, B = 1, holds S sequences; memory has a row for each. It should be on the CPU where
        a GPU is not to be waited for. What is kept for the backward pass has S times the rows of the longest sequence.
        Raises UsageError for arguments that do not fit the op or each other, NotLowered for what is not supported.
        """
        if return_weights and self.manifest.cache is None:
            raise UsageError(f"{self.name} has no cache, so there are no weights to return", "no-cache")
        values = bind(self.manifest, args, named)
        wanted = memory is not None if return_memory is None else return_memory
        y, after, details = self._calls.run(values, memory, wanted, return_weights, cu_seqlens)
        extras = (*((after,) if wanted else ()), *((details,) if return_weights else ()))
        return (y, *extras) if extras else y

    def step(self, /, *args: torch.Tensor, memory: dict | None = None, **named: torch.Tensor) -> tuple[torch.Tensor, dict]:
        """One token: per-token tensors without T, [B, H, *shape]. Gives (y [B, H, *output], memory)."""
        return self._calls.step(bind(self.manifest, args, named), memory)

    def empty_memory(self, batch: int, heads: int, /, *, capacity: int | None = None, dtype: torch.dtype = torch.float32,
                     device: torch.device | str = "cpu", **given: Any) -> dict:
        """The memory of `batch` sequences of which no token was seen. `given`: the op's dims, K=64, V=64, as far as it has them.

        capacity: cache slots, one per segment. Such a memory keeps all its shapes from call to call, for CUDA graphs and
        torch.compile; a call that ends more segments raises UsageError. Without it the cache starts with no slots and grows.
        Learned starts (`<state>_init`) and per-head inputs that a start depends on are given by name, [H, *shape].
        """
        return empty_memory(self.manifest, self._program, batch, heads, capacity, dtype, torch.device(device), given)
