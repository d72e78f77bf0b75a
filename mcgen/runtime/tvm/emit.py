"""The emitter: loops, loads, stores and vector arithmetic as nodes of TVM's tensor IR. TVM is imported here and in `llvm` only.

A value is a TVM expression with a dtype such as "float32x8"; `bind` computes it once, so expressions stay small. `frames`
holds the statement lists of the open loops, outermost first: a value that depends on outer loops only is bound in an outer frame.
"""
from __future__ import annotations

from contextlib import contextmanager

from .outline import Parts

NAMES = {"f32": "float32", "f64": "float64", "i32": "int32", "i64": "int64", "bool": "bool", "bf16": "uint16", "f16": "float16"}
HALVES = ("bf16", "f16")      # in memory only: a bf16 is the upper half of a float32


class Value:
    """A TVM expression with its dtype ("f32", ..) and number of lanes; `bound`: computed already, using it costs nothing; `load`: a read of memory."""

    __slots__ = ("node", "dtype", "lanes", "bound", "load")

    def __init__(self, node, dtype: str, lanes: int = 1, bound: bool = False, load: bool = False) -> None:
        self.node, self.dtype, self.lanes, self.bound, self.load = node, dtype, lanes, bound, load


class Emitter:
    """avx512: whether the code is for a machine with AVX-512."""

    def __init__(self, avx512: bool = False) -> None:
        from tvm import ir, tirx
        self.avx512 = avx512
        self.ir, self.tir = ir, tirx
        self.frames: list[list] = [[]]
        self.registers: dict = {}        # register variable -> (dtype, lanes)
        self.pointers: dict = {}         # any other buffer -> (the integer that is its address, or None for scratch; its dtype)
        self.parts = Parts(self)
        self._count = 0

    # values

    def type_name(self, dtype: str, lanes: int = 1) -> str:
        return NAMES[dtype] + (f"x{lanes}" if lanes > 1 else "")

    def int(self, value: int):
        """An index (int64)."""
        return self.tir.const(value, "int64")

    def const(self, value, dtype: str, lanes: int = 1) -> Value:
        node = self.tir.const(bool(value) if dtype == "bool" else value, NAMES[dtype])
        return self.spread(Value(node, dtype), lanes)

    def spread(self, value: Value, lanes: int) -> Value:
        """A scalar in every lane."""
        if value.lanes == lanes:
            return value
        assert value.lanes == 1, (value.lanes, lanes)
        return Value(self.tir.Broadcast(value.node, lanes), value.dtype, lanes)

    def bind(self, value: Value, depth: int = -1) -> Value:
        """The value computed once, in the frame at `depth`.

        Loads get a name. All else goes through a register variable: TVM's analyzer writes named values out in full wherever they are
        used, which takes exponential time where they are used twice. Masks stay expressions, since it rejects names for them.
        """
        if value.bound or (value.dtype == "bool" and value.lanes > 1):
            return value
        if value.load:
            name = self.tir.Var("v", self.type_name(value.dtype, value.lanes))
            self.frames[depth].append(self.tir.Bind(name, value.node))
            return Value(name, value.dtype, value.lanes, True)
        register = self.local(value.lanes, value.dtype, depth)
        index = self.int(0) if value.lanes == 1 else self.tir.Ramp(self.int(0), self.int(1), value.lanes)
        self.frames[depth].append(self.tir.BufferStore(register, value.node, [index]))
        return Value(self.tir.BufferLoad(register, [index]), value.dtype, value.lanes, True)

    def bind_index(self, node, depth: int = -1, name: str = "i"):
        """An index expression under a name; a number stays one."""
        if isinstance(node, int):
            return node
        var = self.tir.Var(name, "int64")
        self.frames[depth].append(self.tir.Bind(var, node))
        return var

    def binary(self, op: str, a: Value, b: Value) -> Value:
        """Arithmetic and comparison of two values of one dtype; a scalar meets a vector in every lane."""
        lanes = max(a.lanes, b.lanes)
        a, b = self.spread(a, lanes), self.spread(b, lanes)
        node = getattr(self.tir, _BINARY[op])(a.node, b.node)
        if op == "ne" and a.dtype[0] == "f":      # NE is false for NaN, and NaN differs from everything
            node = self.tir.Not(self.tir.EQ(a.node, b.node))
        dtype = "bool" if op in ("lt", "le", "gt", "ge", "eq", "ne", "and", "or") else a.dtype
        return Value(node, dtype, lanes)

    def not_(self, a: Value) -> Value:
        return Value(self.tir.Not(a.node), "bool", a.lanes)

    def select(self, condition: Value, yes: Value, no: Value) -> Value:
        lanes = max(condition.lanes, yes.lanes, no.lanes)
        if condition.lanes != lanes:
            condition = self.spread(condition, lanes)
        yes, no = self.spread(yes, lanes), self.spread(no, lanes)
        return Value(self.tir.Select(condition.node, yes.node, no.node), yes.dtype, lanes)

    def cast(self, value: Value, dtype: str) -> Value:
        if value.dtype == dtype:
            return value
        if value.dtype == "bool" and value.lanes > 1:
            return self.select(value, self.const(1, dtype), self.const(0, dtype))
        return Value(self.tir.Cast(self.type_name(dtype, value.lanes), value.node), dtype, value.lanes)

    def reinterpret(self, value: Value, dtype: str) -> Value:
        return Value(self.tir.reinterpret(self.type_name(dtype, value.lanes), value.node), dtype, value.lanes)

    def shift_left(self, value: Value, bits: int) -> Value:
        return Value(self.tir.shift_left(value.node, self.const(bits, "i32", value.lanes).node), "i32", value.lanes)

    def shift_right(self, value: Value, bits: int) -> Value:
        return Value(self.tir.shift_right(value.node, self.const(bits, "i32", value.lanes).node), "i32", value.lanes)

    def bits(self, op: str, a: Value, b: Value) -> Value:
        """Bitwise "and" / "or" of two i32 values; one shifted by the other, "shl" / "shr"."""
        lanes = max(a.lanes, b.lanes)
        made = {"and": self.tir.bitwise_and, "or": self.tir.bitwise_or, "shl": self.tir.shift_left, "shr": self.tir.shift_right}[op]
        return Value(made(self.spread(a, lanes).node, self.spread(b, lanes).node), "i32", lanes)

    def wide(self, half: Value) -> Value:
        """A loaded value of 16 bits as float32."""
        if half.dtype == "f16":
            return self.cast(self.bind(half), "f32")
        return self.reinterpret(self.shift_left(self.cast(self.bind(half), "i32"), 16), "f32")

    def rounded(self, value: Value, dtype: str) -> Value:
        """A float32 as 16 bits, the nearest, of two equally near the even one."""
        if dtype == "f16":
            return self.cast(value, dtype)
        value = self.bind(value)
        bits = self.bind(self.reinterpret(value, "i32"))
        odd = self.bits("and", self.shift_right(bits, 16), self.const(1, "i32", value.lanes))
        near = self.binary("add", self.binary("add", bits, self.const(0x7FFF, "i32")), odd)
        number = self.binary("eq", value, value)
        return self.cast(self.select(number, self.shift_right(near, 16), self.const(0x7FC0, "i32")), dtype)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, rounded once."""
        lanes = max(a.lanes, b.lanes, c.lanes)
        return self.intrinsic("fma", self.spread(a, lanes), self.spread(b, lanes), self.spread(c, lanes))

    def intrinsic(self, name: str, *args: Value) -> Value:
        """An LLVM intrinsic such as "sqrt" or "fma", on all lanes."""
        first = args[0]
        suffix = {"f32": "f32", "f64": "f64"}[first.dtype]
        full = f"llvm.{name}." + (f"v{first.lanes}{suffix}" if first.lanes > 1 else suffix)
        node = self.tir.call_llvm_pure_intrin(self.type_name(first.dtype, first.lanes), full, *(a.node for a in args))
        return Value(node, first.dtype, first.lanes)

    def scales(self, value: Value) -> bool:
        """Whether `scaled` takes it."""
        return self.avx512 and value.lanes % 16 == 0 and value.dtype == "f32"

    def scaled(self, value: Value, power: Value, depth: int = -1) -> Value:
        """The value times 2^power, also where 2^power alone is out of range. Requires: `scales`, bound, and whole powers."""
        every, usual = self.tir.const(-1, "int16"), self.const(4, "i32").node              # no lane left out, the usual rounding
        parts = []
        for first in range(0, value.lanes, 16):
            picks = list(range(first, first + 16))
            x, n = (v.node if v.lanes == 16 else self.shuffle([v], picks).node for v in (value, power))
            parts.append(self.bind(Value(self.tir.call_llvm_pure_intrin(self.type_name("f32", 16), "llvm.x86.avx512.mask.scalef.ps.512", x, n, x,
                                                                        every, usual), "f32", 16), depth))
        return parts[0] if len(parts) == 1 else self.shuffle(parts, list(range(value.lanes)))

    def library(self, name: str, *args: Value, depth: int = -1) -> Value:
        """A libm function, lane by lane."""
        first = args[0]
        suffix = "f" if first.dtype == "f32" else ""
        scalars = []
        for lane in range(first.lanes):
            parts = [self.lane(a, lane).node for a in args]
            scalars.append(self.bind(Value(self.tir.call_pure_extern(NAMES[first.dtype], name + suffix, *parts), first.dtype), depth))
        return self.join(scalars)

    def lane(self, value: Value, index: int) -> Value:
        if value.lanes == 1:
            return value
        return Value(self.tir.Shuffle([value.node], [index]), value.dtype, 1)

    def join(self, scalars: list[Value]) -> Value:
        if len(scalars) == 1:
            return scalars[0]
        return Value(self.tir.Shuffle([s.node for s in scalars], list(range(len(scalars)))), scalars[0].dtype, len(scalars))

    def shuffle(self, values: list[Value], picks: list[int]) -> Value:
        """Lanes `picks` of the values laid side by side."""
        return Value(self.tir.Shuffle([v.node for v in values], picks), values[0].dtype, len(picks))

    def lanes_from(self, start, lanes: int) -> Value:
        """start, start + 1, .. as i32."""
        base = Value(self.tir.Cast("int32", start), "i32")
        if lanes == 1:
            return base
        return Value(self.tir.Ramp(base.node, self.tir.const(1, "int32"), lanes), "i32", lanes)

    def as_index(self, value: Value):
        """An i32 value as an index."""
        return self.tir.Cast("int64", value.node)

    def from_index(self, index) -> Value:
        return Value(self.tir.Cast("int32", self._index(index)), "i32")

    def clamp(self, index, low, high):
        """Index arithmetic: max(low, min(index, high))."""
        return self.tir.Max(self._index(low), self.tir.Min(self._index(index), self._index(high)))

    def floordiv(self, index, by):
        """index / by for index >= 0. (FloorDiv would need a pass that takes as long as all others together.)"""
        if isinstance(index, int) and isinstance(by, int):
            return index // by
        return self.tir.Div(self._index(index), self._index(by))

    def same(self, a, b) -> bool:
        """Whether two indices are written alike: equal, if both are numbers."""
        from tvm_ffi import structural_equal
        return structural_equal(self._index(a), self._index(b))

    def _index(self, value):
        return self.int(value) if isinstance(value, int) else value

    # memory

    def alloc(self, name: str, size, dtype: str, depth: int = -1):
        """Scratch, as a buffer of no length: equal work on tiles of different sizes is then the same function."""
        buffer = self.tir.decl_buffer((size,), NAMES[dtype], name)
        view = self.tir.decl_buffer((1 << 60,), NAMES[dtype], name)
        self.frames[depth] += [self.tir.AllocBuffer(buffer, {}), self.tir.DeclBuffer(view, data=buffer.data)]
        self.pointers[view] = None, dtype
        return view

    def local(self, lanes: int, dtype: str = "f32", depth: int = -1, count: int = 1):
        """A register variable of `count` vectors: read and written by `get` and `put`."""
        self._count += 1
        register = self.tir.decl_buffer((lanes * count,), NAMES[dtype], f"r{self._count}", scope="local")
        self.registers[register] = dtype, lanes * count
        self.frames[depth].append(self.allocation(register))
        return register

    def allocation(self, register):
        # without the annotation even eight floats would come from the thread's workspace, by a call
        return self.tir.AllocBuffer(register, {"disable_lower_builtin": self.tir.const(True, "bool")})

    def aligned_frame(self) -> list:
        """What makes LLVM align a function's frame to whole vectors. It puts spilled ones anywhere, half of them across two cache lines,
        unless a variable in memory needs the alignment: this one's address is prefetched, which nothing waits for."""
        tir = self.tir
        anchor = tir.decl_buffer((1,), "float32x8", "frame", scope="local")
        where = tir.address_of(tir.BufferLoad(anchor, [self.int(0)]))
        fetch = tir.call_llvm_intrin("void", "llvm.prefetch.p0", where, *(tir.const(x, "int32") for x in (0, 3, 1)))
        return [self.allocation(anchor), tir.Evaluate(fetch)]

    def address(self, integer, name: str, dtype: str):
        """A buffer at the address that an int64 holds."""
        buffer = self.tir.decl_buffer((1 << 60,), NAMES[dtype], name)
        self.pointers[buffer] = integer, dtype
        self.frames[-1] += self.at_address(buffer, integer, dtype)
        return buffer

    def at_address(self, buffer, integer, dtype: str) -> list:
        pointer = self.pointer(dtype)
        return [self.tir.Bind(pointer, self.tir.reinterpret(pointer.ty, integer)), self.tir.DeclBuffer(buffer, data=pointer)]

    def pointer(self, dtype: str):
        return self.tir.Var("p", self.ir.PointerType(self.ir.PrimType(NAMES[dtype])))

    def load(self, buffer, index, dtype: str, lanes: int = 1, stride=1) -> Value:
        """`lanes` elements from `index` on, `stride` apart."""
        index = self._index(index)
        if lanes > 1:
            index = self.tir.Ramp(index, self._index(stride), lanes)
        return Value(self.tir.BufferLoad(buffer, [index]), dtype, lanes, load=True)

    def store(self, buffer, index, value: Value, stride=1) -> None:
        index = self._index(index)
        if value.lanes > 1:
            index = self.tir.Ramp(index, self._index(stride), value.lanes)
        self.frames[-1].append(self.tir.BufferStore(buffer, value.node, [index]))

    def prefetch(self, buffer, index, dtype: str, write: bool) -> None:
        """Asks for the cache line of an element that will be read; an address without memory does no harm."""
        place = self.tir.address_of(self.load(buffer, index, dtype).node)
        hints = (self.tir.const(x, "int32") for x in (int(write), 2, 1))       # into the second level, data
        self.frames[-1].append(self.tir.Evaluate(self.tir.call_llvm_intrin("void", "llvm.prefetch.p0", place, *hints)))

    # control

    @contextmanager
    def loop(self, low, high, kind: str = "SERIAL", name: str = "i"):
        """for low <= i < high; a loop known to run once gives its constant."""
        if isinstance(low, int) and isinstance(high, int) and high == low + 1 and kind == "SERIAL":
            yield self.int(low)
            return
        var = self.tir.Var(name, "int64")
        self.frames.append([])
        yield var
        body = self.block(self.frames.pop())
        low, high = self._index(low), self._index(high)
        self.frames[-1].append(self.tir.For(var, low, high - low, getattr(self.tir.ForKind, kind), body))

    @contextmanager
    def when(self, condition: Value):
        self.frames.append([])
        yield
        body = self.block(self.frames.pop())
        self.frames[-1].append(self.tir.IfThenElse(condition.node, body, None))

    def block(self, statements: list):
        if not statements:
            return self.tir.Evaluate(self.tir.const(0, "int32"))
        return statements[0] if len(statements) == 1 else self.tir.SeqStmt(statements)

    def function(self, args: list, name: str):
        """The finished PrimFunc: int64 arguments, compiled for the CPU."""
        body = self.block(self.frames.pop())
        for key, number in (("device_id", 0), ("device_type", 1)):
            body = self.tir.AttrStmt(self.ir.StringImm("default"), key, self.tir.const(number, "int32"), body)
        return self.tir.PrimFunc(args, body).with_attr("global_symbol", name)

    def argument(self, name: str):
        return self.tir.Var(name, "int64")


_BINARY = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "floordiv": "Div", "mod": "Mod", "and": "And", "or": "Or",
           "lt": "LT", "le": "LE", "gt": "GT", "ge": "GE", "eq": "EQ", "ne": "NE", "imin": "Min", "imax": "Max"}
