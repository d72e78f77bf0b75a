"""What the gates found, and how it is shown."""
from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Check:
    """One comparison: the worst error over its tolerance, and where it was. ratio > 1 is a failure."""

    what: str
    ratio: float
    where: str = ""

    @property
    def ok(self) -> bool:
        return self.ratio <= 1.0                       # NaN is a failure


@dataclass
class Gate:
    """One gate: `cases` draws or calls, the checks they gave. `skipped` says why it didn't apply."""

    name: str
    cases: int = 0
    checks: list[Check] = field(default_factory=list)
    skipped: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return all(c.ok for c in self.checks)

    @property
    def worst(self) -> Check | None:
        return max(self.checks, key=lambda c: (not c.ok, c.ratio), default=None)


@dataclass
class Report:
    """All gates of one op. True when every gate passed or didn't apply."""

    name: str
    level: str
    gates: list[Gate] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return all(g.ok for g in self.gates)

    def __bool__(self) -> bool:
        return self.ok

    @property
    def failed(self) -> list[str]:
        return [g.name for g in self.gates if not g.ok]

    def gate(self, name: str) -> Gate:
        return next(g for g in self.gates if g.name == name)

    def table(self) -> Table:
        table = Table(title=f"{self.name}: {'passed' if self.ok else 'FAILED'} ({self.level})", title_justify="left")
        for heading, justify in (("gate", "left"), ("cases", "right"), ("error / tolerance", "right"), ("", "left"), ("worst at", "left")):
            table.add_column(heading, justify=justify, overflow="fold")
        for gate in self.gates:
            worst = gate.worst
            if gate.skipped and not gate.checks:
                table.add_row(gate.name, "-", "-", "[yellow]skipped[/]", gate.skipped)
                continue
            where = f"{worst.what}: {worst.where}" if worst and not worst.ok else (worst.what if worst else "")
            where = "; ".join([where.replace("[", r"\["), *gate.notes])
            table.add_row(gate.name, str(gate.cases), f"{worst.ratio:.3g}" if worst else "-",
                          "[green]pass[/]" if gate.ok else "[red]FAIL[/]", where)
        return table

    def print(self, console: Console | None = None) -> None:
        (console or Console()).print(self.table())

    def as_dict(self) -> dict:
        """Plain data, for records."""
        return {"name": self.name, "level": self.level, "ok": self.ok, "gates": {
            g.name: {"ok": g.ok, "cases": g.cases, "worst": g.worst.ratio if g.worst else None,
                     "where": f"{g.worst.what}: {g.worst.where}" if g.worst else g.skipped} for g in self.gates}}

    def __str__(self) -> str:
        console = Console(width=140, color_system=None)
        with console.capture() as text:
            console.print(self.table())
        return text.get()
