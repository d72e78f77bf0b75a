"""The chunk form of a model as formulas: what `mcgen.passes.states` builds, for people to read."""
from __future__ import annotations

from typing import Iterator

from ..symbolic.affine import Group, Write
from ..symbolic.algebra import Algebra
from ..symbolic.decay import log_decay
from ..symbolic.model import Model
from ..symbolic.read import Atom, Read
from ..symbolic.terms import Term
from ..symbolic.text import text
from .letters import CHANNELS, CHUNK, PAIR, READER, SUM, WRITER, WRITTEN

Names = dict[str, str]           # decays by their spelling, values by theirs


def chunk_form(model: Model, groups: tuple[Group, ...], read: Read) -> Iterator[str]:
    """A line a formula, with marks: the states that have one, and what is read of them."""
    yield f"rows of at most {CHUNK} tokens that never cross a segment's end; {READER} and {WRITER} are tokens of a row, {WRITER} the writing one"
    names, decays = _decays(model, groups)
    yield from decays
    values: Names = {}
    for group in groups:
        for w in group.unknown:
            plain = "" if w.plain is None else f"{_at(w.plain, READER)} + "
            seen = " + ".join(_contracted(n, y, group.contracted, group, names, values, True) for n, y in w.reads)
            yield f"{write_name(w, values)}[{READER}] = {plain}{seen}"
    for i, atom in enumerate(read.atoms):
        group = next((g for g in groups if atom.state in g.states), None)
        if group is not None:
            yield f"read{i + 1}[{READER}] = {_read(atom, group, names, values)}"
    for group in groups:
        for name in group.states:
            yield f"next {name} = {_next(name, group, names, values)}"
    if any(g.unknown for g in groups):
        yield f"the values {WRITTEN} of a row solve a triangular system; their keys' products do not need the state"
    if any(name.startswith(SUM) for name in names.values()):
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
                what = " and ".join(f"{text(t)} for each {side}" for side, t in (("row", factor.rows), ("column", factor.cols)) if t is not None)
                lines.append(f"{CHANNELS}{name}[{WRITER}:{READER}] = product of the factors of the tokens after {WRITER} up to {READER}: {what} of {name}; "
                             f"{CHANNELS}{name}[:{READER}]: of all up to {READER}")
            elif any(i == name != j for i, j in group.factors):
                names[name] = PAIR + name
                lines.append(f"{PAIR}{name}[{WRITER}:{READER}] = how much of what {WRITER} wrote to {' and '.join(group.states)} is in {name} at {READER}, "
                             f"{PAIR}{name}[:{READER}]: of what they were before the row; sums of products of factors")
    return names, lines


def _weight(name: str, names: Names, late: bool) -> tuple[str, str]:
    """The weight from the row's start, and from a token, to what token c reads."""
    g, at = names.get(name, ""), f"{READER}-1" if late else READER
    if not g:
        return "", ""
    if g.startswith((CHANNELS, PAIR)):
        return f"{g}[:{at}] * ", f"{g}[{WRITER}:{at}] * "
    return f"exp({g}[{at}]) * ", f"exp({g}[{at}] - {g}[{WRITER}]) * "


def _read(atom: Atom, group: Group, names: Names, values: Names) -> str:
    late = atom.when == "old"
    if atom.kind == "whole":
        start, gap = _weight(atom.state, names, late)
        parts = [start + _before(atom.state, group, names.get(atom.state, ""))]
        parts += [f"sum over {WRITER} {'<' if late else '<='} {READER}: {gap}{_written(w, atom.state, group, values)}" for w in group.writes if atom.state in dict(w.keys)]
        return " + ".join(parts)
    return _contracted(atom.state, atom.query, int(atom.kind == "cols"), group, names, values, late)


def _contracted(name: str, query: Term, axis: int, group: Group, names: Names, values: Names, late: bool) -> str:
    """A state contracted along an axis with a query, as token c sees it."""
    start, gap = _weight(name, names, late)
    vector = not any(w.keys and dict(w.keys).get(name, (None, None))[1] is not None and _matrix(w, group) for w in group.writes)
    asked = _at(query, READER)
    state = _before(name, group, names.get(name, ""))
    old = f"dot({state}, {asked})" if vector else f"{state} @ {asked}" if axis else f"{state}.T @ {asked}"
    parts = [start + old]
    for w in group.writes:
        if name not in dict(w.keys):
            continue
        key, value = _key(w, name), _value(w, values)
        against, other = (key, value) if axis == group.contracted else (value, key)
        met = f"dot({asked}, {against})" + ("" if other == "1" else f" * {other}")
        parts.append(f"sum over {WRITER} {'<' if late else '<='} {READER}: {gap}{met}")
    return " + ".join(parts)


def _before(name: str, group: Group, weight: str) -> str:
    """The states before the row that a weight from its start belongs to."""
    return f"({', '.join(group.states)})" if weight.startswith(PAIR) else name


def _matrix(w: Write, group: Group) -> bool:
    return bool(w.reads) or w.plain is not None and bool(w.plain.shape)


def _next(name: str, group: Group, names: Names, values: Names) -> str:
    g = names.get(name, "")
    whole, gap = ("", "") if not g else (f"{g}[:{CHUNK}] * ", f"{g}[{WRITER}:{CHUNK}] * ") if g.startswith((CHANNELS, PAIR)) else \
        (f"exp({g}[{CHUNK}]) * ", f"exp({g}[{CHUNK}] - {g}[{WRITER}]) * ")
    parts = [whole + _before(name, group, g)]
    parts += [f"sum over {WRITER}: {gap}{_written(w, name, group, values)}" for w in group.writes if name in dict(w.keys)]
    return " + ".join(parts)


def _written(w: Write, name: str, group: Group, values: Names) -> str:
    key, value = _key(w, name), _value(w, values)
    if key == "1" or value == "1":
        return value if key == "1" else key
    if not _matrix(w, group):
        return f"{value} * {key}"
    return f"outer({key}, {value})" if group.contracted == 0 else f"outer({value}, {key})"


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
