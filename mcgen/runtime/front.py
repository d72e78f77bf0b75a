"""The op that a user calls: binds, checks and prepares a call's tensors, then runs an operator."""
from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType
from typing import Any, Mapping, Sequence

import torch

from mcgen.diagnostics import UsageError

from . import memory as memories
from .autograd import in_forward_mode, refuse_forward_mode
from .backends import Backends
from .binding import bind
from .chunks import chunk_size
from .describe import document, signature
from .direct import Passes, apply
from .empty import empty_memory
from .manifest import Field, Manifest
from .packed import read_offsets
from .partition import SHORT, chunk_table, keeps, listed_table, start_of
from .plan import Plan, key_of, plan_call, words
from .prepare import last_tokens, prepare
from .schedule import Schedule
from .recipe import recipe
from .register import Operators
from .starts import StateStarts
from .unseen import unseen
from .zeros import SMALL

KEPT_PLANS = 256


class Op:
    """A recurrent memory op made from a spec.

    `op(*inputs)` gives y; `op.step` runs one token; `op.empty_memory` makes room for decoding; `op.inputs` lists the inputs.
    An op's own signature and docstring, in the spec's names, are on the instance: `help(op)`, `inspect.signature(op)`.
    """

    def __init__(self, manifest: Manifest, program: ModuleType, backends: Backends, operators: Operators, folder: Path):
        self.manifest, self.folder = manifest, folder
        self._program, self._backends, self._operators = program, backends, operators
        self._forced_chunk: int | None = None
        self._boundary = manifest.run or (manifest.cache.length if manifest.cache else None)
        self._length = manifest.cache.length if manifest.cache else None
        self._fresh = tuple((p, p.removeprefix("init.")) for p in manifest.forward_params if p in {f"init.{s.name}" for s in manifest.states})
        self._from_zeros = all(state.init == "zeros" for state in manifest.states)
        self._plans: dict[tuple, Plan] = {}
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
        return self._forced_chunk or (forced.chunk if forced else self._backends.schedules.usual(torch.device(device).type, sizes))

    def with_chunk(self, chunk: int) -> "Op":
        """This op with chunks of `chunk` tokens whatever the call. Raises UsageError for a size that it was not made for."""
        if chunk != 1 and chunk not in self.manifest.chunks:
            raise UsageError(f"{self.name} has no chunks of {chunk} tokens: expected 1 or one of {', '.join(map(str, self.manifest.chunks))}", "chunk")
        other = Op(self.manifest, self._program, self._backends, self._operators, self.folder)
        other._forced_chunk = chunk
        return other

    def __repr__(self) -> str:
        return f"<op {self.name}{inspect.Signature([p.replace(annotation=p.empty) for p in self.__signature__.parameters.values()])}>"

    def __reduce__(self) -> tuple:
        from .package import restore

        return restore, (str(self.folder), self.backend, self._forced_chunk, self._backends.schedules.forced)

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
        y, after, details = self._run(values, memory, wanted, return_weights, cu_seqlens)
        extras = (*((after,) if wanted else ()), *((details,) if return_weights else ()))
        return (y, *extras) if extras else y

    def step(self, /, *args: torch.Tensor, memory: dict | None = None, **named: torch.Tensor) -> tuple[torch.Tensor, dict]:
        """One token: per-token tensors without T, [B, H, *shape]. Gives (y [B, H, *output], memory)."""
        values = bind(self.manifest, args, named)
        for i, (field, x) in enumerate(zip(self.manifest.fields, values)):
            if field.per == "token" and isinstance(x, torch.Tensor):
                if x.ndim != 2 + len(field.shape):
                    raise UsageError(f"{field.name} has shape {list(x.shape)}, expected {words(field).replace('T, ', '')} for one token", "shape")
                values[i] = x.unsqueeze(1)
        y, after, _ = self._run(values, memory, True, False, None)
        return y.squeeze(1), after

    def empty_memory(self, batch: int, heads: int, /, *, capacity: int | None = None, dtype: torch.dtype = torch.float32,
                     device: torch.device | str = "cpu", **given: Any) -> dict:
        """The memory of `batch` sequences of which no token was seen. `given`: the op's dims, K=64, V=64, as far as it has them.

        capacity: cache slots, one per segment. Such a memory keeps all its shapes from call to call, for CUDA graphs and
        torch.compile; a call that ends more segments raises UsageError. Without it the cache starts with no slots and grows.
        Learned starts (`<state>_init`) and per-head inputs that a start depends on are given by name, [H, *shape].
        """
        return empty_memory(self.manifest, self._program, batch, heads, capacity, dtype, torch.device(device), given)

    def _run(self, values: list, memory: dict | None, keep: bool, look: bool,
             cu_seqlens: torch.Tensor | None) -> tuple[torch.Tensor, dict | None, dict | None]:
        """One call: (y, memory after it if `keep`, weights if `look`)."""
        manifest = self.manifest
        plan = self._plan(values)
        if plan.dtype is torch.float64 and self.backend == "tvm":
            raise UsageError("backend='tvm' computes in float32, got float64", "dtype", "load the op with backend='torch'")
        if cu_seqlens is not None:
            packed = read_offsets(cu_seqlens, plan.batch, plan.tokens, plan.device)
            plan = plan._replace(batch=cu_seqlens.shape[0] - 1, packed=packed, kept={})
        elif memory is None and not keep and not look and (found := plan.kept.get("recipe")) is not None:
            own = found.tensors(values)
            if unseen(own):
                return self._direct(found.passes, own)[0], None, None
        start = memories.read(manifest, memory, plan)
        ready = prepare(manifest, plan, values, start.past)
        begin = StateStarts(manifest, self._program, plan, ready)
        filled = plan.kept.get("zeros") if memory is None else None
        if filled is None:
            filled = memories.fill(manifest, start, plan, begin.per_row)
            if memory is None and self._from_zeros and keeps(values[0]) and sum(x.numel() for x in filled.values()) <= SMALL:
                plan.kept["zeros"] = filled
        if plan.tokens == 0 or plan.batch == 0:
            y, made = torch.zeros(plan.y_shape, dtype=plan.y_dtype, device=plan.device), {}
            nothing = y.new_zeros((*y.shape[:3], 1 + start.slots), dtype=plan.dtype)
            details = {"weights": nothing, "selected": nothing > 0}
        else:
            chunk = self._chunk_for(plan)
            named = {**ready, **filled, **{param: begin.per_head(state) for param, state in self._fresh}}
            named["call.position"], named["call.table"] = self._partition(plan, start, chunk, values)
            tensors = [named[param] for param in manifest.forward_params]
            made = self._compute(tensors, chunk, keep)
            y = made["y"]
            y = y if y.dtype is plan.y_dtype else y.to(plan.y_dtype)
            if memory is None and not keep and "recipe" not in plan.kept and plan.packed is None and self._from_zeros and unseen(tensors):
                plan.kept["recipe"] = recipe(manifest, self._backends, values, tensors, chunk)
            details = self._look(tensors, chunk) if look else None
        if not keep:
            return y, None, details
        after = {leaf.param: made[new] if (new := f"new.{leaf.param}") in made else filled[leaf.param].clone() for leaf in manifest.leaves}
        return y, memories.write(manifest, start, plan, after, last_tokens(manifest, plan, ready)), details

    def _compute(self, tensors: list[torch.Tensor], chunk: int, keep: bool) -> dict[str, torch.Tensor]:
        """Forward result -> its value: of all, or of y alone unless `keep`."""
        if unseen(tensors):
            passes = self._backends.passes(tensors, chunk, keep)
            return dict(zip(passes.results, self._direct(passes, tensors)))
        return dict(zip(self.manifest.forward_results, self._watched(tensors, chunk)))

    def _direct(self, passes: Passes, tensors: list[torch.Tensor]) -> Sequence[torch.Tensor]:
        if torch.is_grad_enabled() and any([x.requires_grad for x in tensors]):
            return apply(passes, self._operators.gradients, *tensors)
        return passes.forward(tensors)

    def _watched(self, tensors: list[torch.Tensor], chunk: int) -> Sequence[torch.Tensor]:
        """The forward results, by torch operators."""
        if in_forward_mode():
            refuse_forward_mode(self.name, tensors)
        if torch.is_grad_enabled() and any([x.requires_grad for x in tensors]):
            return self._operators.apply(chunk, *tensors)
        if torch.compiler.is_compiling() and torch.is_grad_enabled() and torch._C._are_functorch_transforms_active():
            return self._operators.own_gradient(*tensors, chunk)
        return self._operators.forward(*tensors, chunk)

    def _look(self, tensors: list[torch.Tensor], chunk: int) -> dict[str, torch.Tensor]:
        """Weights [B, T, H, 1+N], the online memory first, and which memories took part."""
        with torch.no_grad():
            weights, selected = self._program.weights(*tensors, chunk=chunk)
        return {"weights": weights, "selected": selected}

    # -- choices that depend on sizes, kept from call to call

    def _plan(self, values: list) -> Plan:
        if torch.compiler.is_compiling():
            return plan_call(self.manifest, values)
        try:
            key = key_of(values)
            found = self._plans.get(key)
        except (AttributeError, TypeError):           # not a tensor; a symbolic size
            return plan_call(self.manifest, values)
        if found is None:
            found = plan_call(self.manifest, values)
            if len(self._plans) >= KEPT_PLANS:
                self._plans.clear()
            self._plans[key] = found
        return found

    def _chunk_for(self, plan: Plan) -> int:
        """A traced call takes one chunk size for every T but 1, so that another T is no reason to trace again."""
        if self._forced_chunk is not None:
            return self._forced_chunk
        if torch.compiler.is_compiling():
            if plan.tokens == 1:
                return 1
            schedules = self._backends.schedules
            return schedules.traced_chunk(str(plan.device), str(plan.dtype).removeprefix("torch."), schedules.small(plan.sizes))
        found = plan.kept.get("chunk")
        if found is None:
            schedule = self._backends.schedules.find(plan.device, plan.dtype, plan.sizes, plan.batch * plan.heads, plan.longest)
            found = plan.kept["chunk"] = chunk_size(self.manifest.chunks, schedule.chunk, plan.longest)
        return found

    def _partition(self, plan: Plan, start: memories.Start, chunk: int, values: list) -> tuple[torch.Tensor, torch.Tensor]:
        if plan.packed is not None:
            position = torch.zeros(plan.batch, dtype=torch.int64, device=plan.device) if start.position is None else start.position
            moved = start.position is not None
            return position, chunk_table(position, plan.tokens, chunk, self._boundary, self._length, moved, plan.packed)
        if start.seen is not None and plan.batch * plan.tokens <= SHORT * chunk:
            return start.position, listed_table(tuple(start.seen), plan.tokens, chunk, self._boundary, self._length)
        if start.position is not None:
            return start.position, chunk_table(start.position, plan.tokens, chunk, self._boundary, self._length, True)
        if not keeps(values[0]):
            return start_of(plan.batch, plan.tokens, chunk, self._boundary, self._length, plan.device)
        if "start" not in plan.kept:
            with torch.inference_mode(False), torch.no_grad():
                plan.kept["start"] = start_of(plan.batch, plan.tokens, chunk, self._boundary, self._length, plan.device)
        return plan.kept["start"]
