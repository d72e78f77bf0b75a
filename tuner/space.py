"""What can be chosen: knobs, their choices, the default, and which combinations are feasible."""
from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Callable, Iterator, Mapping, Sequence

from mcgen.runtime.schedule import Schedule

Choice = int | str
Config = Mapping[str, Choice]
REGISTERS = {"avx512": 32, "sve": 32, "neon": 32}       # vector registers; 16 elsewhere


@dataclass(frozen=True)
class Knob:
    """A name and its choices in order. A search sees positions among them, which for powers of two are logarithms."""

    name: str
    choices: tuple[Choice, ...]

    def __post_init__(self) -> None:
        numbers = [x for x in self.choices if isinstance(x, int)]
        if not self.choices or len(set(self.choices)) < len(self.choices) or numbers != sorted(numbers):
            raise ValueError(f"choices of {self.name} do not ascend: {self.choices}")


@dataclass(frozen=True)
class Space:
    """`feasible(config)` gives the reasons why a configuration can't work on the device, none if it can. `settle(config)` gives the one that
    stands for all that differ from it only in knobs which, given the others, mean nothing."""

    knobs: tuple[Knob, ...]
    default: Config
    feasible: Callable[[Config], Sequence[str]]
    settle: Callable[[Config], Config] = dict

    def __post_init__(self) -> None:
        for knob in self.knobs:
            if self.default.get(knob.name) not in knob.choices:
                raise ValueError(f"the default {self.default.get(knob.name)} is no choice of {knob.name}")

    @property
    def size(self) -> int:
        """Combinations, feasible or not."""
        return math.prod(len(knob.choices) for knob in self.knobs)

    def configs(self) -> Iterator[Config]:
        """All feasible ones that are settled, in a fixed order; for small spaces."""
        for values in itertools.product(*(knob.choices for knob in self.knobs)):
            config = dict(zip((knob.name for knob in self.knobs), values))
            if config == self.settle(config) and not self.feasible(config):
                yield config

    def positions(self, config: Config) -> dict[str, int]:
        return {knob.name: knob.choices.index(config[knob.name]) for knob in self.knobs}

    def at(self, positions: Mapping[str, int]) -> Config:
        return {knob.name: knob.choices[positions[knob.name]] for knob in self.knobs}

    def holds(self, config: Config) -> bool:
        """Whether a configuration, of a record perhaps, is one of this space."""
        return set(config) == {k.name for k in self.knobs} and all(config[k.name] in k.choices for k in self.knobs) and not self.feasible(config)

    def plainness(self, config: Config) -> tuple[int, int]:
        """Smaller is simpler: knobs that differ from the default, then how far."""
        mine, usual = self.positions(config), self.positions(self.default)
        steps = [abs(mine[name] - usual[name]) for name in usual]
        return sum(step > 0 for step in steps), sum(steps)


def schedule_of(config: Config) -> Schedule:
    """`chunk` is the schedule's own; all other knobs are options of the back end."""
    return Schedule.of(int(config["chunk"]), {name: value for name, value in config.items() if name != "chunk"})


def config_of(schedule: Schedule, space: Space) -> Config:
    """A schedule as a configuration: what it does not say is as in the default."""
    return {**space.default, "chunk": schedule.chunk, **dict(schedule.options)}


def cpu_space(chunks: Sequence[int], chunk: int, architecture: str) -> Space:
    """Register tiles, unrolling, LLVM's level and, where there are wide vectors, their width for the kernels of the CPU.

    A tile of rows x columns holds its sums in registers, a line of B (folded into the instruction when there is one row) and one
    element of A: more than there are would be spilled. Fewer than six sums leave the multipliers waiting for each other.
    """
    from mcgen.runtime.tvm import Options

    registers, usual = REGISTERS.get(architecture, 16), Options.usual(architecture)

    def feasible(config: Config) -> list[str]:
        rows, (wide, rest) = int(config["rows"]), divmod(int(config["columns"]), int(config.get("lanes", usual.lanes)))
        vectors = wide + rest // 8
        sums = rows * vectors
        wanted = sums + (vectors if rows > 1 else 0) + 1
        reasons = []
        if wanted > registers:
            reasons.append(f"{wanted} vector registers of {registers}")
        if sums < 6:
            reasons.append(f"{sums} sums at once, fewer than 6")
        return reasons

    widths = (Knob("lanes", (8, usual.lanes)),) if usual.lanes > 8 else ()
    levels = tuple(Knob(f"{kernel}.opt_level", (1, 2, 3)) for kernel in ("forward", "backward"))
    knobs = (Knob("chunk", tuple(sorted(chunks))), Knob("rows", (1, 2, 3, 4, 5, 6, 8, 12)), Knob("columns", (8, 16, 24, 32, 64)),
             Knob("unroll", (1, 2, 4, 8)), *widths, *levels)
    default = {"chunk": chunk, "rows": usual.rows, "columns": usual.columns, "unroll": usual.unroll,
               **{width.name: usual.lanes for width in widths}, **{level.name: usual.opt_level for level in levels}}
    return Space(knobs, default, feasible)
