"""Kernels as `fuse` makes them: their text, and that the verifier misses no statement of them."""
import re
from pathlib import Path

import pytest

from mcgen.ir.kernel_printer import print_kernel
from mcgen.ir.kernel_verifier import verify_kernel
from mcgen.ir.verifier import BrokenProgram
from mcgen.passes.fuse import fuse

from .cases import compiled

OPS = [("plain", None, "carry"), ("delay", "softmax", "fresh"), ("nonlinear", "top", "carry"), ("expression_init", "states", "fresh")]


@pytest.mark.parametrize("rule, cache, start", OPS)
def test_no_statement_that_fills_a_tile_can_go(rule, cache, start):
    """Without the one statement that first fills a tile which others read, a real kernel is refused."""
    state = compiled(rule, cache, start=start)
    for program, saved in ((state.forward, state.results), (state.backward, None)):
        made = fuse(program, state.source.builder, saved)
        tiles, seen, tried = {t.name for t in made.tiles}, set(), 0
        for block in (made.before, made.rows):
            for i, s in enumerate(list(block)):
                name = getattr(getattr(s, "dst", None), "storage", None)
                if name not in tiles or name in seen or getattr(s, "accumulate", False):      # filled before, by a product that is not stored
                    continue
                seen.add(name)
                del block[i]
                text = print_kernel(made)
                if len(re.findall(rf"(?<![\w.]){re.escape(name)}\[", text)) > 0:
                    tried += 1
                    with pytest.raises(BrokenProgram, match="before it is written"):
                        verify_kernel(made)
                block.insert(i, s)
        verify_kernel(made)
        assert tried > 5


@pytest.mark.parametrize("rule, cache, start", [("delay", "softmax", "fresh")])
def test_text(golden, rule, cache, start):
    state = compiled(rule, cache, start=start)
    kernels = fuse(state.forward, state.source.builder, state.results), fuse(state.backward, state.source.builder)
    golden(Path(__file__).parent / "golden" / "delay_softmax.kernel", "\n".join(map(print_kernel, kernels)))
