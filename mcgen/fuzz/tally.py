"""What a run has found so far: counted, and kept in a file that the same run goes on from."""
from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Mapping

from ..diagnostics import UsageError
from ..files import write_text
from .examine import Outcome
from .strategy import Case, case_of

GOOD = ("chunk form", "scan", "refused", "ties", "diverges", "cancels", "jumps")


@dataclass(frozen=True)
class Failure:
    """kind: 'wrong', 'rejected' (a legal spec called wrong) or 'traceback'. what: the first line of the message. place: failures of
    one place are shrunk and saved once."""

    kind: str
    what: str
    case: Case
    place: str
    path: Path | None = None

    def plain(self) -> dict[str, Any]:
        return {"kind": self.kind, "what": self.what, "place": self.place, "path": self.path and str(self.path),
                "spec": self.case.spec, "call": self.case.call()}


def failure_of(kept: Mapping[str, Any]) -> Failure:
    return Failure(kept["kind"], kept["what"], case_of(kept["spec"], kept["call"]), kept["place"], kept["path"] and Path(kept["path"]))


@dataclass
class Tally:
    """The counts of the cases 0 .. done - 1 of a seed."""

    wanted: int
    done: int = 0
    kinds: Counter = field(default_factory=Counter)               # of outcomes, and 'wrong', 'rejected', 'traceback'
    refusals: Counter = field(default_factory=Counter)            # what was refused
    spared: Counter = field(default_factory=Counter)              # the gradients of what diverges, cancels or jumps
    ran: Counter = field(default_factory=Counter)                 # cases by back end
    sources: Counter = field(default_factory=Counter)             # cases by the source that was examined
    checks: int = 0
    blind: int = 0                                                # cases whose reference has nothing finite
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0
    slowest: float = 0.0

    @property
    def wrong(self) -> int:
        return sum(n for kind, n in self.kinds.items() if kind not in GOOD)

    def add(self, outcome: Outcome) -> None:
        self.kinds[outcome.kind] += 1
        self.ran.update(outcome.ran)
        self.checks += outcome.checks
        self.blind += outcome.blind
        if outcome.kind == "refused":
            self.refusals[outcome.detail] += 1
        if outcome.kind in ("diverges", "cancels", "jumps"):
            self.spared[f"{outcome.kind}: {outcome.detail}"] += 1

    def line(self) -> str:
        counts = ", ".join(f"{self.kinds[kind]} {kind}" for kind in (*GOOD, *sorted(set(self.kinds) - set(GOOD))))
        return f"{self.done} of {self.wanted} specs, {self.seconds:.0f} s: {counts}" + ("" if self.wrong else ", none wrong")


def write(tally: Tally, path: Path) -> Path:
    """Whole or not at all."""
    plain = {f.name: getattr(tally, f.name) for f in fields(Tally)} | {"failures": [f.plain() for f in tally.failures]}
    return write_text(path, json.dumps(plain, indent=1) + "\n")


def read(path: Path, wanted: int) -> Tally:
    """The tally that a run left, or a new one. Raises UsageError for a file that is none."""
    if not path.is_file():
        return Tally(wanted)
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        counters = {n: Counter(plain[n]) for n in ("kinds", "refusals", "spared", "ran", "sources")}
        return Tally(**plain | counters | {"wanted": wanted, "failures": [failure_of(f) for f in plain["failures"]]})
    except (ValueError, TypeError, KeyError) as wrong:
        raise UsageError(f"{path} can't be read as the counts of a run: {type(wrong).__name__}: {wrong}", "fuzz",
                         "--fresh starts over") from None


def source() -> str:
    """A digest of mcgen's own source: counts of other code are told apart."""
    root, total = Path(__file__).resolve().parent.parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        total.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return total.hexdigest()[:12]
