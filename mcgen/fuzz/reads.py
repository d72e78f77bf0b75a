"""Random reads: products of states with vectors, functions of these, and reads that need a state whole."""
from __future__ import annotations

from .draft import Draft, Shape
from .tokens import Place, scalar, vector


def shapes_of(d: Draft) -> dict[str, Shape]:
    return {n: tuple(s["shape"]) for n, s in d.rule["state"].items()}


def read(d: Draft) -> None:
    """Declares `read`, and sometimes `output`."""
    known = shapes_of(d)
    size = answer_size(d, known)
    atoms = {dim: atoms_of(d, known, dim) for dim in dict.fromkeys([size, *d.dims])}
    main = d.one_of(*(lambda x=x: x for x in atoms[size] or [vector(d, size, 0)]))
    place = Place({(dim,): found for dim, found in atoms.items()} | {(): scalars_of(d, known)}, shifts=False)
    body = d.one_of(*(lambda: main,) * 3, lambda: f"{d.pick('0.5', f'{d.dims[0]}**-0.5')} * {main}",
                    lambda: f"{main} + {d.pick('', '0.5 * ')}{vector(d, size, 1, place)}", lambda: f"{main} / (1 + abs({scalar(d, 1, place)}))",
                    lambda: f"{d.pick('tanh', 'l2norm', 'layernorm', 'silu', 'softmax', 'relu')}({main})", lambda: vector(d, size, 2, place),
                    lambda: whole(d, known, size, main) if d.wild else main)
    d.lines["read"] = body
    if d.chance(1, 4):
        d.lines["output"] = output(d, size)


def answer_size(d: Draft, known: dict[str, Shape]) -> str | int:
    """The dimension of what is read, one that the first state can answer with."""
    first = next(iter(known.values()))
    return d.pick(*reversed(first)) if first else d.axis()


def named(d: Draft, state: str) -> str:
    return f"prev({state})" if d.chance(1, 6) else state


def atoms_of(d: Draft, known: dict[str, Shape], dim: str | int) -> list[str]:
    """Vectors over a dimension that states answer with."""
    found = []
    if d.answer is not None and d.answer[2] == dim:
        f, k, _ = d.answer
        found.append(f"{f}({vector(d, k, 0)})")
    for name, shape in known.items():
        if shape == (dim,):
            found.append(named(d, name))
        if len(shape) == 2 and shape[1] == dim:
            found.append(f"({named(d, name)}.T @ {vector(d, shape[0], d.pick(0, 0, 1))})")
        elif len(shape) == 2 and shape[0] == dim:
            found.append(f"({named(d, name)} @ {vector(d, shape[1], d.pick(0, 0, 1))})")
    return found


def scalars_of(d: Draft, known: dict[str, Shape]) -> list[str]:
    found = []
    for name, shape in known.items():
        if not shape:
            found.append(named(d, name))
        if len(shape) == 1:
            found.append(f"dot({named(d, name)}, {vector(d, shape[0], 0)})")
    return found


def whole(d: Draft, known: dict[str, Shape], size: str | int, main: str) -> str:
    """A read that needs the whole of a state."""
    vectors = [n for n, s in known.items() if s == (size,)]
    if vectors and d.chance(1, 3):
        name = d.pick(*vectors)
        return f"tanh(outer({name}, {name})) @ {vector(d, size, 0)}"
    name = d.pick(*(n for n, s in known.items() if len(s) == 2 and size in s) or ("",))
    if not name:
        return main
    a, b = known[name]
    turned = f"{name}.T" if b == size else name
    q = vector(d, a if b == size else b, 0)
    both, end = f"{name} @ {name}.T", "" if a == size and a != b else ".T"
    systems = [lambda: f"solve({both} + eye({a}), {name}){end} @ {q}", lambda: f"({both} @ {name}){end} @ {q}"]
    if a == size:
        systems += [lambda: f"solve({both} + eye({a}), {vector(d, a, 0)})",
                    lambda: f"solve({both} + eye({a}), {vector(d, a, 0)} + solve({both} + eye({a}), {vector(d, a, 0)}))"]
    if a == b:
        systems += [lambda: f"{name} @ ({name}.T @ {q})", lambda: f"solve(0.1 * {name} + eye({a}), {main})",
                    lambda: f"solve(0.1 * {name} + eye({a}), solve(0.1 * {name}.T + eye({a}), {main}))",
                    lambda: f"solve(0.1 * {name} + eye({a}), {name}.T) @ {q}"]
    return d.one_of(lambda: f"tanh({turned}) @ {q}", lambda: f"{main} / (1 + norm({name}))", lambda: f"sum({name}, {0 if b == size else 1})",
                    lambda: f"softmax({turned}) @ {q}", lambda: f"{main} + {name}[0]" if b == size else f"{main} + {name}.T[0]", *systems)


def output(d: Draft, size: str | int) -> str:
    place = Place({(size,): ["y"]})
    return d.one_of(lambda: f"y + {vector(d, size, 1)}", lambda: f"y * {vector(d, size, 1)}", lambda: f"{d.pick('silu', 'layernorm', 'l2norm')}(y)",
                    lambda: f"y + {scalar(d, 1)} * {vector(d, size, 0)}", lambda: vector(d, size, 2, Place(place.leaves, shifts=False)),
                    lambda: f"y - {vector(d, size, 0)} * dot(y, {vector(d, size, 0)})")
