"""Random states and what a token does to them: contractions and writes, gradient steps, nonlinear maps that stay bounded."""
from __future__ import annotations

from .draft import Draft, Shape
from .tokens import POSITIVE, UNIT_INTERVAL, Place, comparison, decay, decays, matrix, number, rate, scalar, total, unit, vector

CALM = ("tanh", "l2norm", "layernorm", "relu", "silu")


def states(d: Draft) -> None:
    """Declares one to three states with their updates."""
    shape = _matrix_shape(d)
    d.one_of(*(lambda: _plain(d, shape),) * 6, *(lambda: _descent(d, shape),) * 3, lambda: _pair(d, shape), lambda: _layers(d))
    for _ in range(d.pick(0, 0, 1, 2)):
        _plain(d, d.one_of(lambda: (d.axis(),), lambda: (), lambda: _matrix_shape(d), lambda: shape))


def declare(d: Draft, shape: Shape) -> str:
    """A state of a shape, from zeros, learned, or from an expression."""
    name = d.name("state")
    init = d.one_of(*(lambda: "zeros",) * 5, lambda: "learned", lambda: _start(d, shape))
    d.rule["state"][name] = {"shape": list(shape), "init": init}
    return name


def _start(d: Draft, shape: Shape) -> str:
    if len(shape) == 2:
        square = [lambda: f"0.5 * eye({shape[0]})"] if shape[0] == shape[1] else []
        return d.one_of(*square, lambda: f"0.3 * {d.input(shape, per='head')}",
                        lambda: f"outer({d.input(shape[:1], 'unit', per='head')}, {d.input(shape[1:], 'unit', per='head')})")
    return d.one_of(lambda: d.input(shape, UNIT_INTERVAL, per="head"), lambda: f"tanh({d.input(shape, per='head')})")


def _matrix_shape(d: Draft) -> Shape:
    a, b, *more = d.dims
    return d.pick((a, b), (a, b), (b, a), (a, a), *((a, c) for c in more), *((c, b) for c in more))


# -- a state on its own -------------------------------------------------------------------------------------------------

def _plain(d: Draft, shape: Shape) -> None:
    name = declare(d, shape)
    if d.chance(1, 20):
        return                                              # keeps its value
    kept = kept_part(d, name, shape, d.pick(1, 2, 3))
    parts = [kept, *(write(d, name, shape) for _ in range(d.pick(1, 1, 2, 0)))]
    update = total(parts)
    d.rule["update"][name] = nonlinear(d, update, name, shape) if d.wild and d.chance(1, 4) else update


def kept_part(d: Draft, x: str, shape: Shape, fuel: int) -> str:
    """A linear function of a state's value `x` that does not grow."""
    if fuel <= 0:
        return x
    sub = lambda: kept_part(d, x, shape, fuel - 1)
    if not d.wild and len(shape) == 2:
        a, b = shape
        return d.one_of(lambda: f"{decay(d)} * {_part(sub())}", sub, lambda: _erased(d, sub(), a), lambda: f"{_step(d, a)}({sub()}, {unit(d, a)})",
                        lambda: f"{_part(x)} @ diag({decays(d, b)})" if fuel == 1 else sub(), lambda: f"diag({decays(d, a)}) @ {_part(sub())}",
                        lambda: f"(eye({a}) - {_step_size(d)} * outer({(k := unit(d, a))}, {k})) @ {_part(sub())}",
                        lambda: f"(0.5 * {_part(y := sub())} + 0.4 * outer({unit(d, a)}, {_part(y)}.T @ {unit(d, a)}))")
    options = [lambda: f"{decay(d)} * {_part(sub())}", sub, lambda: f"(0.5 * {_part(sub())} + 0.5 * {_part(sub())})",
               lambda: f"where({comparison(d, 0)}, {sub()}, {decay(d)} * {_part(sub())})"]
    if len(shape) == 1:
        options += [lambda: f"{decays(d, shape[0])} * {_part(sub())}", lambda: _erased_vector(d, sub(), shape[0])]
    if len(shape) == 2:
        a, b = shape
        options += [lambda: f"diag({decays(d, a)}) @ {_part(sub())}", lambda: f"{_part(sub())} @ diag({decays(d, b)})",
                    *(lambda: _erased(d, sub(), a),) * 2, lambda: _erased_right(d, sub(), b),
                    lambda: f"(eye({a}) - {_step_size(d)} * outer({(k := unit(d, a))}, {k})) @ {_part(sub())}",
                    lambda: f"{_part(sub())} @ (eye({b}) - {_step_size(d)} * outer({(k := unit(d, b))}, {k}))",
                    lambda: f"(0.5 * {_part(y := sub())} + 0.4 * outer({unit(d, a)}, {_part(y)}.T @ {unit(d, a)}))",
                    lambda: f"{_step(d, a)}({sub()}, {unit(d, a)})",
                    lambda: f"outer({decays(d, a)}, {decays(d, b)}) * {_part(sub())}"]
        if a == b:
            options += [lambda: f"{_part(sub())}.T"]
    return d.one_of(*options)


