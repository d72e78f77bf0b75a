"""Steps inside a token as tokens of their own: the axes c and #2. of a tile as one, so that products over both, and
triangular systems in both, are those of matrices."""
from __future__ import annotations

from dataclasses import replace

from . import statements as st
from .expr import Access, Expr, binary
from .memory import Place, Scope, is_step

JOINT = "*"


def merged_dot(scope: Scope, s: st.Dot) -> st.Dot | None:
    """The product with token and step axes joined, without what follows it; None if there are none, or not in pairs."""
    pairs = _pairs((*s.dst.attr.index, *s.over))
    if not pairs or s.upto or s.rows is not None:
        return None
    a, b = s.a, s.b
    if s.scale is not None:
        a, b = (binary("mul", a, s.scale), b) if s.scale.axes <= a.axes else (a, binary("mul", b, s.scale))
    for token, step in pairs:
        if any((token in axes) != (step in axes) for axes in (s.dst.attr.index, s.over, a.axes, b.axes)):
            return None
    written = _view(scope, s.dst, [p for p in pairs if p[0] in s.dst.attr.index])
    if written is None:
        return None
    return st.Dot(written, joined(scope, a, pairs), joined(scope, b, pairs), _join(s.over, pairs), s.accumulate)


def merged_solve(scope: Scope, s: st.Solve) -> st.Solve:
    """The system with token and step axes joined. Requires: x has them side by side."""
    pairs = _pairs(s.matrix.attr.index)
    if not pairs:
        return s
    x = _view(scope, s.x, [p for p in pairs if p[0] in s.x.attr.index])
    if x is None:
        raise ValueError(f"{s.x.attr.storage.name}: the steps of a token lie apart")
    return replace(s, x=x, matrix=joined(scope, s.matrix, pairs))


def _pairs(axes) -> list[tuple[str, str]]:
    return [("d" if x.endswith("~") else "c", x) for x in dict.fromkeys(axes) if is_step(x)]


def _join(axes, pairs) -> tuple[str, ...]:
    both = {token: token + JOINT + step for token, step in pairs}
    return tuple(both.get(a, a) for a in axes if not is_step(a))


def joined(scope: Scope, value: Expr, pairs) -> Expr:
    """A value to be read, with every pair of axes as one: another view of its tile, or a copy where there is none."""
    pairs = [p for p in pairs if p[0] in value.axes]
    if not pairs:
        return value
    view = _view(scope, value, pairs) if value.op == "ref" else None
    if view is None:
        from .reduce import lower_map
        rest = sorted(value.axes - {a for p in pairs for a in p})
        made = scope.temporary(*rest, *(a for p in pairs for a in p)) if len(pairs) == 2 else \
            scope.temporary(*pairs[0], *rest)
        lower_map(scope, st.Map(made, value))
        view = _view(scope, made, pairs)
    return view


def _view(scope: Scope, ref: Expr, pairs) -> Expr | None:
    access: Access = ref.attr
    place = scope.places[access.storage.name]
    if access.at is not None or not place.scratch:
        return None
    index, strides = list(access.index), list(place.strides)
    for token, step in pairs:
        i = index.index(token)
        if i + 1 >= len(index) or index[i + 1] != step or not scope.em.same(strides[i], strides[i + 1] * scope.extent(step)):
            return None
        index[i:i + 2], strides[i:i + 2] = [token + JOINT + step], strides[i + 1:i + 2]
    name = access.storage.name + "".join(JOINT + step for _, step in pairs)
    scope.places[name] = Place(place.buffer, place.base, tuple(index), tuple(strides), place.dtype, True)
    return Expr("ref", (), Access(st.Storage(name, "tile", tuple(index), access.storage.dtype, True), tuple(index)), ref.dtype)
