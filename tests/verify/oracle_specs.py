"""Specs for these tests from plain dicts, with a parser of a few lines: the real one has its own tests."""
from __future__ import annotations

import ast

from mcgen.spec.nodes import (
    Binary,
    Cache,
    Call,
    Compare,
    Domain,
    Expr,
    Function,
    Index,
    Input,
    Name,
    Num,
    Rule,
    Segments,
    Spec,
    State,
    Summary,
    Unary,
)

BINARY = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**", ast.MatMult: "@"}
COMPARE = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}


def expr(text) -> Expr:
    return _expr(ast.parse(str(text), mode="eval").body)


def _expr(node) -> Expr:
    match node:
        case ast.Constant(value=v):
            return Num(v)
        case ast.Name(id=name):
            return Name(name)
        case ast.Attribute(value=v, attr="T"):
            return Unary("T", _expr(v))
        case ast.UnaryOp(op=ast.USub(), operand=v):
            return Unary("-", _expr(v))
        case ast.BinOp(left=a, op=op, right=b):
            return Binary(BINARY[type(op)], _expr(a), _expr(b))
        case ast.Compare(left=a, ops=[op], comparators=[b]):
            return Compare(COMPARE[type(op)], _expr(a), _expr(b))
        case ast.Subscript(value=a, slice=i):
            return Index(_expr(a), _expr(i))
        case ast.Call(func=ast.Name(id=fn), args=args, keywords=kw):
            return Call(fn, tuple(map(_expr, args)), tuple((k.arg, _expr(k.value)) for k in kw))
    raise SyntaxError(ast.dump(node))


def _exprs(table):
    return {n: expr(e) for n, e in (table or {}).items()}


def _domain(d):
    if isinstance(d, list):
        return Domain("interval", float(d[0]), float(d[1]))
    return Domain(d)


def _inputs(table):
    out = {}
    for name, d in (table or {}).items():
        d = d if isinstance(d, dict) else {"shape": d}
        out[name] = Input(name, tuple(d["shape"]), d.get("per", "token"), _domain(d.get("domain", "real")), d.get("default"))
    return out


def _states(table):
    out = {}
    for name, d in table.items():
        d = d if isinstance(d, dict) else {"shape": d}
        init = d.get("init", "zeros")
        init = init if init in ("zeros", "learned") else expr(init)
        out[name] = State(name, tuple(d["shape"]), init, _domain(d.get("domain", "real")))
    return out


def _function(head, body):
    name, params = head.rstrip(")").split("(")
    return Function(name, tuple(p.strip() for p in params.split(",") if p.strip()), expr(body))


def spec(rule: dict, cache: dict | None = None, name: str = "op") -> Spec:
    g = rule.get("gradient", "token")
    made = Rule(
        inputs=_inputs(rule["inputs"]), state=_states(rule["state"]), read=expr(rule["read"]), dims=_exprs(rule.get("dims")),
        constants=_exprs(rule.get("constants")), let=_exprs(rule.get("let")),
        functions={f.name: f for f in (_function(h, b) for h, b in rule.get("functions", {}).items())},
        objective=expr(rule["objective"]) if "objective" in rule else None,
        gradient_chunk=None if g == "token" else g["chunk"], update=_exprs(rule.get("update")), end=_exprs(rule.get("end")),
        output=expr(rule["output"]) if "output" in rule else None)
    if cache is None:
        return Spec(name, made)
    summary = expr(cache["summary"]) if "summary" in cache else None
    select = cache.get("select", "all")
    return Spec(name, made, Cache(
        inputs=_inputs(cache.get("inputs")), constants=_exprs(cache.get("constants")), let=_exprs(cache.get("let")),
        segments=Segments(**cache["segments"]), summary=Summary(summary.fn, summary.args[0]) if summary else None,
        score=expr(cache["score"]) if "score" in cache else None, weight=expr(cache.get("weight", 1)),
        top=None if select == "all" else select["top"], mix=cache.get("mix", "reads")))


# -- rules and caches used by several tests ---------------------------------------------------------------------------------

QKV = {"q": ["K"], "k": ["K"], "v": ["V"]}
UNIT = {"q": {"shape": ["K"], "domain": "unit"}, "k": {"shape": ["K"], "domain": "unit"}, "v": ["V"]}
LINEAR = dict(inputs=QKV, state={"S": ["K", "V"]}, update={"S": "S + outer(k, v)"}, read="S.T @ q")
DECAY = dict(inputs={**QKV, "g": {"shape": [], "domain": [float("-inf"), 0]}}, constants={"scale": "K**-0.5"},
             state={"S": ["K", "V"]}, update={"S": "exp(g) * S + outer(k, v)"}, read="scale * S.T @ q")
GATED_DELTA = dict(
    inputs={"q": {"shape": ["K"], "domain": "unit"}, "k": {"shape": ["K"], "domain": "unit"}, "v": ["V"],
            "g": {"shape": [], "domain": [float("-inf"), 0]}, "beta": {"shape": [], "domain": [0, 1]}},
    state={"S": ["K", "V"]}, update={"S": "exp(g) * S + beta * outer(k, v - exp(g) * S.T @ k)"}, read="S.T @ q")
NORMALISED = dict(inputs=QKV, state={"S": ["K", "V"], "z": ["K"]}, update={"S": "S + outer(k, v)", "z": "z + k * k"},
                  read="S.T @ q / (1 + dot(z, q * q))")
MOMENTUM = dict(inputs={**UNIT, "lr": {"shape": [], "domain": [0, 1]}, "m": {"shape": [], "domain": [0, 1]}},
                state={"W": {"shape": ["K", "V"], "init": "learned"}, "Z": ["K", "V"]},
                objective="0.5 * sum((W.T @ k - v)**2)", gradient={"chunk": 4},
                update={"Z": "m * Z - lr * grad(W)", "W": "0.9 * W + new(Z)"}, read="W.T @ q")
MLP = dict(inputs={**UNIT, "lr": {"shape": [], "domain": [0, 0.5]}}, dims={"D": "2*K"},
           state={"W1": {"shape": ["D", "K"], "init": "learned"}, "W2": {"shape": ["V", "D"], "init": "learned"}},
           functions={"M(x)": "W2 @ gelu(W1 @ x)"}, objective="0.5 * sum((M(k) - v)**2)", gradient={"chunk": 4},
           update={"W1": "W1 - lr * grad(W1)", "W2": "W2 - lr * grad(W2)"}, read="M(q)")
DELAYED = dict(inputs=QKV, state={"S": ["K", "V"]}, let={"kk": "k + 0.5 * delay(k, 2)"},
               update={"S": "0.9 * S + outer(kk, v) + window(outer(k, v), 3)"}, read="prev(S).T @ kk + S.T @ q")

RESIDUAL = dict(segments={"length": 4})
GRM = dict(inputs={"u": ["K"]}, segments={"length": 4}, summary="mean(k)", score="dot(u, summary)", weight="softmax(score)")
SOUP = {**GRM, "mix": "states"}
SSC = {**GRM, "select": {"top": 2}}
FRESH = dict(segments={"length": 4, "start": "fresh"})
LOG = dict(segments={"length": 4, "growth": "logarithmic"})


def segmented(cache: dict, **changes) -> dict:
    return {**cache, "segments": {**cache["segments"], **changes}}
