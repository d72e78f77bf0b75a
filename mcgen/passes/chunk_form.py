"""The chunk form of a model as formulas: what `mcgen.passes.states` builds, for people to read."""
from __future__ import annotations

from typing import Iterator, Mapping

from ..symbolic.linear import Write
from ..symbolic.read import Atom, Read
from ..symbolic.terms import Term
from ..symbolic.text import text
from .states import Affine


def chunk_form(affine: Mapping[str, Affine], read: Read) -> Iterator[str]:
    """A line a formula. Requires: the affine form of every state."""
    yield "rows of at most C tokens that never cross a segment's end; c and d are tokens of a row, d the writing one"
    names = _decays(affine)
    for log, name in names.values():
        yield f"{name}[c] = sum of {text(log)} over the row's tokens up to c"
    for i, atom in enumerate(read.atoms):
        yield f"read{i + 1}[c] = {_read(atom, affine[atom.state], names)}"
    for one in affine.values():
        yield f"next {one.name} = {_next(one, names)}"
    if names:
        yield "differences are masked before exp, so no factor exceeds what the decays themselves give"


def _decays(affine: Mapping[str, Affine]) -> dict[int, tuple[Term, str]]:
    """id of a log decay -> (it, the name of its running sum)."""
    logs = {id(a.log): a.log for a in affine.values() if a.log is not None}
    return {key: (log, "G" if len(logs) == 1 else f"G{i + 1}") for i, (key, log) in enumerate(logs.items())}


def _read(atom: Atom, one: Affine, names) -> str:
    late = atom.when == "old"
    g = names[id(one.log)][1] if one.log is not None else ""
    at = f"{g}[c-1]" if late else f"{g}[c]"
    query = "" if atom.query is None else _at(atom.query, "c")
    old = {"rows": f"S.T @ {query}", "cols": f"S @ {query}", "vector": f"dot(S, {query})", "whole": "S"}[atom.kind].replace("S", one.name, 1)
    parts = [f"exp({at}) * {old}" if g else old]
    for w in one.form.writes:
        gap = f"exp({at} - {g}[d]) * " if g else ""
        parts.append(f"sum over d {'<' if late else '<='} c: {gap}{_seen(atom, w, query)}")
    return " + ".join(parts)


def _seen(atom: Atom, w: Write, query: str) -> str:
    """What a read at c takes from the write of token d."""
    key, value = (None if x is None else _at(x, "d") for x in (w.key, w.value))
    coef = _coef(w)
    match atom.kind:
        case "rows":
            return f"dot({query}, {key}) * {coef}{value}"
        case "cols":
            return f"dot({query}, {value}) * {coef}{key}"
        case "vector":
            return f"{coef}dot({query}, {key})"
    return f"{coef}{key}" if key else coef.removesuffix(" * ") or "1"


def _next(one: Affine, names) -> str:
    g = names[id(one.log)][1] if one.log is not None else ""
    parts = [f"exp({g}[C]) * {one.name}" if g else one.name]
    for w in one.form.writes:
        gap = f"exp({g}[C] - {g}[d]) * " if g else ""
        key, value = (None if x is None else _at(x, "d") for x in (w.key, w.value))
        written = f"outer({key}, {value})" if value else key or ""
        parts.append(f"sum over d: {gap}{_coef(w)}{written}".removesuffix(" * "))
    return " + ".join(parts)


def _coef(w: Write) -> str:
    return "" if w.coef.op == "num" and w.coef["value"] == 1 else _at(w.coef, "d") + " * "


def _at(t: Term, token: str) -> str:
    """The term's value at a token."""
    spelled = text(t)
    if t.op in ("num", "const"):
        return spelled
    return f"{spelled}[{token}]" if spelled.isidentifier() or spelled.endswith(")") and t.op not in ("add", "sub", "mul", "div", "neg") \
        else f"({spelled})[{token}]"
