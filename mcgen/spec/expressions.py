"""Text -> Expr: Python expression syntax through `ast`, node by node against a whitelist. Nothing is evaluated.

The grammar (Python's own precedence; `@` binds like `*`):

    e     ::= number | name | e (+ | - | * | / | @ | **) e | -e | e.T | e[e] | name(e, ...) | (e)
    where ::= where(e (< | <= | > | >= | == | !=) e, e, e)          comparisons nowhere else
    grad  ::= grad(name) | grad(name, at=e)
"""
from __future__ import annotations

import ast
import math
import re
import warnings

from ..diagnostics import Pos, SpecError, error, quote
from .nodes import Binary, Call, Compare, Expr, Index, Name, Num, Unary
from .tree import Text

MAX_LENGTH = 4000
MAX_DEPTH = 80
EXACT = 2 ** 53

_ALLOWED = re.compile(r"[A-Za-z0-9_ \n.+\-*/@()\[\],=<>!]")
_BINARY = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**", ast.MatMult: "@"}
_COMPARE = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
_CHARACTER_HINTS = {
    "^": "a power is written x**2", "%": "there is no modulo", "#": "comments belong outside expressions",
    "{": "YAML braces can't stand inside an expression", "'": "there is no text in expressions", "|": None,
    ":": "slices are not part of the language: x[i] is one entry or row", "·": "a product is written with *",
    "×": "a product is written with *", "ᵀ": "a transpose is written S.T", "−": "minus is the plain character '-'",
}
# Python's constructs by their ast names: what they are called in messages, and what to write instead
_CONSTRUCTS = {
    "IfExp": ("'x if c else y'", "a choice is written where(a < b, x, y)"),
    "Compare": ("a comparison", "comparisons stand only in where(a < b, x, y)"),
    "BoolOp": ("'and', 'or'", "a choice is written where(a < b, x, y)"),
    "Not": ("'not'", "a choice is written where(a < b, x, y)"),
    "Slice": ("a slice", "x[i] is one entry or row"),
    "Tuple": ("a tuple", "x[i] takes one index; an entry of a matrix is S[i][j]"),
    "List": ("a list", "an index follows a name, as in x[0]"),
    "Lambda": ("'lambda'", "functions are declared under `functions`"),
    "FloorDiv": ("'//'", "division is written /"),
    "UAdd": ("a plus sign before a value", "leave it out"),
    "Starred": ("'*' before an argument", None),
    "Constant": ("a value that is not a number", None),
    "NamedExpr": ("':='", None),
    "LShift": ("'<<'", None), "RShift": ("'>>'", None),
}


