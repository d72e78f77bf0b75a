"""Random caches: any weight, summary, score, selection, mix and start."""
from __future__ import annotations

from .draft import Draft
from .tokens import Place, scalar, vector


def cache(d: Draft) -> None:
    """Declares a cache, in two of three specs; and sometimes that gradients are taken at the start of a run."""
    if not d.chance(2, 3):
        if "objective" in d.lines and d.chance(1, 8):
            d.lines["gradient"] = {"chunk": 3}
        return
    segments = {"length": d.pick(4, 3, 5, 7, 9, 12, 2, 1, 16, 20), "start": d.pick("carry", "carry", "fresh")}
    made: dict = {"segments": segments if segments["start"] == "fresh" else {"length": segments["length"]}}
    if d.chance(1, 16):
        made["segments"]["growth"] = "logarithmic"
    if "objective" in d.lines and d.chance(1, 8):
        d.lines["gradient"] = {"chunk": segments["length"]}
    size, shape = d.axis(), None
    if d.chance(3, 4):
        shape = d.pick((size,), (size,), (size,), ())
        made["summary"] = f"{d.pick('mean', 'sum')}({vector(d, size, d.pick(0, 1)) if shape else scalar(d, 1)})"
    selecting = d.chance(1, 3)
    if shape is not None or selecting or d.chance(1, 4):
        made["score"] = score(d, size, shape)
    made["weight"] = weight(d, "score" in made)
    if selecting:
        made["select"] = {"top": d.pick(2, 1, 3)}
    if d.chance(1, 3):
        made["mix"] = "states"
    d.cache = made


def score(d: Draft, size: str | int, shape: tuple | None) -> str:
    own = Place(cache=True)
    if shape is None:
        return d.one_of(lambda: f"0.1 * age * {scalar(d, 0, own)}", lambda: f"{scalar(d, 1, own)} - 0.2 * age", lambda: f"after({scalar(d, 0)})",
                        lambda: f"{scalar(d, 0, own)} * sigmoid(0.5 * age)")
    if not shape:
        return d.one_of(lambda: f"{scalar(d, 0, own)} * summary", lambda: f"tanh(summary - {scalar(d, 1, own)})", lambda: "summary - 0.1 * age")
    query = d.one_of(*(lambda: d.input((size,), "real", cache=True),) * 3, lambda: d.input((size,), per="token"), lambda: vector(d, size, 1, own))
    return d.one_of(*(lambda: f"dot({query}, summary)",) * 3, lambda: f"dot({query}, {d.pick('tanh', 'l2norm', 'softmax')}(summary))",
                    lambda: f"dot({query}, summary) - 0.1 * age", lambda: f"-sum(({query} - summary)**2)", lambda: f"tanh(dot({query}, summary)) + 0.3 * level",
                    lambda: f"sum(maximum({query}, summary))", lambda: f"{scalar(d, 1, Place({(size,): ['summary']}, cache=True))}")


def weight(d: Draft, scored: bool) -> str:
    gate = lambda: d.input((), [0, 1], cache=True)
    log = lambda: d.input((), ["-inf", 0])
    options = [lambda: "1", lambda: "1 / count", lambda: gate(), lambda: f"{gate()} * exp(after({log()}))", lambda: "exp(-0.3 * age)",
               lambda: f"softmax({gate()} * age)", lambda: "where(age < 2, 1, 0.5)", lambda: f"{levels(d)}[level]", lambda: f"softmax(after({log()}))"]
    if scored:
        options = [*[lambda: "softmax(score)"] * 5, lambda: "sigmoid(score)", lambda: "sigmoid(score - 0.1 * age)", lambda: "score",
                   lambda: f"softmax(score) * exp(after({log()}))", lambda: "softmax(score / (1 + age))", lambda: f"softmax(score) * {levels(d)}[level]",
                   lambda: "tanh(score) / count", lambda: "softmax(score) + 0.1 * sigmoid(score)", lambda: "softmax(score)**2",
                   lambda: "softmax(2 * score) - 0.3 * softmax(score)", lambda: f"softmax(score + {gate()})", lambda: "relu(score)", *options]
    return d.one_of(*options)


def levels(d: Draft) -> str:
    """A weight for every level that so few tokens reach."""
    return d.input((8,), [0, 1], cache=True)
