"""The memory of a call: a plain dict of tensors, the sequence axis first.

    state      {S: [B, H, *shape]}            past      {input: [B, H, d, *shape]}, the last tokens of delayed inputs, oldest first
    cache      {S: [B, H, N, *shape]}         position  [B] int64, tokens seen
    summary    [B, H, N, *s]                  run       {S: [B, H, *shape]}, states at the start of the open run
    partial    [B, H, *s]                     after     {i: [B, H, N]}, sums since each cached memory's end
    live       {S: [B, H, L, *shape]}, with logarithmic growth: runs since the last multiple of 2^l segments, which become memories; its
               `summary` [B, H, L, *s] is their sums. There `after` is [B, H, L], and L = N.bit_length() + 1;
               since {S: [B, H, L]}: how much is left of each cached memory, where runs are the sum of these
    capacity   [B] int64, only in a memory that must keep its shapes (see `Op.empty_memory`)

Only the keys that an op needs are there. Without `capacity` the cache grows: N is the number of segments that the furthest row has
ended. That number is read from `position`, which on a GPU waits for it. A traced call (torch.compile) can't wait and makes room for
every segment that its tokens could end, so decode with a memory that has a capacity: its shapes never change and nothing waits.
"""
from __future__ import annotations

from typing import Any, Callable, NamedTuple

import torch

from mcgen.diagnostics import UsageError, did_you_mean

from .capacity import reached, within_capacity
from .dims import sizes_of
from .manifest import LEVELS, Field, Leaf, Manifest
from .partition import first_slots, levels, slot_count
from .plan import Plan
from .zeros import read_only_zeros


class Start(NamedTuple):
    """A memory, read. `position` is None at the start of sequences."""

    leaves: dict[str, torch.Tensor]                 # program parameter -> tensor, as given (in the plan's dtype)
    past: dict[str, torch.Tensor] | None
    position: torch.Tensor | None
    seen: list[int] | None                          # position as numbers, where reading it costs nothing
    slots: int                                      # N of this call
    fixed: torch.Tensor | None                      # the capacity leaf
    whole: bool = False                             # whether all leaves are here with N slots, or there is no memory


def read(manifest: Manifest, memory: dict | None, plan: Plan) -> Start:
    """Checks a memory against the op and the call, and says how many cache slots the call needs.

    A memory without `position` stands at the start: then it may hold `state` alone, and any of the states.
    Raises UsageError for a foreign key, a missing or misshapen leaf, and for a capacity that the call exceeds.
    """
    length = manifest.cache.length if manifest.cache else None
    if memory is None:
        return Start({}, None, None, None, first_slots(plan.longest, length) if length else 0, None, True)
    found = _whole(manifest, memory, plan)
    if found is None:
        _check_keys(manifest, memory)
        if "position" not in memory:
            leaves = {leaf.param: _tensor(memory, leaf.path, _shape(leaf, plan, 0), plan)
                      for leaf in manifest.leaves if leaf.path[0] == "state" and _has(memory, leaf)}
            return Start(leaves, None, None, None, first_slots(plan.longest, length) if length else 0, None)
        held = _held(manifest, memory)
        leaves = {leaf.param: _tensor(memory, leaf.path, _levelled(memory, leaf, _shape(leaf, plan, held)), plan) for leaf in manifest.leaves}
        past = {f.name: _tensor(memory, ("past", f.name), _past(f, plan), plan) for f in manifest.delays}
        position = _position(memory, plan)
    else:
        held, leaves, past, position = found
    fixed = memory.get("capacity")
    traced = torch.compiler.is_compiling()
    seen = position.tolist() if plan.device.type == "cpu" and not traced else None
    if length is None:
        return Start(leaves, past, position, seen, 0, fixed, True)
    if fixed is not None:
        return Start(leaves, past, within_capacity(position, seen, plan, length, held), seen, held, fixed, True)
    if traced:
        slots = slot_count(plan.longest, length, held, None)
        return Start(leaves, past, position, seen, slots, None)
    before = position.tolist() if seen is None else seen
    last = max(before, default=0)
    if last // length > held:
        raise UsageError(f"memory['position'] has seen {last} tokens, which is {last // length} segments of {length}, but its cache holds {held}", "memory")
    slots = slot_count(plan.longest, length, held, max(reached(before, plan), default=0))
    return Start(leaves, past, position, seen, slots, None, slots == held)


