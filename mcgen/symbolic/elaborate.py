"""Spec -> Model: every name resolved, every expression typed, or all that is wrong with it as one SpecError."""
from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, Mapping

from ..diagnostics import Diagnostic, Pos, SpecError, did_you_mean, error, quote
from ..spec.nodes import Expr, Spec
from . import contexts as cx
from .checks import check_cache, check_dims, check_rule, notes
from .expressions import Expressions, Poisoned
from .facts import Unknown, evaluate
from .model import CacheModel, Model
from .scope import Entry, Scope
from .terms import Shape, Term, new_epoch, term
from .typed import num, show

MAX_FOUND = 20         # findings that one run reports


def elaborate(spec: Spec) -> Model:
    """The typed model of a spec.

    Ensures: every shape and context rule of the language holds in the result.
    Raises SpecError with every independent finding.
    """
    new_epoch()
    elaborator = _Elaborator(spec)
    try:
        return elaborator.model()
    except _Enough:
        elaborator.fail()
        raise


class _Enough(Exception):
    """More is wrong than anyone reads at once."""


class _Elaborator:
    def __init__(self, spec: Spec):
        self.spec = spec
        self.scope = Scope(spec)
        self.found: list[Diagnostic] = list(self.scope.problems)
        self.lookups: dict[str, Term | None] = {}       # dims, constants, let names; None: wrong, already reported
        self.open: list[str] = []                       # names being looked up
        self.sizes: dict[str, Term] = {}                # derived dims
        self.constants: dict[str, Term] = {}
        self.values: dict[str, float] = {}              # of constants that need no sizes
        self.expressions = Expressions(spec, self.scope, self.lookup)
        self.expressions.constants = self.constants

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Collects what goes wrong inside, so that one run reports all of it."""
        try:
            yield
        except SpecError as e:
            self.found += e.diagnostics
        except RecursionError:
            self.found.append(Diagnostic("too-deep", "functions and expressions nest too deeply"))
        if len(self.found) > MAX_FOUND:
            raise _Enough()

    def fail(self) -> None:
        if self.found:
            raise SpecError(list(dict.fromkeys(self.found))[:MAX_FOUND])

    def model(self) -> Model:
        spec, rule = self.spec, self.spec.rule
        self.fail()
        with self.attempt():
            check_dims(spec, self.scope)
        self.declarations()
        inits = self.inits()
        objective = self.checked(rule.objective, cx.OBJECTIVE, (), "the objective")
        given = self.lines(rule.update, cx.UPDATE)
        end = self.lines(rule.end, cx.END)
        read = self.read()
        output = None
        if read is not None:
            self.expressions.read_shape = read.shape
            output = self.checked(rule.output, cx.OUTPUT, None, "output")
            if rule.output is not None and output is not None and len(output.shape) != 1:
                self.found.append(Diagnostic("wrong-type", f"output is a vector, not {show(output.shape)}",
                                             rule.output.pos))
        cache = self.cache()
        for check in (check_rule, check_cache):
            with self.attempt():
                check(spec)
        self.fail()
        assert read is not None
        update = {name: given.get(name) or self.expressions.state(name, "old", s.pos) for name, s in rule.state.items()}
        model = Model(
            name=spec.name, spec=spec, inputs={**rule.inputs, **(spec.cache.inputs if spec.cache else {})},
            states=rule.state, inits=inits, update=update, read=read, output=output,
            dims=tuple(d for d in self.scope.bound if d not in rule.dims), derived=self.sizes,
            constants=self.constants, objective=objective, gradient_chunk=rule.gradient_chunk, end=end, cache=cache,
            lets={n: t for n, t in self.lookups.items() if t is not None and self.scope.entries[n].kind == "let"})
        return Model(**{**vars(model), "notes": notes(model)})

    # -- dims, constants, let --------------------------------------------------------------------------------------

    def declarations(self) -> None:
        """Looks at all declarations, those that nothing uses too."""
        for entry in self.scope.entries.values():
            if entry.kind in ("dim", "constant", "let"):
                with self.attempt():
                    self.lookup(entry, entry.pos)
        for name in [*self.constants, *self.sizes]:
            with self.attempt():
                self.is_number(name)

    def is_number(self, name: str) -> None:
        """A constant that needs no sizes is a finite number."""
        t = self.constants[name] if name in self.constants else self.sizes[name]
        try:
            value = evaluate(t, {}, self.constants, self.sizes, self.values)
            good = abs(value) < 1e300 and (name in self.constants or value >= 1 and value == int(value))
        except Unknown:
            return
        except (ArithmeticError, ValueError):
            good = False
        if not good:
            what = "a finite number" if name in self.constants else "a positive integer"
            raise error("bad-number", f"the value of {name!r} is not {what}", t.pos)

    def lookup(self, entry: Entry, pos: Pos) -> Term:
        """The term of a dim, constant or let name; lets only see lets declared before them."""
        if entry.name in self.open:
            chain = " -> ".join([*self.open[self.open.index(entry.name):], entry.name])
            raise error("cycle", f"{entry.name!r} is defined by itself", pos, notes=[chain] if len(self.open) > 1 else [])
        if entry.kind == "let" and self.open:
            user = self.scope.entries[self.open[-1]]
            if user.kind == "let" and (user.cache, user.order) < (entry.cache, entry.order):
                raise error("used-before", f"{entry.name!r} is used before its own line in let", pos,
                            hint="let is read from top to bottom")
        if entry.name not in self.lookups:
            self.lookups[entry.name] = None
            self.open.append(entry.name)
            try:
                self.lookups[entry.name] = self.declared(entry)
            except SpecError as e:
                self.found += e.diagnostics
            finally:
                self.open.pop()
        found = self.lookups[entry.name]
        if found is None:
            raise Poisoned()
        return found

    def declared(self, entry: Entry) -> Term:
        rule, cache, name = self.spec.rule, self.spec.cache, entry.name
        block = cache if entry.cache and cache else rule
        if entry.kind == "let":
            return self.expressions.term(block.let[name], cx.CACHE_LET if entry.cache else cx.LET)
        if entry.kind == "dim" and name not in rule.dims:
            return term("size", dim=name, pos=entry.pos)
        expr = rule.dims[name] if entry.kind == "dim" else block.constants[name]
        value = self.expressions.term(expr, cx.SIZES.but(cache=entry.cache))
        if value.shape:
            raise error("wrong-type", f"{name!r} must be a scalar, not {show(value.shape)}", expr.pos)
        if entry.kind == "dim":
            self.sizes[name] = value
            return term("size", dim=name, pos=entry.pos)
        self.constants[name] = value
        return term("const", name=name, pos=entry.pos)

    # -- the rule --------------------------------------------------------------------------------------------------

    def inits(self) -> dict[str, Term]:
        out = {}
        for state in self.spec.rule.state.values():
            if isinstance(state.init, Expr):
                value = self.checked(state.init, cx.INIT, state.shape, f"the init of state {state.name!r}")
                if value is not None:
                    out[state.name] = value
        return out

    def checked(self, expr: Expr | None, context: cx.Context, shape: Shape | None, what: str) -> Term | None:
        """The term of an expression that must have this shape (None: any)."""
        if expr is None:
            return None
        with self.attempt():
            value = self.expressions.term(expr, context)
            if shape is None or value.shape == shape:
                return value
            code = "wrong-type" if len(shape) != len(value.shape) else "shape-mismatch"
            raise error(code, f"{what} must be {show(shape)}, not {show(value.shape)}", expr.pos,
                        hint="zeros is a start of any shape" if context is cx.INIT else None)
        return None

    def lines(self, block: Mapping[str, Expr], context: cx.Context) -> dict[str, Term]:
        """update or end: ordered lines, each seeing by new() what the lines above gave."""
        states, key = self.spec.rule.state, context.where
        given: dict[str, Term] = {}
        self.expressions.given = given
        for name, expr in block.items():
            with self.attempt():
                if name not in states:
                    place = self.spec.rule.places.get((key, name), expr.pos)
                    self.found.append(self.not_a_state(name, key, place))
                    continue
                value = self.checked(expr, context, states[name].shape, f"state {name!r}")
                # a wrong line still lets later lines say new()
                given[name] = value if value is not None else self.expressions.state(name, "old", expr.pos)
        self.expressions.given = {}
        return given

    def not_a_state(self, name: str, key: str, place: Pos) -> Diagnostic:
        return Diagnostic("unknown-state", f"{key} has a line for {quote(name)}, which is not a state"
                          + did_you_mean(name, self.spec.rule.state), place)

    def read(self) -> Term | None:
        expr = self.spec.rule.read
        read = self.checked(expr, cx.READ, None, "read")
        if read is not None and len(read.shape) != 1:
            self.found.append(Diagnostic("wrong-type", f"read is a vector, not {show(read.shape)}", expr.pos))
            return None
        return read

    # -- the cache -------------------------------------------------------------------------------------------------

    def cache(self) -> CacheModel | None:
        cache = self.spec.cache
        if cache is None:
            return None
        summary = None
        if cache.summary is not None:
            value = self.checked(cache.summary.expr, cx.SUMMARY, None, "summary")
            if value is not None:
                summary = (cache.summary.kind, value)
                self.expressions.summary_shape = value.shape
        score = self.checked(cache.score, cx.SCORE, (), "the score")
        weight = self.checked(cache.weight, cx.WEIGHT, (), "the weight")
        return CacheModel(cache.segments, weight if weight is not None else num(1), cache.mix, summary, score, cache.top)
