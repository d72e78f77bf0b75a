"""Prints a chunk-level program as a torch function: whole tensors over all rows, loops only where the program has them."""
from __future__ import annotations

from ..ir.naming import fresh, stem
from ..ir.nodes import LEAD, Param, Program, Result, Value, dim_of, order
from ..passes.precision import precise
from .torch_channels import Channels
from .torch_expr import CALLS, INFIX, Name, aligned, number, shape_comment, spelled
from .torch_loops import Loops


# what a printed function calls its own: a parameter of that name gets a number (functions are called by position)
OWN = {"z", "rows", "like", "table", "chunk", "save", "R", "N", "T", "B", "H", "ops", "torch", "F", "n", "r", "c", "M", "results", "range", "reversed",
       "float", "min", "max", "inputs", "sizes", "dtype", "device"}


def print_function(name: str, program: Program, before_table: int, save_from: int | None = None, doc: str = "") -> str:
    """One function. Parameters: the program's, with `table` after the first `before_table`; keyword `chunk`, and `save` when results from the index
    `save_from` on are wanted only then. Returns a tuple of the results in order."""
    return _Printer(program).function(name, before_table, save_from, doc)


def print_starts(names: dict[str, Value], axes: dict[str, tuple[str, ...]]) -> str:
    """The function `initial_states`: name -> tensor [H, *axes]."""
    return _Printer(Program("initial_states", (), ())).starts(names, axes)


