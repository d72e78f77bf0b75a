"""Random expressions: vectors, scalars and matrices of what a token brings, and of other leaves that a place has."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Sequence

from .draft import Draft, Shape

LOG, UNIT_INTERVAL, SIGNED, POSITIVE = ["-inf", 0], [0, 1], [-1, 1], [0, "inf"]
SMOOTH = ("tanh", "sigmoid", "silu", "gelu", "softplus", "logsigmoid")
KINKED = ("relu", "abs")
ROWWISE = ("l2norm", "layernorm", "softmax")


@dataclass
class Place:
    """Where an expression stands. leaves: further values by shape; shifts: whether delay and window are legal here; cache: whether
    inputs that are asked for are the cache's."""

    leaves: dict[Shape, list[str]] = field(default_factory=dict)
    shifts: bool = True
    cache: bool = False


TOKEN = Place()


def number(d: Draft) -> str:
    """A number of moderate size: written out, or a named constant."""
    value = d.pick("0.5", "1", "2", "0.25", "-0.5", "0")
    return d.constant(value) if d.chance(1, 8) else value


def rate(d: Draft) -> str:
    """A scalar in [0, 1]."""
    return d.one_of(
        lambda: d.input((), UNIT_INTERVAL),
        lambda: f"exp({d.input((), LOG)})",
        lambda: d.pick("0.9", "0.5", "1"),
        lambda: f"sigmoid({scalar(d, 0)})",
        lambda: f"(1 - {d.input((), UNIT_INTERVAL)})",
        lambda: f"exp(-softplus({d.input(())}))",
        lambda: f"(1 / (1 + {d.input((), POSITIVE)}))",
        lambda: f"({d.input((), UNIT_INTERVAL)} * exp({d.input((), LOG)}))",
    )


def decay(d: Draft) -> str:
    """A scalar in [-1, 1]."""
    return d.one_of(*(lambda: rate(d),) * 4, lambda: d.input((), SIGNED), lambda: f"tanh({scalar(d, 0)})", lambda: f"(-{rate(d)})")


def decays(d: Draft, dim: str | int) -> str:
    """A vector with entries in [-1, 1]."""
    return d.one_of(
        lambda: f"exp({d.input((dim,), LOG)})",
        lambda: d.input((dim,), UNIT_INTERVAL),
        lambda: f"sigmoid({vector(d, dim, 0)})",
        lambda: d.input((dim,), SIGNED),
        lambda: f"({rate(d)} * exp({d.input((dim,), LOG)}))",
        lambda: f"(1 - {d.input((dim,), UNIT_INTERVAL)})",
    )


def unit(d: Draft, dim: str | int) -> str:
    """A vector of length 1 at most."""
    return d.one_of(*(lambda: d.input((dim,), "unit"),) * 3, lambda: f"l2norm({vector(d, dim, 0)})", lambda: f"softmax({vector(d, dim, 0)})")


def vector(d: Draft, dim: str | int, fuel: int = 2, place: Place = TOKEN) -> str:
    known = place.leaves.get((dim,), [])
    leaf = lambda: d.input((dim,), d.pick("real", "real", "unit"), place.cache)
    if fuel <= 0:
        return d.one_of(leaf, *(lambda x=x: x for x in known))
    sub = lambda: vector(d, dim, fuel - 1, place)
    few = lambda: scalar(d, fuel - 1, place)
    options = [leaf, leaf, *(lambda x=x: x for x in known * 3),
               lambda: f"({sub()} {d.pick('+', '-', '*')} {sub()})", lambda: f"({few()} * {sub()})", lambda: f"{d.pick(*SMOOTH)}({sub()})",
               lambda: f"{d.pick(*ROWWISE)}({sub()})", lambda: f"(-{sub()})",
               lambda: f"({sub()} / (1 + {d.pick('abs', 'exp', 'softplus')}({few()})))", lambda: f"{d.pick(*KINKED)}({sub()})",
               lambda: f"{d.pick('maximum', 'minimum')}({sub()}, {d.pick(sub, few)()})", lambda: f"huber({sub()}, {d.pick('0.5', '1')})",
               lambda: f"where({comparison(d, fuel - 1, place)}, {sub()}, {sub()})", lambda: f"(({sub()})**{d.pick('2', '3')})",
               lambda: rarely(d, lambda: _product(d, dim, fuel, place), sub),
               lambda: f"where({sub()} < {few()}, {sub()}, {few()})", lambda: f"sqrt(0.1 + abs({sub()}))",
               lambda: rarely(d, lambda: f"sum({matrix(d, dim, d.axis(), fuel - 1, place)}, 1)", sub)]
    if place.shifts:
        options += [lambda: f"delay({vector(d, dim, fuel - 1)}, {d.pick(1, 2, 3)})", lambda: f"window({vector(d, dim, fuel - 1, Place(place.leaves, False, place.cache))}, {d.pick(2, 3)})"]
    if not known and place is TOKEN:
        options += [lambda: d.let(vector(d, dim, fuel - 1))]
    return d.one_of(*options)


