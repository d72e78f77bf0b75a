"""Matrices that loops over tokens use lie one way."""
import mcgen
from mcgen.ir import kernel as kr
from mcgen.passes.fuse import fuse
from mcgen.passes.join import reads_of, writes_of
from mcgen.passes.pipeline import compile_model
from mcgen.passes.turn_tiles import turn_tiles
from mcgen.symbolic.elaborate import elaborate


def ref(name, *axes, kind="tile"):
    return kr.Expr("ref", attr=kr.Ref(name, kind, axes))


def kernel(*statements):
    tiles = [kr.Tile("S", ("K", "V")), kr.Tile("t", ("V", "K")), kr.Tile("u", ("V", "K")), kr.Tile("at", ("c", "K", "V"))]
    return kr.Kernel("k", (), (), 0, False, tiles, rows=[kr.Map(ref("t", "V", "K").attr, kr.Expr("num", attr=0.0)), kr.Loop("tokens", statements)])


def test_turned_to_the_parameter():
    """t and u are two, S is alone, but A can't be turned."""
    k = turn_tiles(kernel(kr.Map(ref("t", "V", "K").attr, kr.Expr("mul", (ref("A", "K", "V", kind="head"), ref("u", "V", "K"))), True),
                          kr.Map(ref("S", "K", "V").attr, ref("at", "c", "K", "V"))))
    assert [t.axes for t in k.tiles] == [("K", "V"), ("K", "V"), ("K", "V"), ("c", "K", "V")]
    assert k.rows[0].dst.axes == ("K", "V")
    step = k.rows[1].body[0]
    assert step.dst.axes == ("K", "V") and [e.attr.axes for e in step.value.args] == [("K", "V"), ("K", "V")]


def test_left_alone():
    """Outside loops over tokens any order will do, and products want their own."""
    before = kernel()
    assert turn_tiles(before).tiles == before.tiles


def test_a_decay_for_each_entry():
    compiled = compile_model(elaborate(mcgen.load_spec("mamba1")))
    made = fuse(compiled.backward, compiled.source.builder)
    refs = [ref for s in made.rows if isinstance(s, kr.Along) for ref in (*reads_of(s), *writes_of(s))]
    assert {tuple(a for a in ref.axes if a != "c") for ref in refs if {"K", "V"} <= set(ref.axes)} == {("K", "V")}
