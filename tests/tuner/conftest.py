"""A small op in a cache of its own."""
import pytest
from small import SPEC

import mcgen
from mcgen.runtime import records


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
