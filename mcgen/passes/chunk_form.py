"""The chunk form of a model as formulas: what `mcgen.passes.states` builds, for people to read."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Iterator

from ..symbolic.affine import Factor, Group, Write
from ..symbolic.algebra import Algebra
from ..symbolic.decay import log_decay
from ..symbolic.model import Model
from ..symbolic.read import Atom, Read
from ..symbolic.terms import Term
from ..symbolic.text import text
from .letters import CHANNELS, CHUNK, PAIR, READER, SUM, WRITER, WRITTEN

Names = dict[str, str]


@dataclass(frozen=True)
class _Named:
    """What the formulas call things. decays: state -> the name of its decays. values: what reads the states -> its name."""

    decays: Names
    values: Names
    vectors: frozenset[str]          # the states that are no matrices


def chunk_form(model: Model, groups: tuple[Group, ...], read: Read) -> Iterator[str]:
    """A line a formula, with marks: the states that have one, and what is read of them."""
    yield f"rows of at most {CHUNK} tokens that never cross a segment's end; {READER} and {WRITER} are tokens of a row, {WRITER} the writing one"
    decays, lines = _decays(model, groups)
    yield from lines
    names = _Named(decays, {}, frozenset(n for n, state in model.states.items() if len(state.shape) < 2))
    for group in groups:
        for w in group.unknown:
            plain = "" if w.plain is None else f"{_at(w.plain, READER)} + "
            seen = " + ".join(_contracted(n, y, group.contracted, group, names, True) for n, y in w.reads)
            yield f"{write_name(w, names.values)}[{READER}] = {plain}{seen}"
    for i, atom in enumerate(read.atoms):
        group = next((g for g in groups if atom.state in g.states), None)
        if group is not None:
            yield f"read{i + 1}[{READER}] = {_read(atom, group, names)}"
    for group in groups:
        for name in group.states:
            yield f"next {name} = {_whole(name, group, names, CHUNK, '')}"
    if any(g.unknown for g in groups):
        yield f"the values {WRITTEN} of a row solve a triangular system; their keys' products do not need the state"
    if any(name.startswith(SUM) for name in decays.values()):
        yield "differences are masked before exp, so no factor exceeds what the decays themselves give"


def _decays(model: Model, groups: tuple[Group, ...]) -> tuple[Names, list[str]]:
    """state -> the name of its decays' running sum ('' for none), and what these are."""
    algebra, logs, names = Algebra(model.inputs), [], {}
    for group in groups:
        for name in group.states:
            factor = group.factors[name, name]
            if factor.diagonal:
                continue
            log, _ = log_decay(factor.scalar, algebra)
            if log is None:
                continue
            at = next((i for i, x in enumerate(logs) if x is log or algebra.equal(log, x)), len(logs))
            logs += [log] * (at == len(logs))
            names[name] = str(at + 1)
    names = {n: SUM if len(logs) == 1 else SUM + i for n, i in names.items()}
    lines = [f"{name}[{READER}] = sum of {text(log)} over the row's tokens up to {READER}"
             for name, log in zip(dict.fromkeys(names.values()), logs)]
    for group in groups:
        for name in group.states:
            factor = group.factors[name, name]
            if factor.diagonal:
                names[name] = CHANNELS + name
                row = "row" if len(model.states[name].shape) == 2 else "entry"
                for side, which, t in zip(_sides(names[name], factor), (row, "column"), (factor.rows, factor.cols)):
                    if t is not None:
                        lines.append(f"{side}[{WRITER}:{READER}] = product of {text(t)}, a factor for each {which} of {name}, over the tokens "
                                     f"after {WRITER} up to {READER}; {side}[:{READER}]: over all up to {READER}")
            elif any(i == name != j for i, j in group.factors):
                names[name] = PAIR + name
                lines.append(f"{PAIR}{name}[{WRITER}:{READER}] = how much of what {WRITER} wrote to {' and '.join(group.states)} is in {name} at {READER}, "
                             f"{PAIR}{name}[:{READER}]: of what they were before the row; sums of products of factors")
    return names, lines


@dataclass(frozen=True)
class _Weight:
    """What is left of a part of a state: a factor of the whole, and one for each entry along either axis. '' for none, else with its '*'."""

    whole: str = ""
    sides: tuple[str, str] = ("", "")


def _sides(name: str, factor: Factor) -> tuple[str, str]:
    """The names of the factors along either axis; '' for none."""
    both = factor.rows is not None and factor.cols is not None
    rows, cols = (name + (end if both else "") for end in (".rows", ".cols"))
    return rows if factor.rows is not None else "", cols if factor.cols is not None else ""


def _weights(name: str, group: Group, names: _Named, at: str) -> tuple[_Weight, _Weight]:
    """Of the state at the row's start, and of what token d wrote, in the state at `at`."""
    g = names.decays.get(name, "")
    if not g:
        return _Weight(), _Weight()
    if g.startswith(CHANNELS):
        rows, cols = _sides(g, group.factors[name, name])
        start, gap = (_Weight(sides=(rows and f"{rows}[{since}:{at}] * ", cols and f"{cols}[{since}:{at}] * ")) for since in ("", WRITER))
        return start, gap
    if g.startswith(PAIR):
        return _Weight(f"{g}[:{at}] * "), _Weight(f"{g}[{WRITER}:{at}] * ")
    return _Weight(f"exp({g}[{at}]) * "), _Weight(f"exp({g}[{at}] - {g}[{WRITER}]) * ")