def rarely(d: Draft, one: Callable[[], str], other: Callable[[], str]) -> str:
    return one() if d.chance(1, 4) else other()


def _product(d: Draft, dim: str | int, fuel: int, place: Place) -> str:
    """A matrix of learned constants, sometimes any, with a vector."""
    inner = d.axis()
    left = d.input((dim, inner), per="head") if d.chance(3, 4) else matrix(d, dim, inner, fuel - 1, place)
    return f"({left} @ {vector(d, inner, fuel - 1, place)})"


def scalar(d: Draft, fuel: int = 2, place: Place = TOKEN) -> str:
    known = place.leaves.get((), [])
    leaf = lambda: d.input((), "real", place.cache)
    if fuel <= 0:
        return d.one_of(leaf, lambda: number(d), *(lambda x=x: x for x in known))
    sub = lambda: scalar(d, fuel - 1, place)
    options = [leaf, lambda: number(d), *(lambda x=x: x for x in known * 3), lambda: d.input((), UNIT_INTERVAL, place.cache),
               lambda: _dot(d, fuel, place), lambda: f"{d.pick('sum', 'mean', 'norm')}({vector(d, d.axis(), fuel - 1, place)})",
               lambda: f"({sub()} {d.pick('+', '-', '*')} {sub()})", lambda: f"{d.pick(*SMOOTH)}({sub()})", lambda: f"{d.pick(*KINKED)}({sub()})",
               lambda: f"{d.pick('maximum', 'minimum')}({sub()}, {sub()})", lambda: f"({sub()} / (1 + abs({sub()})))",
               lambda: f"where({comparison(d, fuel - 1, place)}, {sub()}, {sub()})", lambda: f"{vector(d, d.axis(), 0, place)}[0]",
               lambda: f"exp({d.input((), LOG, place.cache)})", lambda: f"log(1 + ({sub()})**2)", lambda: f"huber({sub()}, 1)"]
    if place.shifts:
        options += [lambda: f"delay({scalar(d, fuel - 1)}, {d.pick(1, 2)})"]
    return d.one_of(*options)


def comparison(d: Draft, fuel: int, place: Place = TOKEN) -> str:
    return f"{scalar(d, fuel, place)} {d.pick('<', '>', '<=', '>=')} {scalar(d, fuel, place)}"


def _dot(d: Draft, fuel: int, place: Place) -> str:
    dim = d.axis()
    return f"dot({vector(d, dim, fuel - 1, place)}, {vector(d, dim, fuel - 1, place)})"


def matrix(d: Draft, rows: str | int, columns: str | int, fuel: int = 1, place: Place = TOKEN) -> str:
    known = place.leaves.get((rows, columns), [])
    leaf = lambda: f"outer({vector(d, rows, fuel - 1, place)}, {vector(d, columns, fuel - 1, place)})"
    options = [leaf, leaf, leaf, *(lambda x=x: x for x in known), lambda: d.input((rows, columns), "real", place.cache)]
    if rows == columns:
        options += [lambda: f"diag({vector(d, rows, fuel - 1, place)})", lambda: f"eye({rows})"]
    if fuel > 0:
        sub = lambda: matrix(d, rows, columns, fuel - 1, place)
        options += [lambda: f"({sub()} + {sub()})", lambda: f"({scalar(d, fuel - 1, place)} * {sub()})",
                    lambda: f"({matrix(d, rows, rows, fuel - 1, place)} @ {matrix(d, rows, columns, fuel - 1, place)})",
                    lambda: f"{matrix(d, columns, rows, fuel - 1, place)}.T", lambda: f"tanh({sub()})"]
    return d.one_of(*options)


def total(terms: Sequence[str]) -> str:
    return " + ".join(terms)
