"""Products that what is made of them joins: before and after, and when they must not."""
from __future__ import annotations

from mcgen.ir import kernel as kr
from mcgen.passes.join import join_products


def tile(name: str, *axes: str) -> kr.Ref:
    return kr.Ref(name, "tile", axes)


def ref(name: str, *axes: str) -> kr.Expr:
    return kr.Expr("ref", attr=tile(name, *axes))


def acc() -> kr.Expr:
    return kr.Expr("ref", attr=kr.sum_at_hand(("c", "K")))


def mul(x: kr.Expr, y: kr.Expr) -> kr.Expr:
    return kr.Expr("mul", (x, y))


PRODUCT = kr.Dot(tile("p", "c", "K"), ref("y", "c", "V"), ref("M", "V", "K"), ("V",))
WEIGHTED = kr.Map(tile("m", "c", "K"), mul(ref("w", "c"), ref("p", "c", "K")), True)
SUMMED = kr.Reduce("sum", tile("s", "c"), mul(ref("p", "c", "K"), ref("q", "c", "K")), ("K",))


def joined(*statements) -> list:
    names = {"p": ("c", "K"), "m": ("c", "K"), "s": ("c",)}
    kernel = kr.Kernel("k", (), (), 0, False, [kr.Tile(n, axes) for n, axes in names.items()], rows=list(statements))
    return join_products(kernel).rows


def test_all_that_reads_a_product_joins_it():
    assert joined(PRODUCT, WEIGHTED, SUMMED) == [kr.Product(("c", "K"), PRODUCT.left, PRODUCT.right, ("V",), (
        kr.Map(WEIGHTED.dst, mul(ref("w", "c"), acc()), True), kr.Reduce("sum", SUMMED.dst, mul(acc(), ref("q", "c", "K")), ("K",))))]


def test_the_tile_of_a_joined_product_goes():
    kernel = kr.Kernel("k", (), (), 0, False, [kr.Tile("p", ("c", "K")), kr.Tile("m", ("c", "K"))], rows=[PRODUCT, WEIGHTED])
    assert [t.name for t in join_products(kernel).tiles] == ["m"]


def test_a_factor_of_each_row_goes_to_the_result():
    scaled = kr.Dot(tile("m", "c", "K"), PRODUCT.left, PRODUCT.right, ("V",), True, ref("w", "c"))
    assert joined(scaled) == [kr.Product(("c", "K"), PRODUCT.left, PRODUCT.right, ("V",), (kr.Map(scaled.dst, mul(ref("w", "c"), acc()), True),))]


def test_a_factor_that_is_summed_over_stays():
    scaled = kr.Dot(tile("S", "K", "V"), ref("q", "c", "K"), ref("y", "c", "V"), ("c",), True, ref("w", "c"))
    assert joined(scaled) == [scaled]


def test_a_sum_over_the_slots_stays_and_stops_at_the_segment():
    read = kr.Dot(PRODUCT.dst, ref("w", "c", "n"), ref("z", "n", "K"), ("n",))
    scaled = kr.Dot(tile("m", "c", "K"), read.left, read.right, ("n",), True, ref("w", "c"))
    assert joined(read, WEIGHTED) == [read, WEIGHTED] and joined(scaled) == [scaled]


def test_a_product_that_is_read_otherwise_is_stored():
    turned = kr.Map(tile("m", "c", "K"), ref("p", "K", "c"))
    assert joined(PRODUCT, turned) == [PRODUCT, turned]
    largest = kr.Reduce("max", tile("s", "c"), ref("p", "c", "K"), ("K",))
    assert joined(PRODUCT, WEIGHTED, largest) == [PRODUCT, WEIGHTED, largest]
    inside = kr.When(kr.Expr("row", attr="count"), (WEIGHTED,))
    assert joined(PRODUCT, inside) == [PRODUCT, inside]


def test_what_is_written_in_between_is_not_overtaken():
    changed = kr.Map(tile("w", "c"), kr.Expr("num", attr=2.0))
    assert joined(PRODUCT, changed, WEIGHTED) == [PRODUCT, changed, WEIGHTED]
    started = kr.Map(tile("m", "c", "K"), kr.Expr("num", attr=0.0))
    assert joined(PRODUCT, started, WEIGHTED) == [PRODUCT, started, WEIGHTED]
    elsewhere = kr.Map(tile("z", "c"), ref("w", "c"))
    assert joined(PRODUCT, elsewhere, WEIGHTED)[1] == elsewhere and isinstance(joined(PRODUCT, elsewhere, WEIGHTED)[0], kr.Product)


def test_a_later_reader_of_another_joined_result_stays_in_place():
    uses = kr.Reduce("sum", tile("s", "c"), mul(ref("p", "c", "K"), ref("m", "c", "K")), ("K",))
    assert joined(PRODUCT, WEIGHTED, uses) == [PRODUCT, WEIGHTED, uses]