def _part(x: str) -> str:
    """An expression as a factor."""
    return x if x.isidentifier() or (x.startswith("(") and _closes(x) == len(x) - 1) else f"({x})"


def _closes(x: str) -> int:
    depth = 0
    for i, c in enumerate(x):
        depth += (c == "(") - (c == ")")
        if depth == 0:
            return i
    return -1


def _step_size(d: Draft) -> str:
    return d.one_of(lambda: d.input((), UNIT_INTERVAL), lambda: "0.5", lambda: f"sigmoid({scalar(d, 0)})", lambda: "1")


def _erased(d: Draft, x: str, dim: str | int) -> str:
    k, x = unit(d, dim), _part(x)
    return f"({x} - {_step_size(d)} * outer({k}, {x}.T @ {k}))"


def _erased_right(d: Draft, x: str, dim: str | int) -> str:
    k, x = unit(d, dim), _part(x)
    return f"({x} - {_step_size(d)} * outer({x} @ {k}, {k}))"


def _erased_vector(d: Draft, x: str, dim: str | int) -> str:
    k, x = unit(d, dim), _part(x)
    return f"({x} - {_step_size(d)} * dot({k}, {x}) * {k})"


def _step(d: Draft, dim: str | int) -> str:
    """A function X, x -> X with x's direction partly erased."""
    name = d.name("function")
    d.rule["functions"][f"{name}(X1, x1)"] = f"X1 - {_step_size(d)} * outer(x1, X1.T @ x1)"
    return name


# -- what is written ----------------------------------------------------------------------------------------------------

def write(d: Draft, name: str, shape: Shape) -> str:
    """A term without the state itself: of the token, or of another state."""
    others = [n for n in d.rule["state"] if n != name]
    if others and d.chance(1, 3):
        found = _from_state(d, d.pick(*others), shape)
        if found:
            return found
    if len(shape) < 2:
        return d.one_of(lambda: value(d, shape), lambda: f"{rate(d)} * {value(d, shape)}")
    a, b = shape
    outer = lambda: f"outer({d.one_of(lambda: unit(d, a), lambda: vector(d, a))}, {vector(d, b, d.pick(0, 1))})"
    flat = lambda: f"outer({unit(d, a)}, {vector(d, b, 0)})"
    return d.one_of(outer, outer, lambda: f"{rate(d)} * {outer()}", lambda: f"window({rate(d)} * {flat()}, {d.pick(2, 3)})",
                    lambda: f"delay({outer()}, {d.pick(1, 2)})", lambda: f"window({flat()}, 2)", lambda: f"0.5 * {matrix(d, a, b)}" if d.wild else outer(),
                    lambda: f"{d.pick('', '-')}{number(d)} * {outer()}")


def value(d: Draft, shape: Shape) -> str:
    return vector(d, shape[0], d.pick(0, 1)) if shape else scalar(d, d.pick(0, 1))


def _from_state(d: Draft, other: str, shape: Shape) -> str:
    """Something of another state, or '' where nothing fits."""
    there = tuple(d.rule["state"][other]["shape"])
    x = f"new({other})" if other in d.rule["update"] and d.chance(1, 2) else other
    if there == shape:
        return d.pick(x, f"0.3 * {x}")
    if len(shape) == 2:
        if there == shape[1:]:
            return f"outer({unit(d, shape[0])}, {x})"
        if len(there) == 1 and there == shape[:1]:
            return f"0.5 * outer({x}, {vector(d, shape[1], 0)})"
        if len(there) == 2 and there[0] == shape[0] and there[1] == shape[1]:
            return f"outer({unit(d, shape[0])}, {x}.T @ {unit(d, there[0])})"
    if len(shape) == 1 and len(there) == 2:
        if there[1] == shape[0]:
            return f"0.5 * {x}.T @ {unit(d, there[0])}"
        if there[0] == shape[0]:
            return f"0.5 * {x} @ {unit(d, there[1])}"
    if not shape and len(there) == 1:
        return f"dot({x}, {unit(d, there[0])})"
    if not there:
        return f"0.3 * {x} * {value(d, shape) if len(shape) < 2 else f'outer({unit(d, shape[0])}, {unit(d, shape[1])})'}"
    return ""


# -- nonlinear updates: what has no chunk form -----------------------------------------------------------------------------

