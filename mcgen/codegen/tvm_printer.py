"""Prints kernels as calls on a tile builder: `tvm_kernels.py`."""
from __future__ import annotations

from ..ir import kernel as kr
from ..ir.naming import fresh
from ..ir.nodes import LEAD, dim_of
from .torch_expr import number

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==",
          "ne": "!=", "and": "&", "or": "|"}
_CALLS = {"minimum", "maximum", "where", "exp", "log", "sqrt", "erf", "abs", "sign", "sigmoid", "logsigmoid", "softplus",
          "tanh", "relu", "silu", "gelu", "digit", "carries", "ones", "below", "two_to"}


def print_kernel(function: str, kernel: kr.Kernel, saving: bool) -> str:
    """One function of a tile builder `k`; with `saving` it has the flag `save`."""
    return _Printer(kernel).function(function, saving)


def axis(name: str) -> str:
    """An axis as the tile builder names it: integer dimensions have a # in front."""
    dim = dim_of(name)
    return "#" + name if dim.isdigit() else name


def length(name: str) -> str:
    """How long an axis is, as text."""
    dim = dim_of(name)
    return dim if dim.isdigit() else f'k.sizes["{dim}"]'


class _Printer:
    def __init__(self, kernel: kr.Kernel):
        self.kernel = kernel
        self.lines: list[str] = []
        self.depth = 1
        self.in_loop = False
        self.in_rows = False
        self.variables: dict[str, str] = {}
        self.places = {t.name: t.pos for t in kernel.tiles}
        self.spec_line = 0
        self.taken = {"k", "save", "acc", "float"}

    def line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def function(self, function: str, saving: bool) -> str:
        kernel = self.kernel
        for p in kernel.params:
            self.declare(p.name, p.kind, p.axes, f", delay={p.delay}" if p.delay else "")
        for r in kernel.results[: kernel.saved]:
            self.declare(r.name, r.kind, r.axes, ", out=True" + (f", delay={r.delay}" if r.delay else ""))
        if saving and kernel.results[kernel.saved:]:
            self.line("if save:")
            self.depth += 1
            for r in kernel.results[kernel.saved:]:
                self.declare(r.name, r.kind, r.axes, ", out=True")
            self.depth -= 1
        self.line("with k.sequences():")
        self.depth += 1
        for t in kernel.tiles:
            self.declare(t.name, "tile", t.axes, ', dtype="f64"' if t.precise else "")
        self.statements(kernel.before)
        self.line(f"with k.rows({'reverse=True' if kernel.reverse else ''}):")
        self.depth += 1
        self.in_rows = True
        self.statements(kernel.rows)
        if not kernel.rows:
            self.line("pass")
        self.in_rows = False
        self.depth -= 1
        self.statements(kernel.after)
        return "\n".join([f"def {function}(k{', save' if saving else ''}):", *self.lines]) + "\n"

    def declare(self, name: str, kind: str, axes: tuple[str, ...], extra: str = "") -> None:
        variable = self.variables[name] = fresh(name, self.taken)
        dims = "".join(f', "{axis(a)}"' for a in axes)
        self.line(f'{variable} = k.{kind}("{name}"{dims}{extra})')

    # -- statements --------------------------------------------------------------------------------------------
    def statements(self, statements) -> None:
        for s in statements:
            self.statement(s)

    def statement(self, s) -> None:
        self.section(s)
        match s:
            case kr.Load():
                shift = f", shift={s.shift - s.param.delay}" if s.shift - s.param.delay else ""
                fill = f", fill={number(s.fill)}" if s.fill is not None else ""
                self.line(f"k.load({self.ref(s.dst)}, {self.variables[s.param.name]}{shift}{fill})")
            case kr.Store():
                shift = f", shift={s.shift - s.result.delay}" if s.shift - s.result.delay else ""
                more = ", accumulate=True" if s.accumulate else ""
                self.line(f"k.store({self.variables[s.result.name]}, {self.expr(s.value)}{shift}{more})")
            case kr.Map():
                axes = s.dst.axes if "c" in s.dst.axes else ()      # a vector over the slots is written whole
                self.line(f"k.map({self.ref(s.dst)}, {self.expr(s.value)}{self.more(s, axes)})")
            case kr.Reduce():
                self.line(f"k.{s.kind}({self.ref(s.dst)}, {self.expr(s.value)}, over={self.axes(s.over)}{self.more(s, s.dst.axes + s.over)})")
            case kr.Dot():
                extra = f", scale={self.expr(s.scale)}" if s.scale is not None else ""
                extra += f", then=lambda acc: {self.expr(s.then)}" if s.then is not None else ""
                extra += ", lower=True" if s.lower else ""
                extra += ", over_lower=True" if s.over_lower else ""
                extra += f", rows={self.expr(s.rows)}" if s.rows is not None else ""
                self.line(f"k.dot({self.ref(s.dst)}, {self.expr(s.left)}, {self.expr(s.right)}, over={self.axes(s.over)}"
                          f"{self.more(s, s.dst.axes + s.over)}{extra})")
            case kr.Product():
                self.block(f"with k.product({self.axes(s.axes)}, {self.expr(s.left)}, {self.expr(s.right)}, over={self.axes(s.over)}) as acc:", s.body)
            case kr.Cumsum():
                flags = "".join(f", {f}=True" for f in ("reverse", "exclusive") if getattr(s, f))
                self.line(f'k.cumsum({self.ref(s.dst)}, {self.expr(s.value, s.dst.precise)}, axis="{axis(s.axis)}"{flags})')
            case kr.Solve():
                more = ", transposed=True" if s.transposed else ""
                self.line(f"k.solve({self.ref(s.x)}, {self.ref(s.matrix)}{more})")
            case kr.Cumprod():
                self.line(f"k.cumprod({self.ref(s.dst)}, {self.expr(s.value)}{', reverse=True' if s.reverse else ''})")
            case kr.Decayed():
                more = ", reverse=True" if s.reverse else ""
                self.line(f"k.decayed({self.ref(s.dst)}, {self.expr(s.value)}, {self.expr(s.factor)}{more})")
            case kr.Pair():
                self.line(f"k.pair({', '.join(map(self.ref, (s.dst, s.q, s.k, s.factor)))})")
            case kr.Channels():
                given = ", ".join("None" if x is None else self.ref(x) for x in (s.matrix, s.q, s.k, s.factor))
                wanted = "".join(f", {n}={self.ref(x)}" for n, x in (("dq", s.dq), ("dk", s.dk), ("df", s.df)) if x is not None)
                self.line(f"k.channels({given}{wanted})")
            case kr.Topk():
                among = "digits=True" if s.digits else "limit=k.segment"
                self.line(f"k.topk({self.ref(s.dst)}, {self.ref(s.score)}, top={s.k}, {among})")
            case kr.DenseSolve():
                words = f'row="{axis(s.row)}", column="{axis(s.column)}"' + (", definite=True" if s.definite else "")
                self.line(f"k.dense_solve({self.ref(s.dst)}, {self.expr(s.matrix)}, {self.expr(s.right)}, {words})")
            case kr.When():
                self.block(f"with k.when({self.expr(s.condition)}):", s.body)
            case kr.Loop(kind="tokens" | "tokens_back"):
                self.block(f'with k.loop("c", 0, k.count{", reverse=True" if s.kind == "tokens_back" else ""}):', s.body)
            case kr.Loop():
                slot = self.kernel.slot
                head = {"past": 'k.loop("n", 0, k.segment)', "segment": f'k.loop("{slot}", k.segment, k.segment + 1)', "digits": "k.digits()",
                        "all": f'k.loop("{slot}", 0, k.{"slots" if slot == "n" else "units"}_count)'}[s.kind]
                outer, self.in_loop = self.in_loop, True
                self.block(f"with {head}:", s.body)
                self.in_loop = outer
            case kr.Along():
                self.block(f'with k.loop("{axis(s.axis)}", 0, {length(s.axis)}):', s.body)
            case kr.Saving():
                self.block("if save:", s.body)

    def section(self, s) -> None:
        """A comment where statements begin that come from another line of the spec."""
        pos = self.places.get(s.dst.storage) if hasattr(s, "dst") else None
        if pos is not None and pos.line not in (0, self.spec_line):
            self.spec_line = pos.line
            self.line(f"# spec line {pos.line}: {pos.text.strip()}")

    def block(self, head: str, body) -> None:
        self.line(head)
        self.depth += 1
        self.statements(body)
        self.depth -= 1

    def more(self, s, axes: tuple[str, ...]) -> str:
        text = ", accumulate=True" if s.accumulate else ""
        if "n" in axes and self.kernel.slot == "n" and self.in_rows and not self.in_loop:
            text += ', upto={"n": k.segment}'
        return text

    @staticmethod
    def axes(axes: tuple[str, ...]) -> str:
        return f'"{axis(axes[0])}"' if len(axes) == 1 else "(" + ", ".join(f'"{axis(a)}"' for a in axes) + ")"

    # -- expressions -------------------------------------------------------------------------------------------
    def ref(self, r: kr.Ref) -> str:
        if r.kind == "acc":
            return "acc"
        name = self.variables[r.storage]
        axes = r.axes
        if r.kind in ("slots", "units") and LEAD[r.kind] == (self.kernel.slot,) and (self.in_loop or r.at):
            axes = tuple(a for a in axes if a != self.kernel.slot)
            name += ".at(k.segment)" if r.at == "segment" else f'.at("{self.kernel.slot}")'
        return f"{name}[{', '.join(chr(34) + axis(a) + chr(34) for a in axes)}]" if axes else f"{name}()"

    def expr(self, e: kr.Expr, precise: bool = False) -> str:
        """An expression; float64 parts are cast to float32 unless `precise`."""
        text, exact = self.typed(e)
        return f"k.f32({text})" if exact and not precise else text

    def typed(self, e: kr.Expr) -> tuple[str, bool]:
        """Text, and whether it is float64."""
        match e.op:
            case "num":
                return (f"({number(e.attr)})" if e.attr < 0 else number(e.attr)), False
            case "size":
                return f'float({length(e.attr)})', False
            case "ref":
                return self.ref(e.attr), e.attr.precise
            case "iota":
                return ('k.index("n")' if e.attr == "n" and self.in_loop else f'k.iota("{axis(e.attr)}")'), False
            case "row":
                return ("k.row" if e.attr == "index" else f"k.{e.attr}"), False
        if e.op in ("sub", "where") and any(self.typed(a)[1] for a in e.args):
            args = [self.typed(a)[0] for a in e.args]
            return (f"({args[0]} - {args[1]})" if e.op == "sub" else f"k.where({', '.join(args)})"), True
        args = [self.expr(a) for a in e.args]
        if e.op in ("lt", "le", "gt", "ge", "eq", "ne") and any(a.dtype == "i" for a in e.args):
            args = [str(int(a.attr)) if a.op == "num" and a.attr == int(a.attr) else t for a, t in zip(e.args, args)]
        if e.op in _INFIX:
            return f"({args[0]} {_INFIX[e.op]} {args[1]})", False
        match e.op:
            case "neg":
                return f"(-{args[0]})", False
            case "float":
                return f"k.f32({args[0]})", False
            case "stop":
                return args[0], False
            case "logfloor":
                return f"k.log(k.maximum(k.abs({args[0]}), 1e-30))", False
            case "parity":
                return f"(1.0 - 2.0 * k.f32(k.i32({args[0]}) % 2))", False
            case "pow":
                if e.args[0].op in ("size", "num"):
                    return f"{args[0]} ** {args[1]}", False
                return f"k.pow({args[0]}, {args[1]})", False
        if e.op not in _CALLS:
            raise ValueError(f"no kernel function {e.op}")
        return f"k.{e.op}({', '.join(args)})", False

