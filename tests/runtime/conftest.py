import pytest
import torch

from mcgen.runtime import load_package

from .helpers import HANDMADE


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture
def op():
    """Decay memory with softmax caching (segments of 4): q, k [K], v [V] delayed by 1, g optional, u [K]."""
    return load_package(HANDMADE / "decay_softmax")


@pytest.fixture
def fresh():
    """Two vector memories whose segments of 3 start fresh: x [K], a [K] per head, z [2K] optional, S_init learned."""
    return load_package(HANDMADE / "fresh_sums")