def parse_expression(text: Text) -> Expr:
    """The expression in a YAML scalar, with places. Raises SpecError, whatever the text holds."""
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: Text):
        self.text = text
        self.lead = len(text.value) - len(text.value.lstrip(" \n"))
        self.code = text.value.strip(" \n").replace("\n", " ")

    def parse(self) -> Expr:
        self.scan()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(self.code, mode="eval")
        except SyntaxError as e:
            at = max((e.offset or 1) - 1, 0)
            end = (e.end_offset or 0) - 1
            raise self.wrong("syntax", _syntax_message(e.msg or ""), at, max(end, at + 1)) from None
        except (ValueError, MemoryError, RecursionError, OverflowError):
            raise self.wrong("too-deep", "the expression is too deeply nested", 0, len(self.code)) from None
        return self.convert(tree.body, 0)

    def scan(self) -> None:
        """What must hold before Python's parser sees the text: not empty, short, known characters, shallow."""
        if not self.code:
            raise error("missing-value", "an expression is expected here", self.text.pos)
        if len(self.code) > MAX_LENGTH:
            raise error("too-large", f"an expression has at most {MAX_LENGTH} characters", self.text.pos)
        open_at: list[int] = []
        for i, char in enumerate(self.code):
            if not _ALLOWED.match(char):
                raise self.wrong("bad-character", f"{char!r} can't stand in an expression", i, i + 1,
                                 _CHARACTER_HINTS.get(char))
            if char in "([":
                open_at.append(i)
                if len(open_at) > MAX_DEPTH:
                    raise self.wrong("too-deep", f"brackets nest more than {MAX_DEPTH} deep", i, i + 1)
            elif char in ")]":
                if not open_at or self.code[open_at.pop()] != {")": "(", "]": "["}[char]:
                    raise self.wrong("syntax", f"{char!r} closes nothing", i, i + 1)
        if open_at:
            raise self.wrong("syntax", f"{self.code[open_at[-1]]!r} is never closed", open_at[-1], open_at[-1] + 1)

    def pos(self, start: int, end: int) -> Pos:
        return self.text.span(start + self.lead, end + self.lead)

    def wrong(self, code: str, message: str, start: int, end: int, hint: str | None = None) -> SpecError:
        return error(code, message, self.pos(start, end), hint=hint)

    def refuse(self, node: ast.AST, kind: str, what: str, code: str = "not-allowed") -> SpecError:
        start, end = getattr(node, "col_offset", 0), getattr(node, "end_col_offset", None) or len(self.code)
        return self.wrong(code, what, start, end, _CONSTRUCTS.get(kind, ("", None))[1])

    def convert(self, node: ast.expr, depth: int) -> Expr:
        if depth > MAX_DEPTH:
            raise self.refuse(node, "", f"the expression nests more than {MAX_DEPTH} deep", "too-deep")
        pos = self.pos(node.col_offset, node.end_col_offset or len(self.code))
        below = depth + 1
        match node:
            case ast.Constant():
                return Num(self.number(node), pos=pos)
            case ast.Name(id=name):
                return Name(name, pos=pos)
            case ast.UnaryOp(op=ast.USub(), operand=arg):
                return Unary("-", self.convert(arg, below), pos=pos)
            case ast.BinOp(op=ast.Div(), right=ast.Constant(value=0)):
                raise self.refuse(node, "", "a division by 0", "bad-number")
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return Binary(_BINARY[type(op)], self.convert(left, below), self.convert(right, below), pos=pos)
            case ast.Attribute(value=arg, attr="T"):
                return Unary("T", self.convert(arg, below), pos=pos)
            case ast.Attribute(attr=attr):
                raise self.refuse(node, "", f"'.{attr}' is not part of the language; only '.T' is")
            case ast.Subscript(value=arg, slice=index):
                return Index(self.convert(arg, below), self.convert(index, below), pos=pos)
            case ast.Call():
                return self.call(node, below, pos)
            case ast.UnaryOp(op=op) | ast.BinOp(op=op):
                kind = type(op).__name__
            case _:
                kind = type(node).__name__
        what = _CONSTRUCTS.get(kind, (f"Python's {kind}", None))[0]
        if kind == "Compare":
            raise self.refuse(node, kind, f"{what} can't stand here", "comparison")
        raise self.refuse(node, kind, f"{what} is not part of the language")

    def number(self, node: ast.Constant) -> int | float:
        value = node.value
        if type(value) is int and abs(value) <= EXACT:
            return value
        if type(value) is int and value.bit_length() < 1000:
            return float(value)
        if type(value) is float and math.isfinite(value):
            return value
        written = self.code[node.col_offset:node.end_col_offset]
        raise self.refuse(node, "", f"{quote(written)} is not a finite real number", "bad-number")

    def call(self, node: ast.Call, depth: int, pos: Pos) -> Expr:
        if not isinstance(node.func, ast.Name):
            start, end = node.func.col_offset, node.func.end_col_offset or len(self.code)
            hint = f"functions stand alone: {node.func.attr}(...)" if isinstance(node.func, ast.Attribute) and node.func.attr != "T" else None
            raise self.wrong("not-allowed", "only a function's name can be called", start, end, hint)
        fn = node.func.id
        args: list[Expr] = []
        for i, arg in enumerate(node.args):
            args.append(self.compare(arg, depth) if fn == "where" and i == 0 else self.convert(arg, depth))
        kwargs: list[tuple[str, Expr]] = []
        for keyword in node.keywords:
            if keyword.arg != "at" or fn != "grad" or kwargs:
                raise self.refuse(keyword, "", f"{fn} takes no keyword {quote(keyword.arg or '**')}",
                                  "unexpected-keyword")
            kwargs.append(("at", self.convert(keyword.value, depth)))
        return Call(fn, tuple(args), tuple(kwargs), pos=pos)

    def compare(self, node: ast.expr, depth: int) -> Expr:
        """The first argument of `where`."""
        if not isinstance(node, ast.Compare):
            raise self.refuse(node, "Compare", "the first argument of where must be a comparison", "comparison")
        if len(node.ops) != 1 or type(node.ops[0]) not in _COMPARE:
            raise self.refuse(node, "Compare", "one comparison at a time: < <= > >= == !=", "comparison")
        pos = self.pos(node.col_offset, node.end_col_offset or len(self.code))
        left, right = self.convert(node.left, depth), self.convert(node.comparators[0], depth)
        return Compare(_COMPARE[type(node.ops[0])], left, right, pos=pos)


def _syntax_message(message: str) -> str:
    """Python's message where it is about the text, a plain one where it is about Python."""
    if message.startswith(("invalid decimal literal", "leading zeros", "invalid hexadecimal", "invalid octal",
                           "invalid binary", "positional argument follows", "invalid imaginary")):
        return message
    return "not an expression"
