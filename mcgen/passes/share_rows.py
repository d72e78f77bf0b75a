"""Statements of a token that run along the same rows of a memory share one loop over these rows: a row stays in registers and
the nearest cache from the first statement to the last, and what they hand to each other is one row, not a matrix.

    m = f(s); p = sum(m * q over V); s = g(m)     ->     along K { m = f(s); p = sum(m * q over V); s = g(m) }
    y = sum(s * q over K)                         ->     y = 0; along K { y += s * q }
"""
from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..ir import kernel as kr
from .join import reads_of, writes_of


def share_rows(kernel: kr.Kernel) -> kr.Kernel:
    """In place. Ensures: the same values up to rounding, and no tile that is not used."""
    kernel.rows = [_token_loop(s, kernel) if isinstance(s, kr.Loop) and s.kind.startswith("tokens") else s for s in kernel.rows]
    return kernel


def _token_loop(loop: kr.Loop, kernel: kr.Kernel) -> kr.Loop:
    waiting, made = list(loop.body), []
    while waiting:
        group = _Group(_axis(waiting[0]))
        if group.axis is None or not group.takes(waiting[0]):
            made.append(waiting.pop(0))
            continue
        later: list = []
        for s in waiting:
            if group.takes(s) and not any(clash(s, other) for other in later):
                group.add(s)
            else:
                later.append(s)
        made += group.emitted(kernel) if sum(map(_matrix, group.statements)) > 1 else group.statements
        waiting = later
    return replace(loop, body=tuple(made))


def _axis(s) -> str | None:
    """The rows that a statement on a matrix runs along: the first axis of a matrix in it."""
    if not isinstance(s, (kr.Map, kr.Reduce)) or not _matrix(s):
        return None
    for ref in (s.dst, *reads_of(s)):
        if len(_own(ref)) > 1:
            return None if _own(ref)[0].strip("~'.").isdigit() else _own(ref)[0]
    return None


def _own(ref: kr.Ref) -> tuple[str, ...]:
    return tuple(a for a in ref.axes if a not in ("c", "n", "l"))


def _matrix(s) -> bool:
    return len(_own(s.dst)) + (len(s.over) if isinstance(s, kr.Reduce) else 0) > 1


def _cheap(e: kr.Expr) -> bool:
    return e.op in ("ref", "num", "size", "add", "sub", "mul", "neg") and all(map(_cheap, e.args))


def clash(s, other) -> bool:
    """Whether two statements may not change places."""
    mine, its = {r.storage for r in writes_of(s)}, {r.storage for r in writes_of(other)}
    return bool(mine & its or mine & {r.storage for r in reads_of(other)} or its & {r.storage for r in reads_of(s)})


@dataclass
class _Group:
    """Statements that run along one axis together. Each may use of the others' tiles the row that it is at."""

    axis: str | None
    statements: list = field(default_factory=list)

    def takes(self, s) -> bool:
        if not isinstance(s, (kr.Map, kr.Reduce)) or s.dst.kind != "tile" or s.dst.at is not None or s.dst.precise:
            return False
        summed = isinstance(s, kr.Reduce) and self.axis in s.over
        if isinstance(s, kr.Reduce) and s.kind != "sum" or not summed and self.axis not in s.dst.axes:
            return False
        if not _matrix(s) and not (self.statements and _cheap(s.value)):
            return False                           # a vector is computed faster on its own
        return all(self.rowwise(s, other) for other in self.statements)

    def rowwise(self, s, before) -> bool:
        """Whether all that both use, one of them writing it, is used row by row by both."""
        for one, other in ((s, before), (before, s)):
            for written in writes_of(one):
                met = [r for r in (*reads_of(other), *writes_of(other)) if r.storage == written.storage]
                if met and not all(self.axis in r.axes and r.axes.index(self.axis) == self.place(written) for r in met):
                    return False
        return True

    def place(self, ref: kr.Ref) -> int:
        return ref.axes.index(self.axis) if self.axis in ref.axes else -1

    def add(self, s) -> None:
        self.statements.append(s)

    def emitted(self, kernel: kr.Kernel) -> list:
        behind = self.leave()
        before, body = [], []
        for s in self.statements:
            if isinstance(s, kr.Reduce) and self.axis in s.over:
                over = tuple(a for a in s.over if a != self.axis)
                if not s.accumulate:
                    before.append(kr.Map(s.dst, kr.Expr("num", attr=0.0)))
                s = replace(s, over=over, accumulate=True) if over else kr.Map(s.dst, s.value, True)
            body.append(s)
        for name in self.within(kernel):
            body = [_without(s, name, self.axis) for s in body]
            kernel.tiles = [replace(t, axes=tuple(a for a in t.axes if a != self.axis)) if t.name == name else t for t in kernel.tiles]
        return [*before, kr.Along(self.axis, tuple(body)), *behind]

    def leave(self) -> list:
        """Takes out the vectors that no row waits for: they are computed on their own, after the last row."""
        behind: list = []
        stay: list = []
        for s in reversed(self.statements):
            (stay if _matrix(s) or any(clash(s, other) for other in stay) else behind).insert(0, s)
        self.statements = stay
        return behind

    def within(self, kernel: kr.Kernel) -> list[str]:
        """Tiles that a row fills and nothing outside the group uses."""
        inside: dict[str, int] = {}
        fresh: dict[str, bool] = {}
        for s in self.statements:
            for ref in reads_of(s):
                inside[ref.storage] = inside.get(ref.storage, 0) + 1
                fresh.setdefault(ref.storage, False)
            fresh.setdefault(s.dst.storage, not s.accumulate and self.axis in s.dst.axes)
            inside[s.dst.storage] = inside.get(s.dst.storage, 0) + 1
        everywhere: dict[str, int] = {}
        for s in (*kernel.before, *kernel.rows, *kernel.after):
            for ref in (*reads_of(s), *writes_of(s)):
                everywhere[ref.storage] = everywhere.get(ref.storage, 0) + 1
        return [name for name, ok in fresh.items() if ok and inside[name] == everywhere[name] and "c" not in
                next(t.axes for t in kernel.tiles if t.name == name)]


def _without(s, name: str, axis: str):
    """The statement with a tile that lost an axis."""
    def ref(r: kr.Ref) -> kr.Ref:
        return replace(r, axes=tuple(a for a in r.axes if a != axis)) if r.storage == name else r

    def expr(e: kr.Expr) -> kr.Expr:
        if e.op == "ref":
            return replace(e, attr=ref(e.attr))
        return replace(e, args=tuple(map(expr, e.args))) if e.args else e
    return replace(s, dst=ref(s.dst), value=expr(s.value))