class _Printer(Channels, Loops):
    def __init__(self, program: Program):
        self.program = program
        self.lines: list[str] = []
        self.names: dict[int, Name] = {}
        self.taken = set(OWN)
        self.dims: dict[str, str] = {}
        self.indent = "    "
        self.scope: list[Value] = []            # the values of the program or loop that is being printed
        self.precise: set[int] = set()
        self.of_heads = False
        self.spec_line = 0

    # -- the frame ---------------------------------------------------------------------------------------------
    def function(self, name: str, before_table: int, save_from: int | None, doc: str) -> str:
        program = self.program
        self.locals = {p.name: self.fresh(p.name) for p in program.params}
        inputs = list(self.locals.values())
        inputs.insert(before_table, "table")
        keywords = "chunk: int" + ("" if save_from is None else ", save: bool = False")
        self.line(f"like = {inputs[0]}", "")
        self.preamble()
        roots = program.roots()
        self.scope = order(roots)
        self.precise = precise(self.scope)
        self.statements(self.scope)
        self.results(save_from)
        head = [f"def {name}({', '.join(inputs)}, *, {keywords}):"] + ([f'    """{doc}"""'] if doc else [])
        return "\n".join(head + self.lines) + "\n"

    def preamble(self) -> None:
        """Sizes from the parameters' shapes, the rows, and every parameter as a tensor with a leading z."""
        lead = {"token": 3, "head": 1, "memory": 2, "slots": 3, "units": 3, "levels": 3, "starts": 3}
        first = next(p for p in self.program.params if p.kind == "token")
        lead_in = self.locals[first.name]
        past = f" - {first.delay} * (table.shape[0] // {lead_in}.shape[0])" if first.delay else ""       # packed: in front of every sequence
        self.line(f"B, T, H = table.shape[0], {lead_in}.shape[1]{past}, {lead_in}.shape[2]")
        for p in self.program.params:
            for i, axis in enumerate(p.axes):
                dim = dim_of(axis)
                if not dim.isdigit() and dim not in self.dims:
                    self.dims[dim] = self.fresh(f"size_{dim}")
                    self.line(f"{self.dims[dim]} = {self.locals[p.name]}.shape[{lead[p.kind] + i}]")
        kinds = {p.kind: f"{self.locals[p.name]}.shape[2]" for p in reversed(self.program.params) if p.kind in ("slots", "units", "levels")}
        if "units" in kinds:
            self.line(f"M = {kinds['units']}")
            kinds.setdefault("slots", kinds.get("levels", "ops.levels(M)"))
        if "slots" in kinds:
            self.line(f"N = {kinds['slots']}")
        self.line(f"rows = ops.Rows(table, {lead_in}, {self.program.segment or -1}, chunk)")
        self.line("z, R = rows.z, rows.rows")

    def line(self, text: str, comment: str = "") -> None:
        self.lines.append(self.indent + text + (f"  # {comment}" if comment else ""))

    def size(self, axis: str) -> str:
        fixed = {"r": "R", "c": "chunk", "d": "chunk", "mid": "chunk", "n": "N", "l": "N", "m": "M", "t": "T"}
        if axis in fixed:
            return fixed[axis]
        dim = dim_of(axis)
        return dim if dim.isdigit() else self.dims[dim]

    def fresh(self, stem: str) -> str:
        return fresh(stem, self.taken)

    def starts(self, names: dict[str, Value], axes: dict[str, tuple[str, ...]]) -> str:
        """A function of per-head inputs and sizes that gives tensors [H, *axes]: z is the head."""
        self.of_heads = True
        self.line('z, like = sizes["H"], torch.empty(0, dtype=dtype, device=device)')
        values = order(names.values())
        for dim in dict.fromkeys(dim_of(a) for v in values for a in (*v.axes, *([v["axis"]] if v.op == "size" else []))):
            if not dim.isdigit():
                self.dims[dim] = self.fresh(f"size_{dim}")
                self.line(f'{self.dims[dim]} = sizes["{dim}"]')
        self.statements(values)
        made = ", ".join(f'"{n}": {self.full(v, axes[n])}' for n, v in names.items())
        self.line(f"return {{{made}}}")
        return "\n".join(["def initial_states(inputs, sizes, *, dtype, device):"] + self.lines) + "\n"

    # -- statements --------------------------------------------------------------------------------------------
    def statements(self, values: list[Value]) -> None:
        for value in values:
            if id(value) not in self.names:
                self.statement(value)

    def statement(self, value: Value) -> None:
        match value.op:
            case "const":
                self.names[id(value)] = Name(number(value["value"]), scalar=True)
            case "size":
                self.names[id(value)] = Name(self.size(value["axis"]), scalar=True)
            case "row":
                self.names[id(value)] = Name(f"rows.{value['field']}", ("r",))
            case "iota":
                self.define(value, f"ops.iota({'like' if self.of_heads else 'table'}, {self.size(value['axis'])})", f"at_{dim_of(value['axis'])}", batched=False)
            case "scan":
                self.scan(value)
            case "slots":
                self.slots(value)
            case "out":
                pass
            case "rename":
                inner = self.names[id(value.args[0])]
                moves = dict(value["moves"])
                self.names[id(value)] = Name(inner.text, tuple(moves.get(a, a) for a in inner.axes), inner.batched, inner.scalar)
            case _:
                text = getattr(self, "_" + value.op)(value)
                if value.op == "map" and all(self.names[id(a)].scalar for a in value.args):
                    self.names[id(value)] = Name(f"({text})", scalar=True)
                else:
                    self.define(value, text, self.stem(value))

    def define(self, value: Value, text: str, stem: str, batched: bool = True) -> None:
        name = self.fresh(stem)
        if value.args and value.pos.line not in (0, self.spec_line):
            self.spec_line = value.pos.line
            self.lines.append(f"{self.indent}# spec line {value.pos.line}: {value.pos.text.strip()}")
        self.line(f"{name} = {text}", shape_comment(value))
        self.names[id(value)] = Name(name, value.axes, batched)

    def stem(self, value: Value) -> str:
        """What a value is called; parameters say how they lie: _c tokens of a row, _z flat over sequences and heads."""
        if value.op == "load":
            return f"{value['name']}_c" + (f"_{value['shift']}" if value["shift"] else "")
        if value.op == "param":
            return value["name"] if self.of_heads else f"{value['name']}_z"
        return stem(value)

    def ref(self, value: Value, target: tuple[str, ...] | None = None, precise: bool = False) -> str:
        """A value as text that broadcasts over (z, *target)."""
        name = self.names[id(value)]
        if name.scalar:
            return name.text
        text = name.text if target is None else aligned(name.text, name.axes, target, name.batched)
        if id(value) in self.precise and not precise:
            text = f"{text}.to(like.dtype)"
        return text

    def full(self, value: Value, axes: tuple[str, ...]) -> str:
        """A value over exactly (z, *axes), every axis in full."""
        shape = ", ".join(["z", *map(self.size, axes)])
        name = self.names[id(value)]
        if name.scalar:
            return f"like.new_full(({shape},), {name.text})"
        text = self.ref(value, axes)
        return text if name.axes == axes and not self.same_everywhere(value) else f"{text}.expand({shape})"

    def same_everywhere(self, value: Value) -> bool:
        """Whether the value is the same for every z, so that its tensor has size 1 there."""
        if not value.args:
            return value.op in ("iota", "const", "size")
        return value.op in ("map", "rename", "sum", "cumsum", "dot", "max") and all(map(self.same_everywhere, value.args))

    # -- operations --------------------------------------------------------------------------------------------
    def _param(self, v):
        if self.of_heads:
            return f'inputs["{v["name"]}"]'
        p = self.program.param(v["name"])
        local = self.locals[p.name]
        return f"ops.per_head({local}, B)" if p.kind == "head" else f"ops.flat({local})"

    def _load(self, v):
        p = self.program.param(v["name"])
        shift, delay = v["shift"], p.delay
        extra = (f", shift={shift}, delay={delay}" if delay else "") + (", zero=True" if v["fill"] is not None else "")
        return f"rows.load(ops.tokens({self.locals[p.name]}){extra})"

    def _map(self, v):
        fn, args = v["fn"], v.args
        keep = id(v) in self.precise
        text = [self.ref(a, v.axes, keep) for a in args]
        scalars = [self.names[id(a)].scalar for a in args]
        if fn in INFIX:
            return f"{text[0]} {INFIX[fn]} {text[1]}"
        if fn == "neg":
            return f"-{text[0]}"
        if fn == "where":
            if all(scalars):
                return f"{text[1]} if {text[0]} else {text[2]}"
            if scalars[0] or all(scalars[1:]):
                return f"ops.where({', '.join(text)}, like)"
            return f"torch.where({', '.join(text)})"
        if fn in ("minimum", "maximum"):
            if all(scalars):
                return f"{fn[:3]}({text[0]}, {text[1]})"
            if scalars[0]:
                text = text[::-1]
            return f"ops.{fn}({text[0]}, {text[1]})"
        if fn == "float":
            return f"float({text[0]})" if scalars[0] else f"{text[0]}.to(like.dtype)"
        if fn == "stop":
            return (text[0] if scalars[0] else f"{text[0]}.detach()")
        if scalars[0]:
            return f"float({CALLS[fn]}(torch.tensor({text[0]}, dtype=torch.float64)))"
        return f"{CALLS[fn]}({', '.join(text)})"

    def _sum(self, v):
        x = v.args[0]
        places = [1 + x.axes.index(a) for a in v["over"]]
        return f"{self.ref(x, x.axes)}.sum({tuple(places) if len(places) > 1 else places[0]})"

    def _max(self, v):
        x = v.args[0]
        return f"ops.largest({self.ref(x, x.axes)}, {1 + x.axes.index(v['over'][0])})"

    def _dot(self, v):
        x, y = v.args
        left, right, out = spelled(*(self.names[id(a)].axes if self.names[id(a)].batched else a.axes for a in (x, y)), v.axes)
        return f'torch.einsum("{left},{right}->{out}", {self.batch(x)}, {self.batch(y)})'

    def batch(self, x: Value) -> str:
        name = self.names[id(x)]
        return self.ref(x) if name.batched else f"{self.ref(x, x.axes)}.to(like.dtype).expand(z, {', '.join(map(self.size, x.axes))})"

    def _cumsum(self, v):
        x = v.args[0]
        text = self.ref(x, v.axes, True)
        if id(v) in self.precise and id(x) not in self.precise:
            text += ".double()"
        flags = "".join(f", {k}=True" for k in ("reverse", "exclusive") if v[k])
        return f"ops.running({text}, {1 + v.axes.index(v['axis'])}{flags})"

    def _collect(self, v):
        x, old = v.args
        return f"rows.collect({self.full(x, ('r',) + v.axes[1:])}, {self.full(old, v.axes)})"

    def _expose(self, v):
        return f"rows.expose({self.full(v.args[0], (('m' if 'm' in v.args[0].axes else 'n'),) + v.axes[1:])})"

    def _keep(self, v):
        return f"rows.keep({self.full(v.args[0], v.axes)})"

    def _take(self, v):
        x, digit = v.args
        rest = tuple(a for a in x.axes if a != "m")
        made = f"rows.take({self.full(x, ('m', *rest))}, {self.digit(digit)})"
        return aligned(made, ("r", *digit.axes, *rest), v.axes)

    def _give(self, v):
        x, digit = v.args
        return f"rows.give({self.full(x, ('r', *digit.axes, *v.axes[1:]))}, {self.digit(digit)}, M)"

    def digit(self, value: Value) -> str:
        """A digit's number, or those of all."""
        return self.names[id(value)].text

    def _dense_solve(self, v):
        matrix, x = v.args
        row, column = v["row"], v["column"]
        lead = tuple(a for a in v.axes if a in matrix.axes and a != column)
        own = tuple(a for a in v.axes if a not in matrix.axes)
        made = f"ops.dense_solve({self.full(matrix, lead + (row, column))}, {self.full(x, lead + (row,) + own)}, {len(own)})"
        return aligned(made, lead + (column,) + own, v.axes)

    def _topk(self, v):
        return f"rows.topk({self.full(v.args[0], v.axes)}, {v['k']}{', digits=True' if v['digits'] else ''})"

    # -- results -----------------------------------------------------------------------------------------------
    def results(self, save_from: int | None) -> None:
        texts = [self.result(r) for r in self.program.results]
        if save_from is None or save_from == len(texts):
            self.line(f"return ({', '.join(texts)},)")
            return
        self.line(f"results = ({', '.join(texts[:save_from])},)")
        self.line(f"return results + ({', '.join(texts[save_from:])},) if save else results")

    def result(self, r: Result) -> str:
        if r.kind == "token":
            parts = ", ".join(f"({self.full(v, ('r', 'c') + r.axes)}, {s})" for v, s in r.parts)
            return f"ops.from_tokens(rows.store([{parts}], T, {r.delay}), H)"
        return f"ops.unflat({self.full(r.parts[0][0], LEAD.get(r.kind, ()) + r.axes)}, H)"


__all__ = ["Param", "print_function", "print_starts"]
