"""What explanations call a chunk's tokens, the cached memories and so on: names that the spec has not taken."""
from __future__ import annotations

import string
from typing import Iterable, Mapping

from ..symbolic.model import Model

# how `cost` and `chunk_form` call them among themselves: no name of a spec has such a mark. Axes go by their own names
CHUNK, SLOTS, READER, WRITER = "#C", "#N", "#c", "#d"
SUM, CHANNELS, PAIR, WRITTEN = MARKS = ("#G", "#D", "#W", "#w")       # of log decays; of factors; of two states; values that read the states
USUAL = {CHUNK: "C", SLOTS: "N", "c": "c", "d": "d", "mid": "mid", "n": "n"}
Letters = Mapping[str, str]


def letters_for(model: Model) -> Letters:
    """The usual ones, another letter where the spec has the name."""
    return free({*model.dims, *model.inputs, *model.states, *model.lets, *model.constants})


def free(taken: Iterable[str]) -> Letters:
    """
    >>> free({"C", "d", "L"})["#C"], free({"C", "d", "L"})["d"]
    ('M', 'i')
    >>> free({"G2"})["#G"], free({"Gate"})["#G"]
    ('G_', 'G')
    """
    used, chosen = set(taken), {}
    for key, usual in USUAL.items():
        alphabet = string.ascii_uppercase[11:] + string.ascii_uppercase if usual.isupper() else string.ascii_lowercase[8:] + string.ascii_lowercase
        chosen[key] = next((x for x in (usual, *alphabet) if x not in used), usual + "'")
        used.add(chosen[key])
    ends = ("", *string.digits[1:], *used)                  # of the names that begin with a mark's word
    for mark in MARKS:
        chosen[mark] = next(x for x in (mark[1:] + "_" * n for n in range(len(used) + 1)) if not used & {x + end for end in ends})
    return chosen


def worded(line: str, letters: Letters) -> str:
    """A line with marks as people are to read it."""
    for mark, key in ((CHUNK, CHUNK), (SLOTS, SLOTS), (READER, "c"), (WRITER, "d"), *zip(MARKS, MARKS)):
        line = line.replace(mark, letters[key])
    return line
