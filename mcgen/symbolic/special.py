"""The calls that are more than a function of their arguments: about states, about tokens, with a comparison."""
from __future__ import annotations

from typing import Mapping

from ..diagnostics import did_you_mean, error, quote
from ..spec.nodes import Call, Compare, Expr, Name, Num, Pos, Spec
from . import typed
from .contexts import Context, call_place
from .facts import Unknown, evaluate, has_states, kinds
from .scope import Scope
from .terms import Term, term

_TESTS = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}
Env = Mapping[str, Term]


class SpecialCalls:
    """Part of `Expressions`, which has the data."""

    spec: Spec
    scope: Scope
    given: dict[str, Term]
    constants: Mapping[str, Term]

    def term(self, e: Expr, cx: Context, env: Env) -> Term:
        raise NotImplementedError

    def state(self, name: str, when: str, pos: Pos) -> Term:
        raise NotImplementedError

    def about_state(self, e: Call, cx: Context, env: Env) -> Term:
        arg = e.args[0]
        if e.fn not in cx.calls:
            places, hint = call_place(e.fn)
            raise error("not-here", f"{e.fn} stands only in {places}, not in {cx.where}", e.pos, hint=hint)
        name = arg.id if isinstance(arg, Name) else ""
        entry = self.scope.entries.get(name) if name not in env else None
        if entry is None or entry.kind != "state":
            shown = quote(name) if name else "an expression"
            raise error("unknown-state", f"{e.fn} takes the name of a state, not {shown}"
                        + did_you_mean(name, self.spec.rule.state), arg.pos)
        if e.fn == "prev":
            return self.state(name, "old", e.pos)
        if e.fn == "new":
            if name not in self.given:
                raise error("used-before", f"new({name}) stands before any line of {cx.where} that gives {name!r}",
                            e.pos, hint=f"move the line of {name!r} up, or write {name} for its value before")
            return self.given[name]
        return self.grad(e, name, cx, env)

    def grad(self, e: Call, state: str, cx: Context, env: Env) -> Term:
        rule = self.spec.rule
        shape = rule.state[state].shape
        if rule.objective is None:
            raise error("missing-objective", "grad needs an objective, and the rule has none", e.pos,
                        hint="add a key objective, as in objective: 0.5 * sum((S.T @ k - v)**2)")
        if not e.kwargs:
            return term("grad", shape=shape, pos=e.pos, state=state)
        at_expr = e.kwargs[0][1]
        drop = {"new"} if rule.gradient_chunk is not None else set()
        at = self.term(at_expr, cx.but(states="old", calls=cx.calls - drop), env)
        if "new" in kinds(at):
            raise error("not-here", "in `at=` states have their values before the token or run, not after it",
                        at_expr.pos)
        if at.shape != shape:
            raise error("shape-mismatch", f"state {state!r} is {typed.show(shape)}; `at=` gives it "
                        f"{typed.show(at.shape)}", at_expr.pos)
        return term("grad", at, shape=shape, pos=e.pos, state=state)

    def where(self, e: Call, cx: Context, env: Env) -> Term:
        test = e.args[0]
        if not isinstance(test, Compare):
            raise error("comparison", "the first argument of where must be a comparison", test.pos)
        parts = [self.term(a, cx, env) for a in (test.left, test.right, *e.args[1:])]
        shapes = {p.shape for p in parts if p.shape}
        if len(shapes) > 1:
            raise error("shape-mismatch", "where takes equal shapes and scalars; here it is "
                        + ", ".join(typed.show(p.shape) for p in parts), e.pos)
        return term("where", *parts, shape=shapes.pop() if shapes else (), pos=e.pos, op=_TESTS[test.op])

    def eye(self, e: Call) -> Term:
        arg = e.args[0]
        if isinstance(arg, Num) and isinstance(arg.value, int) and arg.value > 0:
            return term("eye", shape=(arg.value, arg.value), pos=e.pos, dim=arg.value)
        entry = self.scope.entries.get(arg.id) if isinstance(arg, Name) else None
        if entry is None or entry.kind != "dim":
            raise error("wrong-type", "eye takes a dimension or a positive integer", arg.pos)
        return term("eye", shape=(entry.name, entry.name), pos=e.pos, dim=entry.name)

    def over_tokens(self, e: Call, cx: Context, env: Env) -> Term:
        if e.fn not in cx.calls:
            places, hint = call_place(e.fn)
            raise error("not-here", f"{e.fn} stands only in {places}, not in {cx.where}", e.pos, hint=hint)
        body = e.args[0]
        inner = cx.but(calls=cx.calls - {"new", "after", "mix"}, online=frozenset())
        if e.fn != "window":
            inner = inner.but(states=None, where=e.fn, calls=inner.calls - {"grad", "prev"})
        x = self.term(body, inner, env)
        if kinds(x) & {"online", "after", "mix"} or e.fn != "window" and has_states(x):
            what = "an expression per token" if e.fn == "window" else "a stateless expression per token"
            raise error("not-here", f"{e.fn} takes {what}", body.pos)
        if e.fn == "window" and "window" in kinds(x):
            raise error("not-here", "a window inside a window is not part of the language", body.pos)
        if e.fn == "after":
            return term("after", x, shape=x.shape, pos=e.pos)
        fewest = 0 if e.fn == "delay" else 1
        n = self.integer(e.args[1], cx, env, fewest, "the number of tokens")
        return x if n == fewest else term(e.fn, x, shape=x.shape, pos=e.pos, n=n)

    def integer(self, e: Expr, cx: Context, env: Env, fewest: int, what: str) -> int:
        """A whole number of numbers and constants, known before any size is."""
        t = self.term(e, cx, env)
        try:
            value = evaluate(t, {}, self.constants) if not t.shape else float("nan")
        except (Unknown, ArithmeticError, ValueError, KeyError):
            value = float("nan")
        if not fewest <= value < 2 ** 20 or value != int(value):
            raise error("not-constant", f"{what} is an integer from {fewest} on, or a constant that is one", e.pos)
        return int(value)

    def axis(self, e: Call) -> int:
        at = e.args[1]
        if not isinstance(at, Num) or at.value not in (0, 1):
            raise error("bad-index", "the axis of sum is 0 (down) or 1 (along rows)", at.pos)
        return int(at.value)
