"""Under which conditions a term counts: the branches of `where` in which it stands. What it adds to a gradient is masked
by them where its derivative is made: the cotangent of a branch that is not taken is 0, but 0 times infinity is not."""
from __future__ import annotations

from typing import Sequence

from .terms import Term
from .tidy import total, where
from .typed import num

# a `where`, whether the branch is the one of its truth, and whether it is enough that one entry takes it; all of a clause
# hold at once, the empty one always
Clause = tuple[tuple[Term, bool, bool], ...]
Clauses = tuple[Clause, ...]
ALWAYS: Clauses = ((),)
LIMIT = 4                        # clauses of one term; beyond: it counts always


def live(nodes: Sequence[Term], root: Term, elementwise: set[str]) -> dict[int, Clauses]:
    """For each node (arguments before users) that the root is made of, the clauses in one of which it counts."""
    found: dict[int, Clauses] = {id(root): ALWAYS}
    for node in reversed(nodes):
        own = found.get(id(node), ())
        for i, arg in enumerate(node.args):
            if not own or node.op == "where" and i < 2:
                continue
            clauses = own
            if node.op == "where":
                clauses = tuple((*c, (node, i == 2, False)) for c in own)
            elif node.op not in elementwise:                   # its entries are no longer those of the condition
                clauses = tuple(tuple((w, taken, True) for w, taken, _ in c) for c in own)
            found[id(arg)] = _either(found.get(id(arg), ()), clauses)
    return found


def _either(one: Clauses, other: Clauses) -> Clauses:
    """The clauses of both, less those that another one implies."""
    every = {frozenset(c): c for c in (*one, *other)}
    kept = tuple(c for held, c in every.items() if not any(weaker < held for weaker in every))
    return kept if len(kept) <= LIMIT else ALWAYS


def masked(clauses: Clauses, part: Term) -> Term:
    """What a term adds to an argument's cotangent, 0 where none of its clauses holds."""
    result = num(0)
    for clause in clauses:
        inside = part
        for node, taken, anywhere in clause:
            a, b = node.args[:2]
            if (a.shape or b.shape) and (anywhere or (a.shape or b.shape) != part.shape):
                some = total(where(node["op"], a, b, num(int(taken)), num(int(not taken))))
                inside = where("gt", some, num(0), inside, result)
            else:
                inside = where(node["op"], a, b, *((inside, result) if taken else (result, inside)))
        result = inside
    return result
