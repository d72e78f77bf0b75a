import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Small tensors: threads only wait for one another."""
    torch.set_num_threads(1)
