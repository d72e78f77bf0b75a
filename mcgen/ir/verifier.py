"""Checks that a program says what the grammar allows: run after every pass, so that a broken pass is named at once."""
from __future__ import annotations

from .functions import TABLE
from .nodes import AXIS_ORDER, LEAD, Program, Value, is_dim, scan_axis, slot_axis, sort_axes


class BrokenProgram(AssertionError):
    """A pass made a program that its level does not allow: a defect of mcgen."""


def verify_program(program: Program) -> None:
    """Raises BrokenProgram with the value that is wrong."""
    declared = {p.name for p in program.params}
    for value in program.order():
        _value(program, value, declared)
    for result in program.results:
        _result(program, result)


def _value(program: Program, value: Value, declared: set[str]) -> None:
    def need(condition: bool, what: str) -> None:
        if not condition:
            raise BrokenProgram(f"{program.name}: {value.op} over [{', '.join(value.axes)}]: {what}")

    args = value.args
    need(len(set(value.axes)) == len(value.axes), "an axis twice")
    match value.op:
        case "map":
            entry = TABLE.get(value["fn"])
            need(entry is not None and entry.arity == len(args), f"unknown function {value['fn']}")
            need(value.axes == sort_axes(a for x in args for a in x.axes), "axes are not the union of its arguments'")
        case "sum" | "max":
            need(set(value["over"]) <= set(args[0].axes), "reduces an axis that is not there")
            need(value.axes == tuple(a for a in args[0].axes if a not in value["over"]), "axes")
        case "dot":
            need(all(set(value["over"]) <= set(x.axes) for x in args), "sums an axis that is not in both")
            need(set(value.axes) == {a for x in args for a in x.axes} - set(value["over"]), "axes")
        case "cumsum":
            need(value["axis"] in value.axes and value.axes == args[0].axes, "axes")
        case "segsum":
            need("c" in args[0].axes and "d" not in args[0].axes and set(value.axes) == {*args[0].axes, "d"}, "axes")
        case "solve":
            step = value["step"]
            need({"c", "d", *([step, step + "~"] if step else [])} == set(args[0].axes) - {"r"}, "the matrix's axes")
            need("c" in value.axes and set(args[1].axes) <= set(value.axes) and "d" not in value.axes, "axes")
        case "inverse":
            need(value.axes == args[0].axes and {"c", "d"} == set(value.axes) - {"r"}, "axes")
        case "cumprod":
            need(value.axes == args[0].axes and "c" in value.axes, "axes")
        case "decayed":
            need(set(value.axes) == {a for x in args for a in x.axes} and "c" in args[1].axes, "axes")
        case "pair":
            need("c" not in args[1].axes and "d" not in (*args[0].axes, *args[2].axes) and value["axis"] not in value.axes
                 and {"c", "d"} <= set(value.axes), "axes")
        case "papply":
            given, left = ("c", "d") if value["transposed"] else ("d", "c")
            need(left not in args[1].axes and given not in value.axes and {left, value["axis"]} <= set(value.axes), "axes")
        case "pfactor":
            need("d" not in value.axes and "d" not in args[1].axes and "c" not in args[2].axes
                 and {"c", value["axis"]} <= set(value.axes), "axes")
        case "channels":
            gone, left = ("c", "d") if value["part"] == "k" else ("d", "c")
            need(gone not in value.axes and "d" not in args[1].axes and "c" not in args[2].axes
                 and {left, value["axis"]} <= set(value.axes), "axes")
        case "rename":
            need(len(value.axes) == len(args[0].axes), "axes")
        case "collect":
            need(value.axes[0] in ("n", "m") and value.axes[0] not in args[0].axes and "r" not in args[1].axes, "axes")
            need(("l" in args[0].axes) == (len(args) == 3), "which of the levels")
        case "expose":
            need(value.axes[0] == "r" and "r" not in args[0].axes, "axes")
        case "keep":
            need("n" in value.axes or "m" in value.axes, "axes")
        case "take":
            need("m" in args[0].axes and not {"r", "n"} & set(args[0].axes) and args[1].dtype == "i" and set(args[1].axes) <= {"n"}, "axes")
            need(set(value.axes) == {"r", *args[1].axes, *args[0].axes} - {"m"}, "axes")
        case "give":
            need(args[1].dtype == "i" and set(args[1].axes) <= {"n"} and {"r", *args[1].axes} <= set(args[0].axes) and "m" not in args[0].axes, "axes")
            need(value.axes[0] == "m" and set(value.axes) == {"m", *args[0].axes} - {"r", "n"}, "axes")
        case "topk":
            need(value.dtype == "b" and {"r", "c", "n"} <= set(value.axes), "axes")
        case "dense_solve":
            row, column = value["row"], value["column"]
            need({row, column} <= set(args[0].axes) and row in args[1].axes and column not in args[1].axes, "axes")
            need(set(value.axes) == {*args[0].axes, *args[1].axes} - {row}, "axes")
        case "scan":
            _scan(value, need)
        case "slots":
            for param, arg in zip(value["body"].params, args, strict=True):
                need(set(arg.axes) - {slot_axis(value)} == set(param.axes), f"{param.name} is over [{', '.join(arg.axes)}]")
            verify_program(value["body"])
        case "param" | "load":
            need(value["name"] in declared, f"no parameter {value['name']}")
        case "const" | "size" | "iota" | "row" | "out":
            pass
        case _:
            need(False, "unknown operation")


def _scan(value: Value, need) -> None:
    body: Program = value["body"]
    n, m, axis = value["carries"], value["xs"], scan_axis(value)
    need(len(value.args) == len(body.params) + (axis == "c"), "arguments and parameters differ in number")
    need(len(body.results) >= n, "fewer results than carries")
    for i, (param, arg) in enumerate(zip(body.params, value.args)):
        axes = set(arg.axes) - ({axis} if n <= i < n + m else set())
        need(axes <= set(param.axes), f"{param.name} is over [{', '.join(arg.axes)}]")
    for param, result in zip(body.params, body.results[:n]):
        need(set(result.parts[0][0].axes) <= set(param.axes), f"carry {param.name} changes its axes")
    if axis == "c":
        rows = set(value.args[-1].axes)
        need(rows <= {"r"}, "the number of tokens is one of a row")
        need(all(rows <= set(x.axes) for x in (*body.params, *body.results[n:])), "a parameter or result that lacks the rows")
        need(not any("c" in v.axes for v in body.order()), "a token inside a scan over tokens")
    verify_program(body)


def _result(program: Program, result) -> None:
    lead = {"r", "c"} if result.kind == "token" else set(LEAD.get(result.kind, ()))
    if result.kind in ("sum", "stack", "give", "value"):
        lead = set(AXIS_ORDER)
    for value, _ in result.parts:
        extra = set(value.axes) - lead - set(result.axes)
        if extra:
            raise BrokenProgram(f"{program.name}: result {result.name} has the axes {sorted(extra)} too many")
        if not all(is_dim(a) or a in AXIS_ORDER for a in value.axes):
            raise BrokenProgram(f"{program.name}: result {result.name}")