def _whole(manifest: Manifest, memory: Any, plan: Plan) -> tuple[int, dict, dict, torch.Tensor] | None:
    """(slots, leaves, past, position) of a memory that needs neither a word nor a conversion; None where a closer look is due."""
    if type(memory) is not dict or torch.compiler.is_compiling() or not memory.keys() <= manifest.memory_set:
        return None
    try:
        tensors = [memory[path[0]] if len(path) == 1 else memory[path[0]][path[1]] for path in manifest.memory_paths]
        tensors.append(memory["position"])
        if "state" in memory and not memory["state"].keys() <= manifest.state_set:
            return None
        held = tensors[manifest.slotted[0]].shape[manifest.slotted[1]] if manifest.slotted else 0
        said = [(x.shape, x.dtype, x.device) for x in tensors]
    except (KeyError, IndexError, TypeError, AttributeError):
        return None
    wanted = plan.kept.get(("memory", held))
    if wanted is None:
        shapes = [*(_shape(leaf, plan, held) for leaf in manifest.leaves), *(_past(f, plan) for f in manifest.delays)]
        wanted = plan.kept["memory", held] = [*((shape, plan.dtype, plan.device) for shape in shapes), ((plan.batch,), torch.int64, plan.device)]
    if said != wanted:
        return None
    count = len(manifest.leaves)
    leaves = dict(zip([leaf.param for leaf in manifest.leaves], tensors))
    return held, leaves, {f.name: x for f, x in zip(manifest.delays, tensors[count:])}, tensors[-1].contiguous()


def fill(manifest: Manifest, start: Start, plan: Plan, start_state: Callable[[str], torch.Tensor]) -> dict[str, torch.Tensor]:
    """The programs' parameters that come from the memory: given leaves with room for N slots, zeros and start states elsewhere.

    They are to be read alone.
    """
    filled = {}
    for leaf in manifest.leaves:
        given = start.leaves.get(leaf.param)
        if given is None and leaf.state is not None:
            given = start.leaves.get(f"state.{leaf.state}")
            if given is None:
                given = start_state(leaf.state)
            if leaf.levels is not None:              # every level runs from the start of the sequence
                given = given.unsqueeze(leaf.levels).expand(*given.shape[:leaf.levels], levels(start.slots), *given.shape[leaf.levels:])
        elif given is None:
            given = read_only_zeros(_shape(leaf, plan, start.slots), plan.dtype, plan.device)
        elif leaf.slots is not None and given.shape[leaf.slots] < start.slots:
            room = list(given.shape)
            room[leaf.slots] = start.slots - room[leaf.slots]
            given = torch.cat((given, given.new_zeros(room)), dim=leaf.slots)
        elif leaf.levels is not None and given.shape[leaf.levels] < levels(start.slots):
            first = given.narrow(leaf.levels, given.shape[leaf.levels] - 1, 1)           # the run from the start of the sequence
            room = list(given.shape)
            room[leaf.levels] = levels(start.slots) - room[leaf.levels]
            given = torch.cat((given, first.expand(room)), dim=leaf.levels)
        filled[leaf.param] = given if given.is_contiguous() else given.contiguous()
    return filled


def write(manifest: Manifest, start: Start, plan: Plan, values: dict[str, torch.Tensor], past: dict[str, torch.Tensor]) -> dict[str, Any]:
    """The memory after a call. `values`: program parameter -> its value after the call."""
    memory: dict[str, Any] = {}
    for leaf in manifest.leaves:
        if len(leaf.path) == 2:
            memory.setdefault(leaf.path[0], {})[leaf.path[1]] = values[leaf.param]
        else:
            memory[leaf.path[0]] = values[leaf.param]
    if past:
        memory["past"] = past
    if start.position is None:
        memory["position"] = torch.zeros(plan.batch, dtype=torch.int64, device=plan.device) + plan.lengths
    else:
        memory["position"] = start.position + plan.lengths
    if start.fixed is not None:
        memory["capacity"] = start.fixed
    return memory


