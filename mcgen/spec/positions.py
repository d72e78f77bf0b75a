"""Where each character of a YAML scalar stands in its file."""
from __future__ import annotations

from bisect import bisect_right

from ..diagnostics import Pos

_ESCAPES = {"x": 2, "u": 4, "U": 8}


class Source:
    """A text with a name, that turns character offsets into places."""

    def __init__(self, name: str, text: str):
        self.name = name
        self.text = text
        self.lines = text.split("\n")
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line) + 1)

    def pos(self, start: int, end: int | None = None) -> Pos:
        """The place of text[start:end], cut at the end of its line."""
        start = max(0, min(start, len(self.text)))
        row = min(bisect_right(self.starts, start) - 1, len(self.lines) - 1)
        line = self.lines[row]
        column = start - self.starts[row]
        stop = len(line) if end is None else min(end - self.starts[row], len(line))
        return Pos(self.name, row + 1, column + 1, max(1, stop - column), line)


def align(raw: str, start: int, value: str, style: str | None) -> list[int]:
    """For each character of `value` its offset in the source, plus one entry for the end.

    `raw` is the source text of the scalar, `start` its offset, `style` as PyYAML has it (None, ', ", | or >).
    Exact for one-line scalars and block scalars; escapes in double quotes are followed as far as they are simple.
    """
    at = 0
    if style in ("|", ">"):
        at = raw.find("\n") + 1
    elif style in ("'", '"'):
        at = 1
    offsets = []
    for char in value:
        if char in " \n":
            offsets.append(start + min(at, len(raw)))
            if at < len(raw) and raw[at] in " \n":
                at += 1
                if offsets[-1] - start < len(raw) and raw[offsets[-1] - start] == "\n" or char == "\n":
                    while at < len(raw) and raw[at] in " \n":
                        at += 1
            continue
        while at < len(raw) and (raw[at] != char and raw[at] in " \n" or style == '"' and raw.startswith("\\\n", at)):
            at += 2 if raw[at] == "\\" else 1          # a line break that the double quotes escape
        offsets.append(start + min(at, len(raw)))
        if style == '"' and at + 1 < len(raw) and raw[at] == "\\":
            at += 2 + _ESCAPES.get(raw[at + 1], 0)
        elif style == "'" and char == "'":
            at += 2
        else:
            at += 1
    offsets.append(start + min(at, len(raw)))
    return offsets
