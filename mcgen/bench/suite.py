"""One case: the op and its peers take turns, forward and forward + backward."""
from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any, Callable

import torch

from ..diagnostics import McgenError
from . import cases, peers, peers_fla
from .cases import Case
from .measure import Time, both, forward, interleaved
from .peer_forms import forms_of

Call = Callable[..., torch.Tensor]
OURS = "mcgen"
TOLERANCE = {"float32": 1e-3, "bfloat16": 2e-2, "float16": 5e-3}     # of the largest entry; a peer rounds where it likes


@dataclass
class Result:
    """Times of one case in one direction, all from the same run. `skipped`: peers that could not run, and why."""

    case: Case
    direction: str
    times: dict[str, Time] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def best(self) -> str | None:
        """The fastest peer."""
        others = {n: t for n, t in self.times.items() if n != OURS}
        return min(others, key=lambda n: others[n].median) if others else None

    @property
    def ratio(self) -> float | None:
        """The fastest peer's time over ours: above one, ours is faster."""
        return self.times[self.best].median / self.times[OURS].median if self.best and OURS in self.times else None


def run(case: Case, rounds: int = 7, seconds: float = 20.0, say: Callable[[str], None] = lambda _: None) -> list[Result]:
    """Forward, then forward + backward."""
    op = cases.load(case)
    inputs = cases.draw(op, case)
    out = []
    for direction, wrap in (("forward", forward), ("forward + backward", both)):
        say(f"{case.words}: {direction}")
        result = Result(case, direction)
        calls = _candidates(case, op, inputs, result, wrap)
        result.times = interleaved(calls, rounds, seconds)
        out.append(result)
    return out


def _candidates(case: Case, op: Any, inputs: dict[str, torch.Tensor], result: Result, wrap: Callable) -> dict[str, Callable[[], Any]]:
    """Everything that takes part, warmed up and, where it computes the same, compared."""
    given = list(inputs.values())
    names = list(inputs)
    ours: Call = lambda *xs: op(**dict(zip(names, xs)))
    if case.peer.startswith("package"):
        return _package(case, op, inputs, result, wrap)
    calls = {OURS: wrap(ours, given)}
    if case.peer == "attention":
        chosen = [inputs[n] for n in ("q", "k", "v") if n in inputs]
        if len(chosen) == 3:
            calls["attention"] = wrap(peers.attention, chosen)
        else:
            result.skipped["attention"] = "the op has no q, k and v"
        return calls
    library = case.peer.startswith(peers_fla.PREFIX)
    if library:
        try:
            form = peers_fla.form_of(case.peer)
        except ImportError:
            result.skipped["flash-linear-attention"] = "not installed (pip install fla-core einops)"
            return calls
        eager: Call = lambda *xs: form(**dict(zip(names, xs)))
    else:
        eager = _eager(case, inputs, wrap)
    with torch.no_grad():
        expected, got = eager(*given), ours(*given)
    error = float((expected - got).abs().max() / expected.abs().max())
    if not error < TOLERANCE[case.dtype]:
        result.skipped["flash-linear-attention" if library else "torch"] = f"it computes something else (difference {error:.1e})"
        return calls
    if library:
        return {**calls, "flash-linear-attention": wrap(eager, given)}
    calls["torch eager"] = wrap(eager, given)
    torch.compiler.reset()                           # it compiles a function so many times, and then quietly runs it as it is
    compiled = torch.compile(eager, dynamic=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = wrap(compiled, given)
            trial()
        calls["torch.compile"] = trial
    except Exception as problem:                     # no C++ compiler, or a limit of torch.compile: a peer less
        result.skipped["torch.compile"] = str(problem).strip().splitlines()[0][:120]
    return calls


def _eager(case: Case, inputs: dict[str, torch.Tensor], wrap: Callable) -> Call:
    """The torch form of this case; of several forms the fastest here."""
    names = list(inputs)

    def by_position(form: Call) -> Call:
        return lambda *xs: form(**dict(zip(names, xs)))

    forms = {kind: by_position(form) for kind, form in forms_of(case.peer, case.segment or 256).items()}
    taken = interleaved({k: wrap(f, list(inputs.values())) for k, f in forms.items()}, rounds=3, seconds=5, warm=1)
    return forms[min(taken, key=lambda k: taken[k].least)]


def _package(case: Case, op: Any, inputs: dict[str, torch.Tensor], result: Result, wrap: Callable) -> dict[str, Callable[[], Any]]:
    """The layer of the package memory-caching against the op between the same projections; for the peer `package` both are
    without projections (q, k, v and u are then all the layer's input), for `package_layer` both have all five."""
    sizes = case.sizes
    width = sizes["H"] * sizes["K"]
    x = torch.randn(sizes["B"], sizes["T"], width, generator=torch.Generator().manual_seed(0))
    try:
        import memory_caching as package
    except ImportError:
        result.skipped["memory-caching"] = "not installed (pip install memory-caching)"
        return {OURS: wrap(lambda *xs: op(**dict(zip(inputs, xs))), list(inputs.values()))}
    made = next(v for n, v in vars(package).items() if n.endswith("Layer"))
    config = package.MCConfig(d_model=width, num_heads=sizes["H"], segment_size=case.segment or 256)
    layer = made(config=config, backend=package.LinearMemoryBackend())
    if case.peer == "package":
        for part in "qkvuo":
            setattr(layer, f"{part}_proj", torch.nn.Identity())

    def ours(x: torch.Tensor) -> torch.Tensor:
        parts = {n: getattr(layer, f"{n}_proj")(x).unflatten(-1, (sizes["H"], sizes["K"])) for n in ("q", "k", "v", "u")}
        return layer.o_proj(op(**parts).flatten(2))

    def theirs(x: torch.Tensor) -> torch.Tensor:
        y = layer(x)
        return y[0] if isinstance(y, tuple) else y

    return {OURS: wrap(ours, [x]), "memory-caching": wrap(theirs, [x])}


def attempt(case: Case, **options: Any) -> list[Result] | str:
    """`run`, or in words why it can't."""
    try:
        return run(case, **options)
    except McgenError as problem:
        return str(problem)
