"""Multi-query associative recall: a two-layer model learns to answer with the value that was told beside a key."""
from __future__ import annotations

import math

import pytest
import torch

from mcgen.nn import LanguageModel

from .formulas import FORMULAS

PAIRS, LENGTH, KEYS, VALUES = 8, 64, 32, 32         # the vocabulary: keys, then values
GUESSED = math.log(VALUES)                          # the loss of one who knows that the answer is a value, and not which


def batch(rows: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens [rows, LENGTH], which tell PAIRS of key and value and then ask for keys, and the answers [rows, LENGTH - 2 PAIRS]."""
    keys = torch.rand(rows, KEYS, generator=generator).argsort(1)[:, :PAIRS]
    values = KEYS + torch.randint(VALUES, (rows, PAIRS), generator=generator)
    asked = torch.randint(PAIRS, (rows, LENGTH - 2 * PAIRS), generator=generator)
    return torch.cat([torch.stack([keys, values], 2).flatten(1), keys.gather(1, asked)], 1), values.gather(1, asked)


def losses(name: str, steps: int, rows: int, **options) -> list[float]:
    """The loss of every step, each on new pairs."""
    torch.manual_seed(0)
    model = LanguageModel(name, KEYS + VALUES, d_model=64, n_layers=2, heads=1, dims={"K": 32, "V": 32}, short_conv=2, **options)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, betas=(0.9, 0.95))
    generator, found = torch.Generator().manual_seed(1), []
    for _ in range(steps):
        tokens, answers = batch(rows, generator)
        loss = torch.nn.functional.cross_entropy(model(tokens)[:, 2 * PAIRS:].flatten(0, 1), answers.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


@pytest.mark.parametrize("name", ["titans_linear", "longhorn"])
def test_first_steps(name):
    """Within a few steps every answer is a value; the torch program, which is built at once."""
    found = losses(name, 20, 8, backend="torch", **({"segment_length": 16} if "+" in name else {}))
    assert found[0] > 2 * GUESSED and sum(found[-5:]) / 5 < 1.2 * GUESSED, found


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FORMULAS, "gla+grm", "gated_delta+grm", "titans_linear+grm", "mesa+grm", "mlstm+soup"])
def test_recall(name):
    """In 200 steps the answers are better than any guess; the rule whose decay is a matrix of its own takes twice as many."""
    found = losses(name, 400 if name == "mamba1" else 200, 32, **({"segment_length": 16} if "+" in name else {}))
    assert all(map(math.isfinite, found)) and sum(found[-5:]) / 5 < 0.9 * GUESSED, found[::10]
