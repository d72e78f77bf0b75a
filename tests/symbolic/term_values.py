"""The value of a typed term in float64 torch, for one head: what tests compare derived terms with."""
from __future__ import annotations

import operator

import torch
import torch.nn.functional as F

from mcgen.symbolic.terms import Term, walk

TESTS = {"lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge, "eq": operator.eq, "ne": operator.ne}
UNARY = {"neg": torch.neg, "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "abs": torch.abs, "sign": torch.sign, "erf": torch.erf,
         "sigmoid": torch.sigmoid, "logsigmoid": F.logsigmoid, "softplus": F.softplus, "tanh": torch.tanh, "relu": torch.relu,
         "silu": F.silu, "gelu": F.gelu, "transpose": torch.t, "diag": torch.diag}
BINARY = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "pow": torch.pow, "minimum": torch.minimum,
          "maximum": torch.maximum, "outer": torch.outer, "dot": torch.dot, "matmul": torch.matmul}


def huber(x, d):
    return torch.where(x.abs() <= d, x * x / 2, d * (x.abs() - d / 2))


def rowwise(op, x):
    match op:
        case "softmax":
            return torch.softmax(x, -1)
        case "l2norm":
            return x / torch.sqrt((x * x).sum(-1, keepdim=True) + 1e-6)
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + 1e-6)


def value(t: Term, leaves: dict[str, list[torch.Tensor] | torch.Tensor], sizes: dict[str, int], constants=None, token: int = 4):
    """leaves: states as tensors, per-token inputs as lists of tensors (one a token); `token`: which one is now."""
    memo: dict = {}

    def shape(s):
        return [x if isinstance(x, int) else sizes[x] for x in s]

    def at(root: Term, now: int):
        for node in walk(root):
            if node.op in ("delay", "window") or (id(node), now) in memo:
                continue
            if any((id(a), now) not in memo for a in node.args):
                [at(a, now) for a in node.args if (id(a), now) not in memo]
            memo[id(node), now] = one(node, [memo.get((id(a), now)) for a in node.args], now)
        if root.op in ("delay", "window"):
            memo[id(root), now] = one(root, [], now)
        return memo[id(root), now]

    def one(t: Term, args, now):
        match t.op:
            case "num":
                return torch.tensor(float(t["value"]), dtype=torch.float64)
            case "size":
                return torch.tensor(float(sizes[t["dim"]]), dtype=torch.float64)
            case "const":
                return at(constants[t["name"]], now)
            case "input":
                return leaves[t["name"]][now]
            case "state":
                return leaves[t["name"]]
            case "delay":
                return at(t.args[0], now - t["n"]) if now >= t["n"] else torch.zeros(shape(t.shape), dtype=torch.float64)
            case "window":
                return sum(at(t.args[0], now - j) for j in range(t["n"]) if now >= j)
            case "spread":
                return args[0].expand(shape(t.shape))
            case "eye":
                return torch.eye(*shape([t["dim"]]), dtype=torch.float64)
            case "where":
                return torch.where(TESTS[t["op"]](args[0], args[1]), args[2], args[3]).expand(shape(t.shape))
            case "huber":
                return huber(*args)
            case "solve":
                return torch.linalg.solve(*args)
            case "sum":
                return args[0].sum() if t["axis"] is None else args[0].sum(t["axis"])
            case "mean":
                return args[0].mean()
            case "norm":
                return (args[0] ** 2).sum().sqrt()
            case "index":
                return args[0][int(args[1])]
            case "softmax" | "l2norm" | "layernorm":
                return rowwise(t.op, args[0])
        return UNARY[t.op](*args) if t.op in UNARY else BINARY[t.op](*args)

    return at(t, token)
