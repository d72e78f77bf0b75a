"""When a loop over cached memories may skip the tokens that chose others: what they would add is proved to be 0."""
from __future__ import annotations

from typing import Mapping, Sequence

from ..ir.nodes import Value

# finite wherever their arguments are: a skipped product counts as 0, and 0 must not become infinite or undefined
_TAME = {"add", "sub", "mul", "neg", "div", "where", "abs", "maximum", "minimum", "sign", "tanh", "sigmoid", "relu",
         "lt", "le", "gt", "ge", "eq", "ne", "and", "or"}


def chosen_by(loop: Value, values: Sequence[Value], users: Mapping[int, list[Value]]) -> Value | None:
    """The choice (a topk value) outside which nothing that leaves the loop counts, or None.

    A result counts for nothing outside the choice if it is 0 there, or if all that use it mask it by the choice.
    """
    choices = [v for v in values if v.op == "topk"]
    if len(choices) != 1:
        return None
    choice, body = choices[0], loop["body"]
    if any(v.op == "map" and v["fn"] not in _TAME for v in body.order()):
        return None
    bound = {p.name: a for p, a in zip(body.params, loop.args)}
    outs = {v["index"]: v for v in users.get(id(loop), []) if v.op == "out"}
    for i, result in enumerate(body.results):
        if i in outs and not _silent(result.parts[0][0], choice, bound) and not _masked(outs[i], choice, users):
            return None
    return choice


def _silent(v: Value, choice: Value, bound: Mapping[str, Value]) -> bool:
    """Whether v is proved 0 for tokens that did not choose the memory."""
    if v.op == "param":
        return v["name"] in bound and _silent(bound[v["name"]], choice, {})
    if v.op == "dot":
        return any(_silent(a, choice, bound) for a in v.args)
    if v.op in ("sum", "rename"):
        return _silent(v.args[0], choice, bound)
    if v.op != "map":
        return False
    match v["fn"]:
        case "where":
            zero = v.args[2].op == "const" and v.args[2]["value"] == 0.0
            return zero and (v.args[0] is choice or _silent(v.args[1], choice, bound))
        case "mul":
            return any(_silent(a, choice, bound) for a in v.args)
        case "add" | "sub":
            return all(_silent(a, choice, bound) for a in v.args)
        case "neg" | "div":
            return _silent(v.args[0], choice, bound)
    return False


def _masked(v: Value, choice: Value, users: Mapping[int, list[Value]]) -> bool:
    """Whether everything made of v is masked by the choice before it meets another token or memory."""
    found = users.get(id(v), [])
    for user in found:
        if user.op != "map":
            return False
        if user["fn"] == "where" and user.args[0] is choice and user.args[2].op == "const" and user.args[1] is v:
            continue
        if user["fn"] not in ("mul", "neg", "add", "sub") or "n" not in user.axes or not _masked(user, choice, users):
            return False
    return bool(found)

