"""Time against the number of tokens, and against the segment length, with the fitted exponents."""
from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

from ..files import write_with
from . import cases, peers
from .cases import Case, Scaling
from .measure import both, exponent, forward, interleaved


@dataclass
class Curve:
    """Milliseconds over sizes."""

    title: str
    axis: str
    sizes: list[int] = field(default_factory=list)
    times: dict[str, list[float]] = field(default_factory=dict)

    def exponents(self) -> dict[str, float]:
        """Fitted over the upper half of the sizes, where fixed costs no longer count."""
        half = len(self.sizes) // 2 if len(self.sizes) > 3 else 0
        return {n: exponent(self.sizes[half:], t[half:]) for n, t in self.times.items() if len(self.sizes) - half > 1}


def measure(scaling: Scaling, rounds: int = 5, seconds: float = 6.0, say: Callable[[str], None] = lambda _: None) -> list[Curve]:
    """Both curves."""
    case = scaling.case
    by_tokens = Curve(f"{case.words}", "tokens", list(scaling.tokens))
    for tokens in scaling.tokens:
        say(f"{case.op}: T = {tokens}")
        _add(by_tokens, _times(case.at(T=tokens), True, rounds, seconds))
    longest = max(t for t in scaling.tokens if t <= 4096) if min(scaling.tokens) <= 4096 else min(scaling.tokens)
    fixed = case.at(T=longest)
    by_segment = Curve(f"{case.op}, T = {longest}", "segment length", list(scaling.segments))
    for segment in scaling.segments:
        say(f"{case.op}: segments of {segment}")
        _add(by_segment, _times(fixed.at(segment=segment), False, rounds, seconds))
    return [by_tokens, by_segment]


def _times(case: Case, attention: bool, rounds: int, seconds: float) -> dict[str, float]:
    op = cases.load(case)
    inputs = cases.draw(op, case)
    names, given = list(inputs), list(inputs.values())

    def ours(*xs: Any) -> Any:
        return op(**dict(zip(names, xs)))

    calls = {"forward": forward(ours, given), "forward + backward": both(ours, given)}
    if attention and all(n in inputs for n in ("q", "k", "v")):
        qkv = [inputs[n] for n in ("q", "k", "v")]
        calls |= {"attention, forward": forward(peers.attention, qkv), "attention, forward + backward": both(peers.attention, qkv)}
    return {name: t.median for name, t in interleaved(calls, rounds, seconds, warm=1).items()}


def _add(curve: Curve, times: dict[str, float]) -> None:
    for name, value in times.items():
        curve.times.setdefault(name, []).append(value)


def plot(curves: list[Curve], path: Path) -> None:
    """Both curves, log-log, the exponents in the legend."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2 * len(curves), 4.2), layout="constrained")
    for axes, curve in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves):
        slopes = curve.exponents()
        for name, times in curve.times.items():
            style = "s--" if name.startswith("attention") else "o-"
            label = f"{name}: {slopes[name]:+.2f}" if name in slopes else name
            axes.loglog(curve.sizes, times, style, markersize=4, label=label)
        axes.set(xlabel=curve.axis, ylabel="milliseconds", title=curve.title)
        axes.set_xticks(curve.sizes, [str(s) for s in curve.sizes])
        axes.minorticks_off()
        axes.grid(alpha=0.3, which="both")
        axes.legend(fontsize="small", title="and exponent")
    write_with(path, lambda stream: figure.savefig(stream, format="png", dpi=140))
