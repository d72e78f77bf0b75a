"""What a kernel stores is not made again by later ones, and is stored once."""
from __future__ import annotations

from mcgen.ir.builder import Builder
from mcgen.ir.nodes import Param, Program, Result, Value
from mcgen.ir.printer import print_program
from mcgen.passes.reuse import loaded, reuse
from mcgen.passes.slice import cut
from mcgen.passes.slice_kernel import Slice, products

from .cases import compiled

K, V = Param("k", "token", ("K",)), Param("v", "token", ("V",))
A, A2, B = Param("A", "starts", ("c", "d")), Param("A.2", "starts", ("c", "d")), Param("B", "starts", ("c", "V"))
Y, Z = Param("y", "token", ("V",)), Param("z", "token", ("V",))


def kernel(b: Builder, *results: tuple[Param, Value], kind: str = "rows") -> Slice:
    made = tuple(Result(p.name, p.kind, p.axes, ((v, 0),)) for p, v in results)
    return Slice(Program("", (), made), kind, False, ()).part(made, (K, V, A, A2, B), b)


def reused(make, **kind) -> list[str]:
    """What is left of kernels, as text of each."""
    b = Builder()
    k, v, a, a2 = b.load(K), b.load(V), b.param(A), b.param(A2)
    pairs = b.dot(k, b.rename(k, {"c": "d"}), ["K"])
    slices = [kernel(b, *results, **kind) for results in make(b, v, pairs, a, a2)]
    return [print_program(s.program) for s in reuse(slices, (A, A2, B), str, b)[0]]


def test_reads_what_is_stored():
    """A product of the keys of all pairs of tokens; the values then are all that the second kernel has of a dim."""
    def make(b, v, pairs, a, a2):
        yield (A, pairs),
        yield (Y, b.dot(b.map("tanh", pairs), b.rename(v, {"c": "d"}), ["d"])),
    first, second = reused(make)
    assert first.count("dot") == second.count("dot") == 1 and "A: starts" in second and "k: token" not in second
    again = reused(make, kind="loop")                    # in order, what another one stores costs time: a decision of the stages'
    assert "A: starts" not in again[1]


def test_stores_once():
    """The same under two names, the second for a kernel that knows it by what the first made: one kernel less."""
    def make(b, v, pairs, a, a2):
        yield (A, pairs),
        yield (A2, pairs),
        yield (Y, b.dot(a2, b.rename(v, {"c": "d"}), ["d"])),
        yield (Z, b.dot(b.map("tanh", a), b.rename(v, {"c": "d"}), ["d"])),
    first, second, third = reused(make)
    assert "A: starts" in second and "A: starts" in third and not any("A.2" in text for text in (first, second, third))


def test_sums_of_a_token_are_made_again():
    def make(b, v, pairs, a, a2):
        yield (B, b.map("tanh", v)),
        yield (Y, b.map("mul", b.map("tanh", v), v)),
    assert len(reused(make)) == 1                        # nobody reads B


def test_of_a_rule():
    """The gradient of q takes one product with the states and one with what all pairs of tokens have, which is stored: none has K whole."""
    state = compiled("erase")
    slices = cut(state.backward, state.source.builder).slices
    of_q, = (s for s in slices if any(r.name == "d.q" for r in s.program.results))
    assert products(of_q.program.order()) == 2 and of_q.blocked == ("K",) and not of_q.whole


def test_what_a_kernel_adds_up_anyway():
    """The gradient of a decay takes sums over K of what those of q and k add up over V: they store it, so that it has no tile of tokens
    that is as long as V, and takes no product along it."""
    state = compiled("scalar")
    sliced = cut(state.backward, state.source.builder)
    *_, of_keys, of_decay = sliced.slices
    assert [r.name for r in of_decay.program.results] == ["d.g"] and not any(map(loaded, sliced.slices))
    assert not any("c" in v.axes and "V" in v.axes for v in of_decay.program.order())
    stored = {r.name: r.axes for r in of_keys.program.results if r.name.startswith("stored.")}
    assert set(stored) <= {p.name for p in of_decay.program.params} and list(stored.values()).count(("c", "K")) == 2
    assert of_keys.blocked == ("K",) and of_keys.folded == ("V",)
