"""Partition, dims, manifests, chunk sizes, what is imported."""
import json
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcgen.runtime.chunks import chunk_size
from mcgen.runtime.dims import size_of
from mcgen.runtime.layout import Layout
from mcgen.runtime.manifest import parse_manifest
from mcgen.runtime.partition import LARGEST, chunk_table, listed_table, row_count, slot_count

from .helpers import HANDMADE


def rows(position, tokens, chunk, boundary, length):
    """The table's rows of one sequence, one after the other."""
    made, t = [], 0
    while t < tokens:
        count = min(chunk, tokens - t, boundary - (position + t) % boundary if boundary else chunk)
        made.append((t, count, (position + t) // length if length else 0, (position + t) % length if length else position + t))
        t += count
    return made


def padding(position, tokens, length):
    """A row without tokens, where the next token would be: segments never decrease, kernels look rows up by them."""
    at = position + tokens
    return tokens, 0, at // length if length else 0, at % length if length else at


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=3), st.integers(1, 40), st.sampled_from([1, 2, 4, 8]),
       st.sampled_from([None, 3, 4, 8, 12]), st.sampled_from([1, 2]))
def test_table(positions, tokens, chunk, boundary, runs):
    length, moved = None if boundary is None else boundary * runs, any(positions)
    table = chunk_table(torch.tensor(positions), tokens, chunk, boundary, length, moved)
    assert table.dtype is torch.int32 and table.shape == (len(positions), row_count(tokens, chunk, boundary, moved), 4)
    for position, made in zip(positions, table.tolist()):
        want = rows(position, tokens, chunk, boundary, length)
        assert [tuple(row) for row in made[:len(want)]] == want
        assert all(tuple(row) == padding(position, tokens, length) for row in made[len(want):])
        assert moved or len(made) == len(want)
    listed = listed_table(tuple(positions), tokens, chunk, boundary, length)
    assert listed.shape[1] == row_count(tokens, chunk, boundary, True) and listed.dtype is torch.int32
    for position, made in zip(positions, listed.tolist()):
        want = rows(position, tokens, chunk, boundary, length)
        assert [tuple(row) for row in made] == want + [padding(position, tokens, length)] * (len(made) - len(want))


def test_far_positions():
    assert listed_table((2**40,), 1, 1, None, None)[0, 0, 3] == LARGEST
    assert chunk_table(torch.tensor([2**40]), 4, 2, None, None, True)[0, :, 3].tolist() == [LARGEST] * 2


def test_slots():
    assert slot_count(4, 4, 2, 12) == 3 and slot_count(3, 4, 5, 11) == 5 and slot_count(5, 4, 2, None) == 4


def test_sizes():
    assert size_of("4*K - V**2 / 2")({"K": 8, "V": 3}) == 28
    for text in ("f(K)", "K.x", "1.5", "__import__('os')", "K if K else 1"):
        with pytest.raises(ValueError, match="not a size"):
            size_of(text)({"K": 1})


def test_chunk_size():
    assert chunk_size([16, 32], 64, 40) == 64 and chunk_size([16, 32, 64, 128], 32, 1000) == 32 and chunk_size([16, 32], 32, 1) == 1


def test_manifests_are_checked():
    raw = json.loads((HANDMADE / "fresh_sums" / "manifest.json").read_text())
    with pytest.raises(ValueError, match="format 1"):
        parse_manifest({**raw, "format": 1})
    with pytest.raises(ValueError, match="do not begin"):
        parse_manifest({**raw, "backward": {"params": ["a"], "results": []}})
    manifest = parse_manifest({**raw, "saved": [{"name": "saved.c", "shape": ["#slots", "D"]}]})
    shapes = {"x": (1, 5, 2, 4), "a": (2, 4), "z": (1, 5, 2, 8), "call.table": (1, 3, 4), "call.position": (1,)}
    shapes |= {"cache.S": (1, 2, 7, 4), "cache.P": (1, 2, 7, 4), "init.S": (2, 4), "init.P": (2, 4), "state.S": (1, 2, 4), "state.P": (1, 2, 4)}
    params = [torch.empty(shapes[name]) for name in manifest.forward_params]
    assert Layout(manifest).forward(params, True)[-1] == (1, 2, 3, 7, 8)
    assert Layout(manifest).forward(params, False)[0] == (1, 5, 2, 4)


def test_imports_stay_light():
    code = "import sys, mcgen.runtime; print([m for m in ('sympy', 'yaml', 'tvm', 'optuna', 'mcgen.spec', 'mcgen.ir') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
