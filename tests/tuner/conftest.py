"""A small op, and a GPU that is not there."""
import pytest

import mcgen
from mcgen.runtime import records

SPEC = """\
name: small
rule:
  inputs: {q: [K], k: [K], v: [V], g: {shape: [], domain: [-inf, 0]}}
  state: {S: [K, V]}
  update: {S: "exp(g) * S + outer(k, v)"}
  read: S.T @ q
"""
SIZES = ["B=1", "T=96", "H=2", "K=8", "V=8"]


@pytest.fixture
def spec(tmp_path, monkeypatch):
    """The path of a spec, in a fresh cache."""
    monkeypatch.setenv("MCGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.yaml"
    path.write_text(SPEC)
    records.entries_for.cache_clear()
    yield path
    records.entries_for.cache_clear()


@pytest.fixture
def op(spec):
    return mcgen.load(spec)