def nonlinear(d: Draft, update: str, name: str, shape: Shape) -> str:
    options = [lambda: f"tanh({update})", lambda: f"maximum({update}, {decay(d)} * {name})", lambda: f"minimum({update}, 2)",
               lambda: f"where(abs({name}) < 1, {update}, 0.5 * {name})", lambda: f"({update}) / (1 + norm({name}))" if shape else f"silu({update})",
               lambda: f"0.7 * ({update}) + 0.2 * {name} * sigmoid({name})", lambda: f"huber({update}, 0.5)",
               lambda: f"where({comparison(d, 1, Place({(): [f'sum({name})'] if shape else [name]}, shifts=False))}, {update}, {name})"]
    if shape:
        options += [lambda: f"{d.pick(*CALM)}({update})", lambda: f"softmax({update})"]
    return d.one_of(*options)


# -- steps down an objective --------------------------------------------------------------------------------------------------

def _descent(d: Draft, shape: Shape) -> None:
    """A state that descends on an objective at every token, with or without momentum."""
    s = declare(d, shape)
    a, b = shape
    answer, size = d.pick((f"{s}.T @ {unit(d, a)}", b), (f"{s} @ {unit(d, b)}", a))
    target = vector(d, size, d.pick(0, 0, 1))
    error = f"{answer} - {target}"
    d.lines["objective"] = d.one_of(
        *(lambda: f"0.5 * sum(({error})**2)",) * 3, lambda: f"-dot({answer}, {target})", lambda: f"sum(huber({error}, {number(d)}))", lambda: f"sum(huber({error}, {d.input((), POSITIVE)}))",
        lambda: f"0.5 * sum(({error})**2) + 0.1 * sum({s}**2)", lambda: f"0.1 * sum(abs({error})**3)", lambda: f"0.5 * {rate(d)} * sum(({error})**2)",
        lambda: f"0.2 * sum((tanh({answer}) - {target})**2)", lambda: f"0.2 * sum((layernorm({answer}) - {target})**2)",
        lambda: f"-0.3 * sum(logsigmoid({target} * ({answer})))", lambda: f"0.3 * norm({error})", lambda: f"0.3 * log(1 + sum(({error})**2))",
        lambda: f"0.3 * sum(({error}) * delay({target}, 1)) + 0.5 * sum(({error})**2)")
    eta = f"{_step_size(d)} * "
    keep = kept_part(d, s, shape, d.pick(0, 1, 2))
    match d.pick("step", "step", "at", "momentum", "window", "normalised", "twice", "nesterov"):
        case "step":
            d.rule["update"][s] = f"{keep} - {eta}grad({s})"
        case "at":
            d.rule["update"][s] = f"{keep} - {eta}grad({s}, at={keep})"
        case "window":
            d.rule["update"][s] = f"{keep} - window(0.3 * {eta}grad({s}), {d.pick(2, 3)})"
        case "normalised":
            d.rule["update"][s] = f"{keep} - {eta}grad({s}) / (1 + norm(grad({s})))"
        case "twice":
            d.rule["update"][s] = f"{keep} - 0.3 * {eta}grad({s}) - 0.3 * grad({s}, at=0.5 * {s})"
        case form:
            z = declare(d, shape)
            d.rule["update"][z] = f"{rate(d)} * {z} - {eta}grad({s})"
            d.rule["update"][s] = f"{keep} + new({z})" if form == "momentum" else f"{keep} + 0.5 * new({z}) - 0.3 * {eta}grad({s}, at={s} + 0.5 * {z})"


def _pair(d: Draft, shape: Shape) -> None:
    """Two states that read each other: momentum in one direction, or in both."""
    s, z = declare(d, shape), declare(d, shape)
    first, second = (s, z) if d.chance(1, 3) else (z, s)
    source = f"{write(d, z, shape)}"
    d.rule["update"][first] = f"{kept_part(d, first, shape, 1)} + {d.pick('', '0.2 * ')}{source}" + d.pick("", f" - 0.3 * {second}")
    other = d.pick(f"new({first})", first)
    d.rule["update"][second] = f"{kept_part(d, second, shape, d.pick(1, 2))} + {d.pick('0.5 * ', '')}{other}"


def _layers(d: Draft) -> None:
    """A memory of two layers, trained at every token."""
    k, v, *more = d.dims
    hidden = d.pick(k, v, *more)
    x, y = (declare(d, shape) for shape in ((v, hidden), (hidden, k)))
    for name in (x, y):
        d.rule["state"][name]["init"] = "learned"
    f = d.name("function")
    d.rule["functions"][f"{f}(x1)"] = f"{x} @ {d.pick('tanh', 'gelu', 'silu')}({y} @ x1)"
    d.lines["objective"] = f"0.1 * sum(({f}({unit(d, k)}) - {vector(d, v, 0)})**2)"
    for name in (x, y):
        d.rule["update"][name] = f"{rate(d)} * {name} - {d.input((), UNIT_INTERVAL)} * grad({name})"
    d.answer = (f, k, v)
