"""A recorded kernel as text: what its cache key is made of, and what `print` shows."""
from __future__ import annotations

from dataclasses import fields

from .expr import Access, Expr
from .statements import Storage


def text_of(builder) -> str:
    """Every parameter, tile and statement, a line each; shared subexpressions are numbered once."""
    writer = _Writer()
    for storage in (*builder.params, *builder.tiles):
        writer.lines.append(f"{storage.kind} {storage.name} {storage.dims} {storage.dtype} {'out' if storage.out else 'in'} {storage.delay}")
    writer.block(builder.body, "")
    return "\n".join(writer.lines)


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.known: dict[int, tuple[Expr, str]] = {}

    def block(self, body: list, indent: str) -> None:
        for statement in body:
            parts = [f"{f.name}={self.value(getattr(statement, f.name), indent)}" for f in fields(statement) if f.name != "body"]
            self.lines.append(f"{indent}{type(statement).__name__.lower()} {' '.join(parts)}")
            if hasattr(statement, "body"):
                self.block(statement.body, indent + "  ")

    def value(self, value, indent: str) -> str:
        if isinstance(value, Expr):
            return self.expr(value, indent)
        if isinstance(value, tuple):
            return "(" + ",".join(self.value(v, indent) for v in value) + ")"
        return repr(value)

    def expr(self, e: Expr, indent: str) -> str:
        if id(e) in self.known:
            return self.known[id(e)][1]
        match e.op:
            case "ref":
                access: Access = e.attr
                storage: Storage = access.storage
                at = "" if access.at is None else f".at({self.expr(access.at, indent)})"
                return f"{storage.name}{at}[{','.join(access.index)}]"
            case "const":
                return f"{e.dtype}:{e.attr!r}"
            case "scalar" | "iota":
                return f"{e.op}:{e.attr}"
        args = ", ".join(self.expr(arg, indent) for arg in e.args)
        name = f"%{len(self.known)}"
        self.known[id(e)] = (e, name)
        self.lines.append(f"{indent}{name}:{e.dtype} = {e.op}({args}{'' if e.attr is None else f', {e.attr!r}'})")
        return name
