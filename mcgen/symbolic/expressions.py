"""Expr -> Term: names resolved, functions inlined, shapes checked."""
from __future__ import annotations

from typing import Callable, Mapping

from ..diagnostics import SpecError, did_you_mean, error, quote
from ..spec.nodes import Binary, Call, Expr, Function, Index, Name, Num, Pos, Spec, Unary
from . import typed
from .calls import ARITY, BUILTINS, ELSEWHERE, PLAIN, binary
from .contexts import Context
from .facts import kinds
from .scope import ONLINE, WORDS, Entry, Scope
from .special import SpecialCalls
from .terms import Term, term

MAX_VISITS = 100_000       # expressions visited in one spec, functions inlined
MAX_NESTING = 160          # calls of functions in calls of functions, with their expressions
Env = Mapping[str, Term]
_TOP: Env = {}


class Poisoned(SpecError):
    """An expression uses a name whose own declaration is wrong: reported there, silent here."""

    def __init__(self) -> None:
        super().__init__(())


class Expressions(SpecialCalls):
    """Gives terms to the expressions of one spec.

    lookup(entry, pos) is the term of a dim, constant or let name; given[state] is what `new(state)` stands for;
    summary_shape and read_shape are set once these are known.
    """

    def __init__(self, spec: Spec, scope: Scope, lookup: Callable[[Entry, Pos], Term]):
        self.spec, self.scope, self.lookup = spec, scope, lookup
        self.given: dict[str, Term] = {}
        self.constants: Mapping[str, Term] = {}
        self.summary_shape: tuple[str | int, ...] | None = None
        self.read_shape: tuple[str | int, ...] = ()
        self.depth = self.visits = 0
        self._inlined: dict[tuple, Term] = {}
        self._caller: str | None = None          # the function whose body is being given terms

    def term(self, e: Expr, cx: Context, env: Env = _TOP) -> Term:
        """The term of an expression; env: the parameters of the function that it stands in."""
        self.depth += 1
        self.visits += 1
        try:
            if self.visits > MAX_VISITS + 1:
                raise Poisoned()
            if self.visits > MAX_VISITS:
                raise error("too-large", f"the spec's functions unfold to more than {MAX_VISITS} operations", e.pos)
            if self.depth > MAX_NESTING:
                raise error("too-deep", "functions and expressions nest too deeply", e.pos)
            return self._term(e, cx, env)
        finally:
            self.depth -= 1

    def _term(self, e: Expr, cx: Context, env: Env) -> Term:
        match e:
            case Num(value=value):
                return typed.num(value, e.pos)
            case Name():
                return self.name(e, cx, env)
            case Unary(op="-", arg=arg):
                return typed.unary("neg", self.term(arg, cx, env), e.pos)
            case Unary(arg=arg):
                return typed.transpose(self.term(arg, cx, env), e.pos)
            case Binary(op="**", left=left, right=right):
                return self.power(left, right, cx, env, e.pos)
            case Binary(op=op, left=left, right=right):
                return binary(op, self.term(left, cx, env), self.term(right, cx, env), e.pos)
            case Index(arg=arg, index=index):
                return self.index(arg, index, cx, env, e.pos)
            case Call():
                return self.call(e, cx, env)
        raise error("comparison", "a comparison stands only in where(a < b, x, y)", e.pos)

    # -- names -----------------------------------------------------------------------------------------------------

    def name(self, e: Name, cx: Context, env: Env) -> Term:
        if e.id in env:
            return env[e.id]
        if e.id in ONLINE:
            return self.online(e, cx)
        entry = self.scope.entries.get(e.id)
        if entry is None:
            raise self.unknown(e, cx, env)
        if entry.kind == "function" or e.id in BUILTINS:
            raise error("not-a-value", f"{e.id!r} is a function: it needs its arguments", e.pos)
        if entry.cache and not cx.cache:
            raise error("not-here", f"{e.id!r} is {WORDS[entry.kind]} of the cache; the rule doesn't see it", e.pos)
        if entry.kind == "state":
            if cx.states is None:
                raise error("not-here", f"{e.id!r} is a state; {cx.where} is without states", e.pos)
            return self.state(e.id, cx.states, e.pos)
        if entry.kind not in cx.leaves:
            raise error("not-here", f"{e.id!r} is {WORDS[entry.kind]}{' per token' if entry.kind == 'input' else ''}; "
                        f"{cx.where} can't depend on it", e.pos)
        if entry.kind in ("input", "head"):
            inputs = self.spec.cache.inputs if entry.cache and self.spec.cache else self.spec.rule.inputs
            declared = inputs[e.id]
            return term("input", shape=declared.shape, pos=e.pos, name=e.id)
        return self.lookup(entry, e.pos)

    def unknown(self, e: Name, cx: Context, env: Env) -> SpecError:
        if e.id in BUILTINS:
            return error("not-a-value", f"{e.id!r} is a function: it needs its arguments", e.pos)
        names = [*env, *cx.online, *(n for n, x in self.scope.entries.items() if x.kind in cx.leaves
                                     or (x.kind == "state" and cx.states))]
        what = "an input, state or constant" if cx.states else "an input or constant"
        if not cx.leaves & {"input", "head"}:
            what = "a dimension or constant"
        return error("unknown-name", f"{quote(e.id)} is not {what}" + did_you_mean(e.id, names), e.pos)

    def online(self, e: Name, cx: Context) -> Term:
        if e.id not in cx.online:
            where = {"y": "output", "score": "weight", "count": "weight"}.get(e.id, "score and weight")
            raise error("not-here", f"{e.id!r} has a value only in {where}", e.pos)
        cache = self.spec.cache
        if e.id == "score" and cache and cache.score is None:
            raise error("missing-score", "the weight uses 'score', but the cache has no score", e.pos,
                        hint="add a key score, as in score: dot(u, summary)")
        if e.id == "summary":
            if cache and cache.summary is None:
                raise error("missing-summary", "'summary' is used, but the cache has no summary", e.pos,
                            hint="add a key summary, as in summary: mean(k)")
            if self.summary_shape is None:
                raise Poisoned()
            return term("online", shape=self.summary_shape, pos=e.pos, name="summary")
        return term("online", shape=self.read_shape if e.id == "y" else (), pos=e.pos, name=e.id)

    def state(self, name: str, when: str, pos: Pos) -> Term:
        return term("state", shape=self.spec.rule.state[name].shape, pos=pos, name=name, when=when)

    # -- operators -------------------------------------------------------------------------------------------------

    def power(self, left: Expr, right: Expr, cx: Context, env: Env, pos: Pos) -> Term:
        base, exponent = self.term(left, cx, env), self.term(right, cx, env)
        if kinds(exponent):
            raise error("not-constant", "an exponent is made of numbers, constants and dimensions", right.pos,
                        hint="exp(y * log(x)) is a power with any exponent")
        return typed.power(base, exponent, pos)

    def index(self, arg: Expr, at: Expr, cx: Context, env: Env, pos: Pos) -> Term:
        x, i = self.term(arg, cx, env), self.term(at, cx, env)
        if i.op not in ("num", "const") and not (i.op == "online" and i["name"] == "level"):
            raise error("bad-index", "an index is a number, a constant or level", at.pos)
        return typed.index(x, i, pos)

    # -- calls -----------------------------------------------------------------------------------------------------

    def call(self, e: Call, cx: Context, env: Env) -> Term:
        function = self.spec.rule.functions.get(e.fn)
        if function is not None and e.fn not in BUILTINS:
            return self.inline(e, function, cx, env)
        if e.fn not in ARITY:
            raise self.unknown_call(e)
        fewest, most = ARITY[e.fn]
        if not fewest <= len(e.args) <= most:
            takes = _count(most) if fewest == most else f"{fewest} or {_count(most)}"
            raise error("wrong-arity", f"{e.fn} takes {takes}, not {len(e.args)}", e.pos)
        if e.fn in ("new", "prev", "grad"):
            return self.about_state(e, cx, env)
        if e.fn == "where":
            return self.where(e, cx, env)
        if e.fn == "eye":
            return self.eye(e)
        if e.fn in ("delay", "window", "after"):
            return self.over_tokens(e, cx, env)
        args = [self.term(a, cx, env) for a in e.args[:1 if e.fn == "sum" else None]]
        if e.fn == "sum":
            return typed.total("sum", args[0], self.axis(e) if len(e.args) == 2 else None, e.pos)
        if e.fn == "softmax" and not args[0].shape and "mix" in cx.calls:
            return term("mixsoftmax", args[0], pos=e.pos)
        return PLAIN[e.fn][1](e.pos, *args)

    def unknown_call(self, e: Call) -> SpecError:
        declared = self.scope.entries.get(e.fn)
        if declared is not None:
            return error("unknown-function", f"{quote(e.fn)} is {WORDS[declared.kind]}, not a function", e.pos)
        known = [*BUILTINS, *self.spec.rule.functions]
        if e.fn in ELSEWHERE:
            return error("unknown-function", f"no function is named {quote(e.fn)}", e.pos, hint=f"that is written {ELSEWHERE[e.fn]}")
        return error("unknown-function", f"no function is named {quote(e.fn)}" + did_you_mean(e.fn, known), e.pos)

    def inline(self, e: Call, function: Function, cx: Context, env: Env) -> Term:
        """The function's body with the arguments' terms for its parameters; equal calls give one term."""
        if len(e.args) != len(function.params):
            raise error("wrong-arity", f"{e.fn} takes {_count(len(function.params))}, not {len(e.args)}", e.pos,
                        notes=[f"{e.fn}({', '.join(function.params)}) is declared at {function.pos}"])
        if self._caller is not None and self.scope.entries[self._caller].order <= self.scope.entries[e.fn].order:
            raise error("used-before", f"function {self._caller!r} can only use functions declared before it, not "
                        f"{e.fn!r}", e.pos)
        args = tuple(self.term(a, cx, env) for a in e.args)
        key = (e.fn, args, cx, tuple(sorted(self.given)) if "new" in cx.calls else ())
        if key not in self._inlined:
            outer, self._caller = self._caller, e.fn
            try:
                self._inlined[key] = self.term(function.body, cx, dict(zip(function.params, args)))
            finally:
                self._caller = outer
        return self._inlined[key]


def _count(n: int) -> str:
    return "no arguments" if n == 0 else f"{n} argument{'s' * (n > 1)}"
