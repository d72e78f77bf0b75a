"""What mcgen says when something is wrong: places, diagnostics, and the exceptions that carry them.

A diagnostic has a stable code, a place in a file, what was expected and, where there is one, the nearest valid name:

    specs/my.yaml:14:22: error[unknown-name]: 'bta' is not an input, state or constant (did you mean 'beta'?)
        S: exp(g) * S + bta * outer(k, v)
                        ^^^

Every exception that a user can meet derives from `McgenError`; its `exit_code` is what the shell returns.
"""
from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import Any, Iterable, Sequence

LINE_WIDTH = 160      # a source line longer than this is shown around the place only
SHOWN = 48            # characters of a foreign name that a message repeats


@dataclass(frozen=True)
class Pos:
    """A place in a source text: 1-based line and column, how many characters it covers, and the line itself."""

    file: str
    line: int
    column: int
    width: int = 1
    text: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


NOWHERE = Pos("<none>", 0, 0)


def quote(name: object) -> str:
    """A name from a file as it appears in a message: quoted, escaped, never long."""
    text = str(name)
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 3] + "...")


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that was probably meant, or None."""
    if len(name) > 64:
        return None
    known = sorted(set(candidates))
    for candidate in known:
        if candidate.lower() == name.lower():
            return candidate
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return close[0] if close else None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """' (did you mean ...?)', or nothing."""
    found = nearest(name, candidates)
    return f" (did you mean {found!r}?)" if found else ""


@dataclass(frozen=True)
class Diagnostic:
    """One finding. `severity` is 'error', or 'note' for what is legal but worth knowing."""

    code: str
    message: str
    pos: Pos = NOWHERE
    hint: str | None = None
    notes: tuple[str, ...] = ()
    severity: str = "error"

    def render(self) -> str:
        place = f"{self.pos}: " if self.pos.line else ""
        lines = [f"{place}{self.severity}[{self.code}]: {self.message}"]
        if self.pos.line and self.pos.text.strip():
            lines += _snippet(self.pos)
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.render()


def _snippet(pos: Pos) -> list[str]:
    """The source line and a line of carets under the place."""
    line = "".join(c if c.isprintable() else " " for c in pos.text)
    start, width = max(pos.column - 1, 0), max(pos.width, 1)
    if len(line) > LINE_WIDTH:
        cut = max(0, start - LINE_WIDTH // 2)
        line, start = line[cut: cut + LINE_WIDTH], start - cut
    line = line.rstrip()
    shift = len(line) - len(line.lstrip())
    shown = line[min(shift, start):]
    start -= min(shift, start)
    width = max(1, min(width, len(shown) - start))
    return [f"    {shown}", "    " + " " * start + "^" * width]


class McgenError(Exception):
    """Base of all errors that mcgen raises on purpose."""

    exit_code = 1


class SpecError(McgenError):
    """The spec is wrong. Holds one or more diagnostics; its text is their rendering."""

    def __init__(self, diagnostics: Diagnostic | Sequence[Diagnostic]):
        items = (diagnostics,) if isinstance(diagnostics, Diagnostic) else tuple(diagnostics)
        self.diagnostics: tuple[Diagnostic, ...] = items
        super().__init__(items)

    @property
    def code(self) -> str:
        return self.diagnostics[0].code if self.diagnostics else ""

    def __str__(self) -> str:
        return "\n".join(d.render() for d in self.diagnostics)


class NotLowered(SpecError):
    """A legal spec that mcgen can't lower: refused by name, never lowered to something else."""

    def __init__(self, what: str, pos: Pos = NOWHERE, hint: str | None = None, notes: Sequence[str] = ()):
        super().__init__(Diagnostic("not-lowered", f"not lowered yet: {what}", pos, hint, tuple(notes)))

    def __reduce__(self) -> tuple[Any, ...]:
        d = self.diagnostics[0]
        return NotLowered, (d.message.removeprefix("not lowered yet: "), d.pos, d.hint, d.notes)


class _Coded(McgenError):
    """An error with a code and a hint, about no place in a file."""

    default_code = "error"

    def __init__(self, message: str, code: str | None = None, hint: str | None = None):
        self.message, self.code, self.hint = message, code or self.default_code, hint
        super().__init__(message, self.code, hint)

    def __str__(self) -> str:
        return f"error[{self.code}]: {self.message}" + (f"\n  hint: {self.hint}" if self.hint else "")


class UsageError(_Coded, ValueError):
    """A bad call: a wrong shape, dtype, device, keyword. Also a ValueError."""

    default_code = "usage"


class EnvironmentLacks(_Coded):
    """Something outside mcgen is missing: a GPU, a compiler, a package."""

    exit_code = 3
    default_code = "environment"


class VerificationFailed(_Coded):
    """A result differs from the reference by more than its tolerance."""

    exit_code = 2
    default_code = "verification"


def error(code: str, message: str, pos: Pos = NOWHERE, hint: str | None = None, notes: Sequence[str] = ()) -> SpecError:
    """A SpecError with one diagnostic, to raise."""
    return SpecError(Diagnostic(code, message, pos, hint, tuple(notes)))
