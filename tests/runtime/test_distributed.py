"""Data parallel: two processes that share a batch end where one process with all of it does."""
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from mcgen.runtime import load_package

from .helpers import HANDMADE, close

STEPS, D = 10, 6


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.op = load_package(HANDMADE / "decay_softmax")
        self.project = torch.nn.Linear(D, 3 * 3 + 5 + 1, dtype=torch.float64)

    def forward(self, x):
        q, k, u, v, g = self.project(x).unsqueeze(2).split([3, 3, 3, 5, 1], dim=-1)
        return self.op(q, k, v, torch.nn.functional.logsigmoid(g[..., 0]), u)


def train(layer, batches):
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    for x in batches:
        optimizer.zero_grad()
        layer(x).square().mean().backward()
        optimizer.step()


def batches():
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(4, 9, D, generator=generator, dtype=torch.float64) for _ in range(STEPS)]


def made():
    torch.manual_seed(0)
    return Layer()


def work(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2, timeout=timedelta(seconds=60))
    try:
        layer = torch.nn.parallel.DistributedDataParallel(made())
        train(layer, [x[2 * rank:2 * rank + 2] for x in batches()])
        torch.save(layer.module.state_dict(), f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()


def test_two_processes_are_one(tmp_path):
    other = mp.get_context("spawn").Process(target=work, args=(1, str(tmp_path)))
    other.start()
    work(0, tmp_path)                                         # this process is the first of the two
    other.join(60)
    assert other.exitcode == 0
    alone = made()
    before = {name: x.clone() for name, x in alone.state_dict().items()}
    train(alone, batches())
    for name, want in alone.state_dict().items():
        assert not torch.allclose(want, before[name])
        for rank in range(2):
            close(torch.load(f"{tmp_path}/{rank}.pt")[name], want)
