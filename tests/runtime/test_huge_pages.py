"""Large results ask for huge pages, and a system that has none is left alone."""
from types import SimpleNamespace

import torch

import mcgen
from mcgen.runtime import huge_pages


class Asked(SimpleNamespace):
    def madvise(self, address, size, advice):
        self.calls.append((address, size))
        return self.answer


def test_large_results_ask(monkeypatch):
    system = Asked(calls=[], answer=0)
    monkeypatch.setattr(huge_pages, "_libc", system)
    op = mcgen.load("linear_attention")
    q = torch.ones(1, 2048, 8, 64)
    y = op(q, q, q)
    assert [(a <= y.data_ptr() < a + 4096, a + size) for a, size in system.calls] == [(True, y.data_ptr() + 4 * y.numel())]
    op(*[x[:, :64] for x in (q, q, q)])
    assert len(system.calls) == 1


def test_a_refusal_ends_it(monkeypatch):
    system = Asked(calls=[], answer=-1)
    monkeypatch.setattr(huge_pages, "_libc", system)
    for _ in range(2):
        huge_pages.ask_for_huge_pages(1 << 22, huge_pages.LARGE)
    assert len(system.calls) == 1
