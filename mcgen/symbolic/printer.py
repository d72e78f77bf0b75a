"""Prints a model as a program of the token level: what one token does, in the grammar of mcgen/ir/grammar.md."""
from __future__ import annotations

from ..ir.printer import number
from .model import Model
from .terms import Shape, Term, walk


def print_model(model: Model) -> str:
    """The rule as text: inputs and the states before the token in; the states after it, the read and the cache's formulas out."""
    results = [(name, "state", t) for name, t in model.update.items()]
    if model.objective is not None:
        results.append(("objective", "token", model.objective))
    results += [(name, "end", t) for name, t in model.end.items()]
    results.append(("read", "token", model.read))
    if model.cache is not None:
        kind, expr = model.cache.summary or (None, None)
        results += [(name, kind, t) for name, kind, t in (("summary", kind, expr), ("score", "memory", model.cache.score), ("weight", "memory", model.cache.weight))
                    if t is not None]
    if model.output is not None:
        results.append(("y", "token", model.output))
    params = [f"{i.name}: {i.per}{_axes(i.shape)}" for i in model.inputs.values()]
    params += [f"{s.name}: state{_axes(s.shape)}" for s in model.states.values()]
    names: dict[int, str] = {}
    lines: list[str] = []
    for t in walk(*model.constants.values(), *(t for _, _, t in results)):
        leaf = _leaf(t)
        names[id(t)] = leaf or f"%{len(lines)}"
        if leaf is None:
            lines.append(_statement(t, names))
    constants = [f"  constant {name} = {names[id(t)]}" for name, t in model.constants.items()]
    returned = [f"  return {name}: {kind}{_axes(t.shape)} = {names[id(t)]}" for name, kind, t in results]
    return "\n".join([f"prog {model.name}({', '.join(params)}) {{", *lines, *constants, *returned, "}"])


def _leaf(t: Term) -> str | None:
    """A leaf is its name; a state after the token is new.<name>."""
    match t.op:
        case "num":
            return number(t["value"])
        case "input" | "online" | "const":
            return t["name"]
        case "state":
            return t["name"] if t["when"] == "old" else f"new.{t['name']}"
    return None


def _statement(t: Term, names: dict[int, str]) -> str:
    args = ", ".join(names[id(a)] for a in t.args)
    attrs = "".join(f" {k}={v}" for k, v in t.attrs if v is not None)
    where = f"  # {t.pos.file}:{t.pos.line}" if t.pos.line else ""
    return f"  {names[id(t)]}: f{_axes(t.shape)} = {t.op}({args}){attrs}{where}"


def _axes(shape: Shape) -> str:
    return f"[{', '.join(map(str, shape))}]"
