"""The manifest of a package: what the runtime must know of an op, as JSON."""
from __future__ import annotations

import math
from typing import Any, Mapping

from ..ir.nodes import dim_of
from ..passes.pipeline import Compiled
from ..spec.nodes import Domain

FORMAT = 3
CHUNKS = (16, 32, 64, 128)
CHUNK = 64
SLOTS = "#slots"                # stands for the number of cached memories in a saved tensor's shape
LEVELS = "#levels"              # the same for the levels of merging segments


def manifest_of(compiled: Compiled, spec_name: str, loads: Mapping[str, tuple[float, float]] | None = None) -> dict[str, Any]:
    """The manifest as plain data; `mcgen.runtime.manifest` reads it. loads: of its GPU kernels, see there."""
    model, spec = compiled.model, compiled.model.spec
    delays = {p.name: p.delay for p in compiled.forward.params if p.delay}
    forward = [p.name for p in compiled.forward.params]
    results = [r.name for r in compiled.forward.results]
    backward = [p.name for p in compiled.backward.params]
    cache, merging = None, model.cache is not None and model.cache.segments.growth == "logarithmic"
    if model.cache is not None:
        segments = model.cache.segments
        cache = {
            "length": segments.length, "start": segments.start, "growth": segments.growth,
            "states": [p.removeprefix("cache.") for p in forward if p.startswith("cache.")],
            "summary": list(model.cache.summary[1].shape) if model.cache.summary else None,
            "summary_kind": model.cache.summary[0] if model.cache.summary else None,
            "after": sum(p.startswith("after.") for p in forward),
        }
        since = {p.name.removeprefix("since."): [_size(a, merging) for a in p.axes] for p in compiled.forward.params if p.name.startswith("since.")}
        cache |= {"since": since} if since else {}
    return {
        "format": FORMAT, "name": model.name, "spec": spec_name, "summary": spec.summary, "sources": list(spec.sources),
        "inputs": [{"name": i.name, "shape": list(i.shape), "per": i.per, "domain": domain_of(i.domain), "default": i.default,
                    "doc": i.doc} for i in model.inputs.values()],
        "dims": list(model.dims),
        "derived": {name: str(text) for name, text in spec.raw["rule"].get("dims", {}).items()},
        "states": [{"name": s.name, "shape": list(s.shape), "init": s.init if isinstance(s.init, str) else "expression",
                    "domain": domain_of(s.domain)} for s in model.states.values()],
        "output": list((model.output if model.output is not None else model.read).shape),
        "delays": delays, "cache": cache,
        "constants": {name: str(text) for block in ("rule", "cache") for name, text in
                      spec.raw.get(block, {}).get("constants", {}).items()},
        "chunks": list(CHUNKS), "chunk": CHUNK, "sides": _sides(compiled),
        **({"loads": {dim: list(fills) for dim, fills in loads.items()}} if loads else {}),
        "forward": {"params": [*forward, "call.table"], "results": results[: compiled.results]},
        "backward": {"params": [*forward, "call.table", *backward[len(forward):]],
                     "results": [r.name for r in compiled.backward.results]},
        "saved": [{"name": r.name, "shape": [_size(a, merging) for a in r.axes]} for r in compiled.forward.results[compiled.results:]],
    }


def _sides(compiled: Compiled) -> list[str | int]:
    """The dims of states, whose size says how long a chunk should be."""
    return list(dict.fromkeys(d for s in compiled.model.states.values() for d in s.shape))


def _size(axis: str, merging: bool) -> str | int:
    if axis in ("n", "l"):
        return LEVELS if merging else SLOTS
    dim = dim_of(axis)
    return int(dim) if dim.isdigit() else dim


def domain_of(domain: Domain) -> list:
    finite = lambda x: None if math.isinf(x) else x
    return [domain.kind, finite(domain.lo), finite(domain.hi)] if domain.kind == "interval" else [domain.kind, None, None]
