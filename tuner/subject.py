"""What is tuned: an op at one size on one device."""
from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Mapping

import torch

from mcgen.bench.cases import Case, draw
from mcgen.runtime.devices import architecture, device_name
from mcgen.runtime.package import digest_of, load_package
from mcgen.runtime.records import version
from mcgen.runtime.schedule import Schedule

DEFAULT_SIZES = {"B": 1, "T": 4096, "H": 8}


@dataclass(frozen=True)
class Subject:
    """Plain data, so that it travels to a trial's process. folder: the op's package."""

    folder: str
    name: str
    sizes: Mapping[str, int]
    device: str = "cpu"
    threads: int = field(default_factory=torch.get_num_threads)
    dtype: str = "float32"           # of vectors per token; on the CPU kernels take float32, whatever the inputs are

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device)

    @property
    def device_name(self) -> str:
        return device_name(self.torch_device)

    @property
    def architecture(self) -> str:
        return architecture(self.torch_device)

    @property
    def dims(self) -> dict[str, int]:
        """The sizes but B, T and H."""
        return {name: size for name, size in self.sizes.items() if name not in ("B", "T", "H")}

    def all_dims(self, op: Any) -> dict[str, int]:
        """With those that the spec derives from them."""
        found = self.dims
        for name, size in op.manifest.derived:
            found[name] = size(found)
        return found

    @property
    def row(self) -> dict[str, Any]:
        """What of a record's row says for which calls it is."""
        return {"dtype": self.dtype, "sizes": self.dims, "heads": self.sizes["B"] * self.sizes["H"], "tokens": self.sizes["T"]}

    @property
    def compiler(self) -> str:
        return "apache-tvm" if self.torch_device.type == "cpu" else "triton"

    @property
    def versions(self) -> dict[str, str]:
        """Of what the kernels and their times depend on."""
        found = {name: version(name) for name in ("mcgen", "torch", self.compiler)}
        return {name: text for name, text in found.items() if text is not None}

    @property
    def words(self) -> str:
        sizes = " ".join(f"{k}{v}" for k, v in self.sizes.items())
        return f"{self.name}, {sizes}, {'' if self.dtype == 'float32' else self.dtype + ', '}on {self.device_name}"

    def key(self, *more: Any) -> str:
        """12 hexadecimal digits of all that times depend on: the package, the sizes, the device, versions."""
        parts = [digest_of(Path(self.folder)), self.as_dict() | {"folder": None}, self.device_name, self.versions, *more]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    def op(self, schedule: Schedule | None = None) -> Any:
        """The op with one schedule for every call. Without: with what its record says."""
        return load_package(self.folder, schedule=schedule)

    def inputs(self, op: Any) -> dict[str, torch.Tensor]:
        """Drawn in their domains; gates, the scalars of a token, are float32 as under autocast."""
        drawn, vectors = draw(op, Case(self.name, {**self.sizes, **self.all_dims(op)})), {f.name for f in op.inputs if f.per == "token" and f.shape}
        return {name: x.to(self.torch_device, getattr(torch, self.dtype) if name in vectors else torch.float32) for name, x in drawn.items()}

