"""One call of an op: checks and prepares its tensors, then runs its programs, as torch operators where anything but a kernel sees them."""
from __future__ import annotations

from types import ModuleType
from typing import Sequence

import torch

from mcgen.diagnostics import UsageError

from . import memory as memories
from .autograd import in_forward_mode, refuse_forward_mode
from .backends import Backends
from .binding import require
from .chunks import chunk_size
from .direct import Passes, apply
from .layout import arithmetic
from .manifest import Manifest
from .packed import read_offsets
from .partition import SHORT, chunk_table, keeps, listed_table, start_of
from .plan import Plan, key_of, plan_call, words
from .prepare import HALVES, last_tokens, prepare
from .recipe import Recipe, recipe
from .register import Operators
from .starts import StateStarts
from .unseen import unseen
from .zeros import SMALL

KEPT_PLANS = 256


class Calls:
    """The calls of one op. `forced_chunk`: tokens of a chunk in every call."""

    def __init__(self, manifest: Manifest, program: ModuleType, backends: Backends, operators: Operators):
        self.manifest, self.program, self.backends, self.operators = manifest, program, backends, operators
        self.forced_chunk: int | None = None
        self._boundary = manifest.run or (manifest.cache.length if manifest.cache else None)
        self._length = manifest.cache.length if manifest.cache else None
        self._fresh = tuple((p, p.removeprefix("init.")) for p in manifest.forward_params if p in {f"init.{s.name}" for s in manifest.states})
        self._from_zeros = all(state.init == "zeros" for state in manifest.states)
        self._renews = all(f"new.{leaf.param}" in manifest.forward_results for leaf in manifest.leaves)
        self._placed = "call.position" in manifest.forward_params
        self._plans: tuple[dict[tuple, Plan], dict[tuple, Plan]] = {}, {}          # of calls, of steps

    def run(self, values: list, memory: dict | None, keep: bool, look: bool,
            cu_seqlens: torch.Tensor | None) -> tuple[torch.Tensor, dict | None, dict | None]:
        """One call: (y, memory after it if `keep`, weights if `look`). values: one for each of `manifest.fields`, or None."""
        plan = self._plan(values, False)
        if cu_seqlens is not None:
            packed = read_offsets(cu_seqlens, plan.batch, plan.tokens, plan.device)
            plan = plan._replace(batch=cu_seqlens.shape[0] - 1, packed=packed, kept={})
        return self._run(plan, values, memory, keep, look, False)

    def step(self, values: list, memory: dict | None) -> tuple[torch.Tensor, dict]:
        """One token, of tensors without T: (y without T, memory after it)."""
        y, after, _ = self._run(self._plan(values, True), values, memory, True, False, True)
        return y, after

    def _run(self, plan: Plan, values: list, memory: dict | None, keep: bool, look: bool,
             one: bool) -> tuple[torch.Tensor, dict | None, dict | None]:
        """Either way. one: the values are a step's."""
        start = memories.read(self.manifest, memory, plan)
        usual = start.whole and plan.packed is None and not look and not torch.compiler.is_compiling() and type(start.slots) is int
        way = (memory is None, keep, start.slots, one) if usual else None
        known = plan.kept.get(way)
        made = None if known is None else self._shortly(plan, known, values, memory, start)
        if made is not None:
            filled, past, details = start.leaves, {}, None
        else:
            made, filled, past, details = self._at_length(plan, self._as_tokens(values) if one else values, memory, start, way, look)
            if one:
                made["y"] = made["y"].squeeze(1)
        y = made["y"]
        y = y if y.dtype is plan.y_dtype else y.to(plan.y_dtype)
        if not keep:
            return y, None, details
        after = {leaf.param: made[new] if (new := f"new.{leaf.param}") in made else filled[leaf.param].clone() for leaf in self.manifest.leaves}
        return y, memories.write(self.manifest, start, plan, after, past), details

    def _shortly(self, plan: Plan, known: Recipe, values: list, memory: dict | None, start: memories.Start) -> dict[str, torch.Tensor] | None:
        """The results by a recipe; None where that is not possible."""
        others: Sequence[torch.Tensor] = ()
        if memory is not None:
            others = (*start.leaves.values(), *self._partition(plan, start, self._chunk_for(plan), values)[not self._placed:])
        own = known.tensors(values, others)
        if not unseen(own) or known.passes.one and torch.is_grad_enabled() and any([x.requires_grad for x in own]):
            return None
        return self._direct(known.passes, own)

    def _at_length(self, plan: Plan, values: list, memory: dict | None, start: memories.Start, way: tuple | None, look: bool) -> tuple[dict, dict, dict, dict | None]:
        """The results by name, the parameters that came from the memory, the past of delayed inputs, the weights. A recipe is kept as `way`."""
        ready = prepare(self.manifest, plan, values, start.past, self.backends.narrow(plan.dtype, plan.device))
        begin = StateStarts(self.manifest, self.program, plan, ready)
        filled, past = self._filled(plan, start, begin, memory is None and keeps(values[0])), last_tokens(self.manifest, plan, ready)
        if plan.tokens == 0 or plan.batch == 0:
            nothing = torch.zeros((*plan.y_shape[:3], 1 + start.slots), dtype=plan.dtype, device=plan.device)
            y = torch.zeros(plan.y_shape, dtype=plan.y_dtype, device=plan.device)
            return {"y": y}, filled, past, {"weights": nothing, "selected": nothing > 0}
        chunk = self._chunk_for(plan)
        named = {**ready, **filled, **{param: begin.per_head(state) for param, state in self._fresh}}
        named["call.position"], named["call.table"] = self._partition(plan, start, chunk, values)
        params = {name: named[name] for name in self.manifest.forward_params}
        tensors = list(params.values())
        if not unseen(tensors):
            made = dict(zip(self.manifest.forward_results, self._watched(tensors, chunk)))
        else:
            made = self._direct(self.backends.passes(tensors, chunk, way is None or way[1]), tensors)
            if way is not None and way not in plan.kept:
                plan.kept[way] = self._recipe(way, values, start, params, chunk)
        return made, filled, past, self._look(tensors, chunk) if look else None

    def _recipe(self, way: tuple, values: list, start: memories.Start, params: dict[str, torch.Tensor], chunk: int) -> Recipe | None:
        """How calls of a kind can go, after one that took these parameters; None where they need more."""
        anew, keep, _, one = way
        if not self._from_zeros and (anew or self._fresh) or anew and keep and not self._renews:
            return None
        fields = {field.name: x for field, x in zip(self.manifest.fields, values)}
        others = {} if anew else {**start.leaves, **{name: params[name] for name in ("call.position", "call.table") if name in params}}
        return recipe(self.backends, params, fields, others, chunk, keep, one)

    def _filled(self, plan: Plan, start: memories.Start, begin: StateStarts, anew: bool) -> dict[str, torch.Tensor]:
        """The parameters that come from the memory; those of sequences that begin `anew` are kept while they are small."""
        found = plan.kept.get("zeros") if anew else None
        if found is None:
            found = memories.fill(self.manifest, start, plan, begin.per_row)
            if anew and self._from_zeros and sum(x.numel() for x in found.values()) <= SMALL:
                plan.kept["zeros"] = found
        return found

    def _direct(self, passes: Passes, tensors: list[torch.Tensor]) -> dict[str, torch.Tensor]:
        if torch.is_grad_enabled() and any([x.requires_grad for x in tensors]):
            return dict(zip(passes.results, apply(passes, self.operators.gradients, *tensors)))
        return dict(zip(passes.results, passes.forward(tensors)))

    def _watched(self, tensors: list[torch.Tensor], chunk: int) -> Sequence[torch.Tensor]:
        """The forward results, by torch operators."""
        if in_forward_mode():
            refuse_forward_mode(self.manifest.name, tensors)
        if torch.is_grad_enabled() and any([x.requires_grad for x in tensors]):
            return self.operators.apply(chunk, *tensors)
        if torch.compiler.is_compiling() and torch.is_grad_enabled() and torch._C._are_functorch_transforms_active():
            return self.operators.own_gradient(*tensors, chunk)
        return self.operators.forward(*tensors, chunk)

    def _look(self, tensors: list[torch.Tensor], chunk: int) -> dict[str, torch.Tensor]:
        """Weights [B, T, H, 1+N], the online memory first, and which memories took part."""
        with torch.no_grad():
            wide = arithmetic(tensors[0].dtype)
            weights, selected = self.program.weights(*[x.to(wide) if x.is_floating_point() else x for x in tensors], chunk=chunk)
        return {"weights": weights, "selected": selected}

    # -- choices that depend on sizes, kept from call to call

    def _plan(self, values: list, one: bool) -> Plan:
        key, plans = None, self._plans[int(one)]          # int: before 2.12 torch.compile refuses bool
        if not torch.compiler.is_compiling():
            try:
                key = key_of(values)
                found = plans.get(key)
            except (AttributeError, TypeError):           # not a tensor; a symbolic size
                key = found = None
            if found is not None:
                return found
        require(self.manifest, values)
        found = plan_call(self.manifest, self._as_tokens(values) if one else values)
        if found.dtype is torch.float64 and self.backends.forced == "tvm":
            raise UsageError("backend='tvm' computes in float32, got float64", "dtype", "load the op with backend='torch'")
        if key is not None:
            if len(plans) >= KEPT_PLANS:
                plans.clear()
            plans[key] = found
        return found

    def _as_tokens(self, values: list) -> list:
        """A step's values with an axis T of length 1."""
        tokens = list(values)
        for i, (field, x) in enumerate(zip(self.manifest.fields, values)):
            if field.per == "token" and isinstance(x, torch.Tensor):
                if x.ndim != 2 + len(field.shape):
                    raise UsageError(f"{field.name} has shape {list(x.shape)}, expected {words(field).replace('T, ', '')} for one token", "shape")
                tokens[i] = x.unsqueeze(1)
        return tokens

    def _chunk_for(self, plan: Plan) -> int:
        """A traced call takes one chunk size for every T but 1, so that another T is no reason to trace again."""
        if self.forced_chunk is not None:
            return self.forced_chunk
        if torch.compiler.is_compiling():
            if plan.tokens == 1:
                return 1
            schedules = self.backends.schedules
            return schedules.traced_chunk(str(plan.device), str(self._tuned_as(plan)).removeprefix("torch."), schedules.marks(plan.sizes))
        found = plan.kept.get("chunk")
        if found is None:
            schedule = self.backends.schedules.find(plan.device, self._tuned_as(plan), plan.sizes, plan.batch * plan.heads, plan.longest)
            found = plan.kept["chunk"] = chunk_size(self.manifest.chunks, schedule.chunk, plan.longest)
        return found

    def _tuned_as(self, plan: Plan) -> torch.dtype:
        """Under which dtype records have calls like these: as programs see y."""
        return plan.y_dtype if plan.y_dtype in HALVES and self.backends.tuned_narrow(plan.dtype, plan.device) else plan.dtype

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
