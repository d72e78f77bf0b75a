"""Which states are computed in chunk form, and which by the scan over tokens: states that read each other go together."""
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Iterable, Mapping

from ..diagnostics import NotLowered
from ..symbolic.affine import Group, collect_affine
from ..symbolic.model import Model
from ..symbolic.read import Read, analyse_read
from ..symbolic.terms import walk


@dataclass(frozen=True)
class Choice:
    """affine: the groups of states in chunk form. scanned: the others, each with the reason. read: over both."""

    affine: tuple[Group, ...]
    scanned: Mapping[str, NotLowered]
    read: Read


def choose(model: Model) -> Choice:
    """Scanned are states whose update is not affine, states that a read needs whole, those that a scanned state's read is
    read with, and all that they read or that read them."""
    read, groups = analyse_read(model.read), _groups(model)
    scanned: dict[str, NotLowered] = {}

    def scan(names: Iterable[str], reason: NotLowered) -> None:
        for name in names:
            for other in groups[name]:
                scanned.setdefault(other, reason)

    for group in dict.fromkeys(groups.values()):
        try:
            collect_affine(_only(model, group))
        except NotLowered as reason:
            scan(group, reason)
    for name, reason in read.whole.items():
        scan([name], reason)
    while True:
        before = len(scanned)
        for atom in read.atoms:
            if scanned.keys() & set(atom.states):
                for inner in atom.inner:
                    scan(read.atoms[inner].states, NotLowered("a read of it that another state is read with", model.read.pos))
        if len(scanned) == before:
            break
    affine = collect_affine(_only(model, [n for n in model.update if n not in scanned]))
    return Choice(affine, {n: scanned[n] for n in model.update if n in scanned}, read)


def _only(model: Model, names: Iterable[str]) -> Model:
    return replace(model, update={n: model.update[n] for n in names})


def _groups(model: Model) -> dict[str, tuple[str, ...]]:
    """State -> all states that it is connected with by updates, itself too, in the spec's order."""
    joined = {name: {name} for name in model.update}
    for name, update in model.update.items():
        for other in {t["name"] for t in walk(update) if t.op == "state"}:
            union = joined[name] | joined[other]
            for member in union:
                joined[member] = union
    return {name: tuple(n for n in model.update if n in joined[name]) for name in model.update}
