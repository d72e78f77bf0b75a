"""A kernel function to a Kernel: record, look it up, else lower, build and keep."""
from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from typing import Callable, Mapping

import torch

from mcgen.diagnostics import UsageError

from ..devices import WIDE, architecture
from . import cache, llvm
from .builder import TileBuilder
from .kernel import Kernel
from .link import CannotLink
from .load import Entry, load
from .text import text_of


SHARE = 8            # functions that are worth a thread
TILES = {8: (4, 16), 16: (6, 32)}    # lanes -> rows and columns of a register tile
_entries: dict[str, Entry] = {}      # loaded kernels by key: equal kernels share their code


def lanes(of: str | None = None) -> int:
    """float32 numbers in the widest vectors that kernels are made of, for a CPU of this architecture (default: this machine's)."""
    return WIDE.get(of or architecture(torch.device("cpu")), 8)


@dataclass(frozen=True)
class Options:
    """What changes the speed of a kernel and not its results beyond rounding."""

    lanes: int = field(default_factory=lanes)                     # of the widest vectors: 8 or 16
    rows: int = field(default_factory=lambda: TILES[lanes()][0])             # of a register tile
    columns: int = field(default_factory=lambda: TILES[lanes()][1])          # a multiple of 8
    unroll: int = 4          # steps of a product's inner loop taken at once
    opt_level: int = 2       # LLVM's

    @classmethod
    def usual(cls, architecture: str) -> Options:
        """What a CPU of this architecture takes by default."""
        return cls(lanes(architecture), *TILES[lanes(architecture)])

    @classmethod
    def of(cls, given: Mapping[str, int | str]) -> Options:
        """Raises UsageError for an option that does not exist, or a value that no kernel can be made with."""
        strange = set(given) - {f.name for f in fields(cls)}
        if strange or any(type(x) is not int for x in given.values()):
            raise UsageError(f"kernels on the CPU have no option {min(strange or given)!r}", "schedule", f"options: {', '.join(f.name for f in fields(cls))}")
        made = cls(**given)
        if not (1 <= made.rows <= 32 and made.columns in range(8, 129, 8) and 1 <= made.unroll <= 32 and 0 <= made.opt_level <= 3 and made.lanes in TILES):
            raise UsageError(f"no kernel has {made}", "schedule", "lanes 8 or 16, rows 1 to 32, columns 8 to 128 by 8, unroll 1 to 32, opt_level 0 to 3")
        return made


def compile(fn: Callable, sizes: Mapping[str, int], name: str | None = None, options: Options | Mapping | None = None,
            stored: Mapping[str, str] | None = None) -> Kernel:
    """The kernel that `fn` describes, for these sizes of "#chunk" and the named dims; from the cache if it is there.

    stored: token parameters that have 16 bits in memory, "bf16" or "f16"; what is computed stays float32.

    Raises mcgen.diagnostics.EnvironmentLacks where TVM is needed and missing.
    """
    options = options if isinstance(options, Options) else Options(**(options or {}))
    sizes = dict(sizes)
    builder = record(fn, sizes, stored)
    name = name or fn.__name__
    key = cache.key(text_of(builder), repr(sorted(sizes.items())), repr(sorted(asdict(options).items())), llvm.version())
    entry = _entries.get(key)
    if entry is None:
        entry = _entries[key] = _stored(key) or _build(builder, sizes, options, key)
    return Kernel(name, builder.params, sizes, entry)


def _stored(key: str) -> Entry | None:
    found = cache.read(key)
    if found is None:
        return None
    try:
        return load(*found)
    except (CannotLink, TypeError):
        cache.remove(key)
        return None


def record(fn: Callable, sizes: Mapping[str, int], stored: Mapping[str, str] | None = None) -> TileBuilder:
    """What `fn` does, recorded; it may read the sizes as `k.sizes`."""
    builder = TileBuilder()
    builder.sizes, builder.stored = dict(sizes), dict(stored or {})
    fn(builder)
    return builder


def _build(builder: TileBuilder, sizes: dict[str, int], options: Options, key: str) -> Entry:
    from .lower import lower
    llvm.require()
    main, parts = lower(builder, sizes, options)
    try:
        objects = [*_objects(main, parts, options.opt_level), llvm.launch_code()]
        entry = load(*objects)
    except CannotLink as reason:
        warnings.warn(f"compiled kernels are not kept on this machine: {reason}", stacklevel=4)
        return llvm.just_in_time(llvm.build(main, parts, options.opt_level))
    cache.write(key, *objects)
    return entry


def _objects(main, parts: Mapping[str, object], opt_level: int) -> list[bytes]:
    """Machine code of a kernel and of the functions that it calls, made on as many threads as torch may use where they are many."""
    threads = max(1, min(torch.get_num_threads(), len(parts) // SHARE))
    names = list(parts)
    groups = [(main, {}), *((None, {name: parts[name] for name in names[i::threads]}) for i in range(threads))]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda group: llvm.object_code(llvm.build(*group, opt_level)), groups))
