"""A spec under construction: choices, and the names that expressions ask for, declared as they are asked for."""
from __future__ import annotations

import re
from typing import Any, Callable, Iterable, Mapping, Sequence, TypeVar

T = TypeVar("T")
Shape = tuple[str | int, ...]

USUAL = {"vector": ("k", "v", "q", "w", "p"), "scalar": ("b", "g", "h", "a", "e"), "matrix": ("M", "W", "P"), "state": ("S", "Z", "m"),
         "let": ("x", "z", "f"), "function": ("step", "phi"), "constant": ("scale", "rate"), "cache": ("u", "o", "j", "l", "s"),
         "dim": ("K", "V", "R", "D")}
# names that generated code, a kernel language or the compiler's own programs might use for something else
ODD = ("n", "c", "r", "d", "t", "i", "x", "out", "call", "table", "chunk", "save", "torch", "math", "tl", "triton", "params", "row", "rows",
       "count_", "self", "new_", "state", "acc", "size", "C", "N", "E", "I", "pi", "float", "max", "range", "len", "args", "inputs", "start",
       "step", "total", "program", "lib", "T1", "mid", "offset", "segment", "one", "zero", "like", "lambda_", "y_", "saved", "forward")
BEFORE = ("objective", "gradient")                            # lines that are written above `update`


class Draft:
    """Requires: `choose` gives one of a sequence, and the first one when a failure is shrunk.

    Ensures: `spec()` is a legal spec in the user's language, as plain data.
    """

    def __init__(self, choose: Callable[[Sequence[Any]], Any]):
        self._choose = choose
        self.inputs: dict[str, dict[str, Any]] = {}
        self.own: dict[str, dict[str, Any]] = {}             # the cache's inputs
        self.rule: dict[str, dict[str, Any]] = {k: {} for k in ("dims", "constants", "let", "state", "functions", "update")}
        self.lines: dict[str, Any] = {}                      # objective, read, output
        self.answer: tuple[str, str | int, str | int] | None = None      # a function that the memory is, from and to which dimension
        self.cache: dict[str, Any] | None = None
        self.odd = self.chance(1, 12)
        self.wild = self.chance(2, 5)                        # whether anything goes; else what has a chunk form, mostly
        self.taken: set[str] = set()
        self.dims: list[str | int] = [self.name("dim"), self.name("dim")]
        if self.chance(1, 8):
            self.dims.append(self.pick(3, 2))
        if self.chance(1, 10):
            derived = self.name("dim")
            self.rule["dims"][derived] = f"{self.pick('2*', '1 + ')}{self.dims[0]}"
            self.dims.append(derived)

    # -- choices

    def pick(self, *options: T) -> T:
        """One of the options; the first is the simplest."""
        return self._choose(options)

    def one_of(self, *options: Callable[[], T]) -> T:
        """What one of some functions gives."""
        return self._choose(options)()

    def chance(self, part: int, whole: int) -> bool:
        """True in `part` of `whole` cases; False is simpler."""
        return self._choose(range(whole)) >= whole - part

    # -- declarations

    def name(self, kind: str) -> str:
        """A name that nothing has yet."""
        odd = [n for n in ODD if n not in self.taken] if self.odd else []
        if odd and self.chance(1, 2):
            name = self.pick(*odd)
        else:
            usual = USUAL[kind]
            name = next((n for n in usual if n not in self.taken), "")
            index = 1
            while not name or name in self.taken:
                name, index = f"{usual[-1]}{index}", index + 1
        self.taken.add(name)
        return name

    def input(self, shape: Shape, domain: Any = "real", cache: bool = False, per: str = "") -> str:
        """The name of an input of a shape and domain: one that is declared, or a new one."""
        per = per or ("head" if self.chance(1, 10) else "token")
        table = self.own if cache else self.inputs
        wanted = {"shape": list(shape), "domain": domain, "per": per}
        known = [n for n, i in {**self.inputs, **table}.items() if {k: i[k] for k in wanted} == wanted]
        if known and not self.chance(1, 3):
            return self.pick(*known)
        name = self.name("cache" if cache else ("scalar", "vector", "matrix")[len(shape)])
        table[name] = wanted
        return name

    def constant(self, value: Any) -> str:
        name = self.name("constant")
        self.rule["constants"][name] = value
        return name

    def let(self, expression: str) -> str:
        name = self.name("let")
        self.rule["let"][name] = expression
        return name

    def axis(self) -> str | int:
        return self.pick(*self.dims)

    # -- the spec

    def spec(self, name: str = "drawn") -> dict[str, Any]:
        if not any(i["per"] == "token" for i in self.inputs.values()):
            self.input((self.dims[0],), per="token")
        self._bind()
        rule: dict[str, Any] = {"inputs": {n: _short(i) for n, i in self.inputs.items()}}
        rule |= {k: v for k, v in self.rule.items() if v and k not in ("state", "update")}
        rule |= {"state": {n: _short(s) for n, s in self.rule["state"].items()}} | {k: v for k, v in self.lines.items() if k in BEFORE}
        rule |= {"update": self.rule["update"]} | {k: v for k, v in self.lines.items() if k not in BEFORE}
        if self.cache is None:
            return {"name": name, "rule": rule}
        return {"name": name, "rule": rule, "cache": {"inputs": {n: _short(i) for n, i in self.own.items()}, **self.cache}}

    def _bind(self) -> None:
        """Every dimension has an input that a call must give, one of the rule an input of the rule."""
        def dims(*declared: Mapping[str, Any]) -> set[str]:
            return {d for x in declared for d in x["shape"] if isinstance(d, str)}

        def bound(inputs: Iterable[Mapping[str, Any]]) -> set[str]:
            return dims(*(x for x in inputs if "default" not in x))

        def named(*texts: Any) -> set[str]:
            return {d for d in self.dims if isinstance(d, str) and re.search(rf"\b{d}\b", str(texts))}

        rule = dims(*self.inputs.values(), *self.rule["state"].values()) | named(self.rule, self.lines)
        cache = dims(*self.own.values()) | named(self.cache)
        for dim in sorted((rule | cache - bound(self.own.values())) - bound(self.inputs.values()) - set(self.rule["dims"])):
            self.inputs[self.name("vector")] = {"shape": [dim], "domain": "real", "per": "token"}


def _short(declared: dict[str, Any]) -> Any:
    """An input or a state as one would write it."""
    kept = {k: v for k, v in declared.items() if v != {"domain": "real", "per": "token", "init": "zeros"}.get(k)}
    return kept["shape"] if set(kept) == {"shape"} else kept