def _shape(leaf: Leaf, plan: Plan, slots: int) -> tuple[int, ...]:
    inner = [slots if e is None else levels(slots) if e == LEVELS else e if isinstance(e, int) else plan.sizes[e] for e in leaf.shape]
    return (plan.batch, plan.heads, *inner)


def _levelled(memory: dict, leaf: Leaf, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with as many levels as the leaf has, where these are not fewer: a traced call made room for more than it needs."""
    if leaf.levels is None:
        return shape
    x = _at(memory, leaf.path)
    if x.ndim != len(shape) or (not torch.compiler.is_compiling() and x.shape[leaf.levels] < shape[leaf.levels]):
        return shape
    return (*shape[:leaf.levels], x.shape[leaf.levels], *shape[leaf.levels + 1:])


def _past(field: Field, plan: Plan) -> tuple[int, ...]:
    return (plan.batch, plan.heads, field.delay, *sizes_of(field.shape, plan.sizes))


def _has(memory: dict, leaf: Leaf) -> bool:
    group = memory.get(leaf.path[0])
    return group is not None and (len(leaf.path) == 1 or leaf.path[1] in group)


def _check_keys(manifest: Manifest, memory: Any) -> None:
    if not isinstance(memory, dict):
        raise UsageError(f"memory is a {type(memory).__name__}, expected a dict as an earlier call returned it", "memory")
    for key in memory:
        if key not in manifest.memory_keys:
            raise UsageError(f"memory has a key {key!r} that {manifest.name} does not know{did_you_mean(str(key), manifest.memory_keys)}", "memory",
                             "a memory belongs to the op that returned it")
    for name in memory.get("state", {}):
        if name not in (states := [state.name for state in manifest.states]):
            raise UsageError(f"memory['state'] has {name!r}, but the states of {manifest.name} are {', '.join(states)}", "memory")
    if "position" not in memory and any(key != "state" for key in memory):
        raise UsageError("memory has no 'position'", "memory", "at the start of a sequence, memory may hold 'state' alone")


def _held(manifest: Manifest, memory: dict) -> int:
    """The number of slots that a memory has."""
    for leaf in manifest.leaves:
        if leaf.slots is not None:
            x = _at(memory, leaf.path)
            if x.ndim <= leaf.slots:
                raise UsageError(f"{_named(leaf.path)} has shape {list(x.shape)}, expected [B, H, N, ...]", "memory")
            return x.shape[leaf.slots]
    return 0


def _at(memory: dict, path: tuple[str, ...]) -> torch.Tensor:
    found: Any = memory
    for step in path:
        if not isinstance(found, dict) or step not in found:
            raise UsageError(f"memory lacks {_named(path)}", "memory", "a memory belongs to the op that returned it")
        found = found[step]
    if not isinstance(found, torch.Tensor):
        raise UsageError(f"{_named(path)} is a {type(found).__name__}, expected a tensor", "memory")
    return found


def _tensor(memory: dict, path: tuple[str, ...], shape: tuple[int, ...], plan: Plan) -> torch.Tensor:
    x = _at(memory, path)
    if x.shape != shape:
        raise UsageError(f"{_named(path)} has shape {list(x.shape)}, expected {list(shape)} for this call", "memory")
    if x.device != plan.device:
        raise UsageError(f"{_named(path)} is on {x.device}, the inputs on {plan.device}", "device")
    if not x.is_floating_point():
        raise UsageError(f"{_named(path)} has dtype {x.dtype}, expected a floating one", "dtype")
    return x if x.dtype is plan.dtype else x.to(plan.dtype)


def _position(memory: dict, plan: Plan) -> torch.Tensor:
    x = _at(memory, ("position",))
    if x.dtype is not torch.int64 or x.ndim != 1 or x.shape[0] != plan.batch:
        raise UsageError(f"memory['position'] is {x.dtype} {list(x.shape)}, expected torch.int64 [{plan.batch}]", "memory")
    if x.device != plan.device:
        raise UsageError(f"memory['position'] is on {x.device}, the inputs on {plan.device}", "device")
    return x if x.is_contiguous() else x.contiguous()


def _named(path: tuple[str, ...]) -> str:
    return "memory" + "".join(f"[{step!r}]" for step in path)
