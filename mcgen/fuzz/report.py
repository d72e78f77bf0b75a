"""The table at the end of a run."""
from __future__ import annotations

from rich.table import Table

from .tally import GOOD, Tally, source


def table_of(tally: Tally) -> Table:
    """Counts by outcome; what was refused; what was compared."""
    right = "[green]none wrong[/]" if not tally.wrong else f"[red]{tally.wrong} WRONG[/]"
    table = Table(title=f"{tally.done} of {tally.wanted} specs in {tally.seconds:.0f} s, {tally.checks} comparisons: {right}", title_justify="left")
    table.add_column("outcome")
    table.add_column("specs", justify="right")
    table.add_column("", overflow="fold")
    ran = ", ".join(f"{name} {n}" for name, n in tally.ran.items())
    table.add_row("lowered in chunk form", str(tally.kinds["chunk form"]), f"compared: {ran}")
    table.add_row("scanned over tokens", str(tally.kinds["scan"]), f"{tally.blind} with a reference without finite values" if tally.blind else "")
    table.add_row("refused", str(tally.kinds["refused"]), "")
    for what, n in tally.refusals.most_common():
        table.add_row("", str(n), "not-lowered: " + what.replace("[", r"\["))
    table.add_row("tied", str(tally.kinds["ties"]), "equal scores, of which rounding selects: not compared")
    table.add_row("diverging", str(tally.kinds["diverges"]), "derivatives past float32's range, held in float64 alone")
    table.add_row("cancelling", str(tally.kinds["cancels"]), "derivatives of 0 by terms that cancel, held to the terms' roundoff")
    table.add_row("jumping", str(tally.kinds["jumps"]), "results at a kink or of chaos, held in float64 to its own roundings")
    for what, n in tally.spared.most_common():
        table.add_row("", str(n), what)
    here = tally.sources[source()]
    if here != tally.done:
        table.add_row("with this version of mcgen", str(here), "the others with earlier ones")
    for kind in sorted(set(tally.kinds) - set(GOOD)):
        table.add_row(f"[red]{kind}[/]", str(tally.kinds[kind]), "")
    return table
