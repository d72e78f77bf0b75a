"""Maps and sums along one axis, one after the other, in a single pass: an element is loaded once and kept in a register until
the last statement that uses it.
"""
from __future__ import annotations


from . import statements as st
from .elementwise import Nest
from .emit import Value
from .expr import Expr
from .memory import DYNAMIC, Scope
from .reduce import across, collect, combine, finish, free_axes, lower_map, lower_reduce, start

MOST = 12            # statements of a pass: more would need more registers than there are


def lower_rowwise(scope: Scope, body: list) -> bool:
    """Lowers the statements of a loop's body, if that is all they are; else does nothing and says so."""
    axes = {a for s in body for a in on_axes(scope, s)} if elementwise(body) else set()
    if len(axes) != 1 or len(body) < 2:
        return False
    axis, = axes
    if axis in DYNAMIC or not all(_one_by_one(scope, s, axis) for s in body):
        return False
    waiting = list(body)
    while waiting:
        now, later = _pass(scope, waiting, axis)
        if len(now) > 1:
            _together(scope, now, axis)
        else:
            for s in now:
                (lower_map if isinstance(s, st.Map) else lower_reduce)(scope, s)
        waiting = later
    return True


def elementwise(body: list) -> bool:
    """Whether these are maps and sums of all that there is along their axes."""
    return all(isinstance(s, st.Map) or isinstance(s, st.Reduce) and s.kind == "sum" and s.dst.dtype == "f32" for s in body) and not any(
        s.upto for s in body)


def on_axes(scope: Scope, s) -> list[str]:
    """The axes that a statement loops over itself."""
    return free_axes(scope, s.dst.attr.index) + (free_axes(scope, s.over) if isinstance(s, st.Reduce) else [])


def _one_by_one(scope: Scope, s, axis: str) -> bool:
    """Whether every reference has the axis last and contiguous, or not at all: so that a vector meets one address."""
    values = [s.dst, *s.value.refs()]
    return all(axis not in r.attr.index or r.attr.index.count(axis) == 1 and r.attr.index[-1] == axis for r in values)


def _pass(scope: Scope, waiting: list, axis: str) -> tuple[list, list]:
    """Statements that one pass can do, in order, and the rest: a number that the pass sums up is known only after it."""
    if axis not in on_axes(scope, waiting[0]):
        return [waiting[0]], waiting[1:]
    now: list = []
    later: list = []
    for s in waiting:
        summed = {t.dst.attr.storage.name for t in now if isinstance(t, st.Reduce)}
        fits = axis in on_axes(scope, s) and len(now) < MOST and not summed & touched(s)
        if fits and not any(touched(s) & written(t) or written(s) & touched(t) for t in later):
            now.append(s)
        else:
            later.append(s)
    return now, later


def written(s) -> set[str]:
    return {s.dst.attr.storage.name}


def touched(s) -> set[str]:
    return written(s) | {r.attr.storage.name for r in s.value.refs()}


def _together(scope: Scope, body: list, axis: str) -> None:
    em, nest = scope.em, Keeping(scope)
    sections = nest.sections(axis)
    sums = {id(s): [start(em, "sum", "f32", lanes) for _, lanes, _ in sections] for s in body if isinstance(s, st.Reduce)}
    for i, section in enumerate(sections):
        with nest.section(axis, *section):
            nest.held = {}
            for j, s in enumerate(body):
                if isinstance(s, st.Map):
                    nest.put(s, needed(scope, body, j))
                else:
                    collect(nest, "sum", sums[id(s)][i], "f32", section[1], s.value)
    for s in body:
        if isinstance(s, st.Reduce):
            parts = [across(nest, "sum", em.bind(em.load(t, 0, "f32", lanes))) for t, (_, lanes, _) in zip(sums[id(s)], sections)]
            total = parts[0]
            for part in parts[1:]:
                total = combine(nest, "sum", total, part)
            finish(nest, s, total)


def needed(scope: Scope, body: list, j: int) -> bool:
    """Whether memory must hold what statement j writes: not if the pass writes it again, or is all that uses the tile."""
    dst = body[j].dst
    name = dst.attr.storage.name
    places = {r.attr.index for s in body for r in (s.dst, *s.value.refs()) if r.attr.storage.name == name}
    if len(places) > 1 or dst.dtype != body[j].value.dtype:
        return True
    if any(isinstance(s, st.Map) and s.dst.attr.storage.name == name and s.dst.dtype == s.value.dtype for s in body[j + 1:]):
        return False
    first = next(s for s in body if name in touched(s))
    alone = sum(name in touched(s) for s in body) == scope.uses.get(name)
    filled = isinstance(first, st.Map) and not first.accumulate and name in written(first) and \
        all(r.attr.storage.name != name for r in first.value.refs())
    return not (alone and filled and dst.attr.storage.kind == "tile")


def added(x: Expr, value: Expr) -> Expr:
    """x + value; of a sum of two products one after the other, so that each is added as it is multiplied."""
    if value.op == "add" and all(map(_multiplied, value.args)):
        x, value = added(x, value.args[0]), value.args[1]
    return x + value


def _multiplied(value: Expr) -> bool:
    return value.op == "mul" or value.op in ("neg", "add") and all(map(_multiplied, value.args))


class Keeping(Nest):
    """A nest that remembers what the elements at the current position hold: (tile, axes) -> value."""

    held: dict[tuple, Value]

    def key(self, ref: Expr) -> tuple | None:
        access = ref.attr
        return (access.storage.name, access.index) if access.at is None else None

    def _compute(self, expr: Expr, level: int) -> Value:
        if expr.op == "ref" and self.vector in expr.axes:
            key = self.key(expr)
            if key in self.held:
                return self.held[key]
            found = super()._compute(expr, level)
            if key is not None:
                self.held[key] = found
            return found
        return super()._compute(expr, level)

    def put(self, s: st.Map, needed: bool) -> None:
        """dst = value, or dst += value, and the element is known from now on; stored only if somebody needs it there."""
        key = self.key(s.dst)
        known = key is not None and s.dst.dtype == s.value.dtype
        value = self.value(added(s.dst, s.value) if s.accumulate and known else s.value)
        if not known:
            self.write(s.dst, value, s.accumulate)
            self.held.pop(key, None)
            return
        value = self.em.bind(self.em.spread(value, self.lanes))
        if needed:
            self.write(s.dst, value)
        self.held[key] = value


__all__ = ["lower_rowwise"]
