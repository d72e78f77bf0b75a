"""What to measure: specs/bench.yaml, or the ops named on the command line at a standard size."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from ..diagnostics import EnvironmentLacks, UsageError
from ..nn.domains import into
from ..spec.nodes import Domain
from . import peers_fla

STANDARD = {"B": 1, "T": 2048, "H": 4}
SIZE = 64                           # of every dimension that is not named


@dataclass(frozen=True)
class Case:
    """One op at one size. `peer` names what it is held against; `dtype` is that of all inputs but log decays, which stay float32."""

    op: str
    sizes: Mapping[str, int] = field(default_factory=lambda: dict(STANDARD))
    segment: int | None = None
    peer: str = "attention"
    dtype: str = "float32"
    device: str = "cpu"

    def at(self, **changes: Any) -> Case:
        """The same at other sizes."""
        segment = changes.pop("segment", self.segment)
        return replace(self, sizes={**self.sizes, **changes}, segment=segment)

    @property
    def words(self) -> str:
        sizes = " ".join(f"{k}{v}" for k, v in self.sizes.items())
        return f"{self.op}, {sizes}" + (f", segment {self.segment}" if self.segment else "") + (f", {self.dtype}" if self.dtype != "float32" else "")


@dataclass(frozen=True)
class Scaling:
    """One op over many lengths at one segment length, and over many segment lengths at one length."""

    case: Case
    tokens: Sequence[int]
    segments: Sequence[int]


def read(names: Sequence[str] = ()) -> tuple[list[Case], Scaling | None]:
    """The cases of these ops; without names all of the file's."""
    data = _file()
    listed = [Case(**c) for c in data["cases"]]
    how = data["scaling"]
    scaling = Scaling(Case(how["op"], how["sizes"], segment=256), how["tokens"], how["segments"])
    if not names:
        return listed, scaling
    cases = [c for name in names for c in ([c for c in listed if c.op == name] or [Case(name)])]
    base = replace(scaling.case, op=names[0])
    return cases, replace(scaling, case=base)


def read_gpu(names: Sequence[str] = ()) -> list[Case]:
    """The cases of these ops on a GPU, at every size that the file lists; without names those of all ops that it lists."""
    data = _file()["gpu"]
    return [Case(op, sizes, peer=peers_fla.PREFIX + data["ops"][op] if op in data["ops"] else "attention", dtype=data["dtype"], device="cuda")
            for op in names or data["ops"] for sizes in data["sizes"]]


def _file() -> dict[str, Any]:
    import yaml

    from ..spec import library_dirs

    for folder in library_dirs():
        path = folder / "bench.yaml"
        if path.is_file():
            data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
            return data
    raise EnvironmentLacks("specs/bench.yaml is missing: there is no list of what to measure")


def load(case: Case, **options: Any) -> Any:
    """The op of a case, with its segment length where it has a cache."""
    import mcgen

    if case.segment:
        try:
            return mcgen.load(case.op, segment_length=case.segment, **options)
        except UsageError as wrong:
            if wrong.code != "bad-override":
                raise
    return mcgen.load(case.op, **options)


def draw(op: Any, case: Case, seed: int = 0) -> dict[str, torch.Tensor]:
    """Inputs of an op in their domains, of the case's dtype and on its device; decays keep most of the state."""
    chance = torch.Generator(case.device).manual_seed(seed)
    out = {}
    for item in _fields(op):
        lead = [case.sizes[a] for a in ("BTH" if item.per == "token" else "H")]
        shape = [s if isinstance(s, int) else case.sizes.get(s, SIZE) for s in item.shape]
        raw = torch.randn(*lead, *shape, generator=chance, device=case.device)
        domain = _domain(item.domain)
        decay = domain.hi == 0.0
        out[item.name] = into(domain, raw + 4.0 if decay else raw).to(torch.float32 if decay else getattr(torch, case.dtype)).contiguous()
    return out


def _fields(op: Any) -> list[Any]:
    items = op.inputs.values() if isinstance(op.inputs, Mapping) else op.inputs
    return [i for i in items if i.default is None]


def _domain(domain: Any) -> Domain:
    if isinstance(domain, Domain):
        return domain
    kind, low, high = domain
    return Domain(kind, -float("inf") if low is None else low, float("inf") if high is None else high)