def _read(atom: Atom, group: Group, names: _Named) -> str:
    late = atom.when == "old"
    if atom.kind == "whole":
        return _whole(atom.state, group, names, f"{READER}-1" if late else READER, f" {'<' if late else '<='} {READER}")
    return _contracted(atom.state, atom.query, int(atom.kind == "cols"), group, names, late)


def _whole(name: str, group: Group, names: _Named, at: str, tokens: str) -> str:
    """A state at a token of the row, or at its end: what is left of the one before, and of what these tokens wrote."""
    start, gap = _weights(name, group, names, at)
    parts = [start.whole + _scaled(_before(name, group, names.decays.get(name, "")), start.sides, name in names.vectors)]
    parts += [f"sum over {WRITER}{tokens}: {gap.whole}{_written(w, name, group, names.values, gap.sides)}" for w in group.writes if name in dict(w.keys)]
    return " + ".join(parts)


def _contracted(name: str, query: Term, axis: int, group: Group, names: _Named, late: bool) -> str:
    """A state contracted along an axis with a query, as token c sees it."""
    start, gap = _weights(name, group, names, f"{READER}-1" if late else READER)
    asked = _at(query, READER)
    state = _before(name, group, names.decays.get(name, ""))
    weighed = start.sides[axis] + asked
    if name in names.vectors:
        old = f"dot({state}, {weighed})"
    else:
        old = f"{state}{'' if axis else '.T'} @ {f'({weighed})' if start.sides[axis] else asked}"
        old = f"{start.sides[1 - axis]}({old})" if start.sides[1 - axis] else old
    parts = [start.whole + old]
    for w in group.writes:
        if name not in dict(w.keys):
            continue
        key, value = _key(w, name), _value(w, names.values)
        against, other = (key, value) if axis == group.contracted else (value, key)
        met = f"dot({asked}, {gap.sides[axis]}{against})" + ("" if other == "1" else f" * {gap.sides[1 - axis]}{other}")
        parts.append(f"sum over {WRITER} {'<' if late else '<='} {READER}: {gap.whole}{met}")
    return " + ".join(parts)


def _scaled(state: str, sides: tuple[str, str], vector: bool) -> str:
    if vector:
        return sides[0] + state
    rows, cols = (side.removesuffix(" * ") for side in sides)
    return (f"diag({rows}) @ " if rows else "") + state + (f" @ diag({cols})" if cols else "")


def _before(name: str, group: Group, weight: str) -> str:
    """The states before the row that a weight from its start belongs to."""
    return f"({', '.join(group.states)})" if weight.startswith(PAIR) else name


def _matrix(w: Write, group: Group) -> bool:
    return bool(w.reads) or w.plain is not None and bool(w.plain.shape)


def _written(w: Write, name: str, group: Group, values: Names, sides: tuple[str, str]) -> str:
    key, value = _key(w, name), _value(w, values)
    if key == "1" or value == "1":
        return sides[0] + (value if key == "1" else key)
    if not _matrix(w, group):
        return f"{sides[0]}{value} * {key}"
    rows, cols = (key, value) if group.contracted == 0 else (value, key)
    return f"outer({sides[0]}{rows}, {sides[1]}{cols})"


def _key(w: Write, name: str) -> str:
    coef, key = dict(w.keys)[name]
    one = coef.op == "num" and coef["value"] == 1
    spelled = "" if key is None else _at(key, WRITER)
    return spelled if one and spelled else _at(coef, WRITER) + (f" * {spelled}" if spelled else "") if not one else "1"


def _value(w: Write, values: Names) -> str:
    if w.reads:
        return write_name(w, values) + f"[{WRITER}]"
    return "0" if w.plain is None else _at(w.plain, WRITER)


# -- what a token writes, in the words of the spec ---------------------------------------------------------------------

def write_name(w: Write, values: Names) -> str:
    """The name of a value that reads the states."""
    return values.setdefault(repr(id(w)), f"{WRITTEN}{len(values) + 1}")


def write_text(w: Write, name: str, group: Group, values: Names) -> str:
    """What a token adds to a state."""
    coef, key = dict(w.keys)[name]
    value = write_name(w, values) if w.reads else "0" if w.plain is None else text(w.plain)
    scale = times_text(coef)
    if key is None:
        return scale + value
    if not _matrix(w, group):
        return scale + (text(key) if value == "1" else f"{_inside(w.plain) if not w.reads else value} * {text(key)}")
    pair = (text(key), value) if group.contracted == 0 else (value, text(key))
    return f"{scale}outer({', '.join(pair)})"


def read_text(w: Write, group: Group) -> str:
    """What a value that reads the states is."""
    parts = [] if w.plain is None else [text(w.plain)]
    for n, y in w.reads:
        asked = f"({text(y)})" if y.op in ("add", "sub", "mul", "div", "neg") else text(y)
        parts.append(f"{n}.T @ {asked}" if group.contracted == 0 else f"{n} @ {asked}")
    return " + ".join(parts)


def times_text(t: Term) -> str:
    return "" if t.op == "num" and t["value"] == 1 else f"{_inside(t)} * "


def _inside(t: Term) -> str:
    return f"({text(t)})" if t.op in ("add", "sub") else text(t)


def _at(t: Term, token: str) -> str:
    """The term's value at a token."""
    spelled = text(t)
    if t.op in ("num", "const"):
        return spelled
    return f"{spelled}[{token}]" if spelled.isidentifier() or spelled.endswith(")") and t.op not in ("add", "sub", "mul", "div", "neg") \
        else f"({spelled})[{token}]"
