"""`explain`: what the compiler understood of a model, which form it chose and why, and what that costs."""
from __future__ import annotations

from collections import Counter
from typing import Iterator

from ..diagnostics import NotLowered, SpecError
from ..symbolic.affine import Factor, Group
from ..symbolic.algebra import Algebra
from ..symbolic.decay import log_decay
from ..symbolic.definite import Definite
from ..symbolic.gradient import expand_gradients
from ..symbolic.model import Model
from ..symbolic.read import Atom, Read
from ..symbolic.terms import Term, walk
from ..symbolic.text import text
from .choose import Choice, choose
from .chunk_form import chunk_form, read_text, times_text, write_name, write_text
from .cost import all_products, per_row, scans, spelled
from .emit import axes_of
from .letters import CHUNK, SLOTS, letters_for, worded
from .pipeline import Compiled, compile_model

BYTES = 4                        # of a state's number: float32


def explain(model: Model) -> str:
    """Plain text in sections. A model that is refused is explained as far as it was understood, with every reason."""
    model = expand_gradients(model)
    choice = choose(model)
    sections = [("states", [*_states(model, choice)]), ("read", [*_read(model, choice.read)])]
    if model.cache is not None:
        sections.append(("cache", [*_cache(model)]))
    try:
        compiled = compile_model(model)
        sections += [("structure", [*_structure(compiled)]),
                     *([("chunk form", [*chunk_form(model, choice.affine, choice.read)])] if choice.affine else []),
                     ("forward", [*_program(compiled, "forward")]), ("backward", [*_program(compiled, "backward")]),
                     ("memory", [*_memory(compiled)])]
    except NotLowered as refused:
        sections.append(("not lowered", str(refused).splitlines()))
    return worded("\n\n".join("\n".join([title, *(f"  {line}" for line in lines)]) for title, lines in sections), letters_for(model))


# -- the update and the read, as understood ----------------------------------------------------------------------------

def _states(model: Model, choice: Choice) -> Iterator[str]:
    names: dict[str, str] = {}
    for group in choice.affine:
        yield from _group(model, group, names)
    for name, reason in choice.scanned.items():
        yield f"{name} {_shape(model.states[name].shape)}, token by token: {text(model.update[name])}; starts {_start(model, name)}"
        yield f"    no chunk form: {_reason(reason)}"


def _group(model: Model, group: Group, names: dict[str, str]) -> Iterator[str]:
    for name in group.states:
        yield f"{name} {_shape(model.states[name].shape)} {_decay(model, group, name)}; starts {_start(model, name)}"
        written = [w for w in group.writes if name in dict(w.keys)]
        yield from (f"    + {write_text(w, name, group, names)}" for w in written)
        if not written:
            yield "    nothing is written"
    for w in group.unknown:
        yield f"    {write_name(w, names)} = {read_text(w, group)}, of the states before the token"


def _start(model: Model, name: str) -> str:
    init = model.states[name].init
    if name in model.inits:
        return f"as {text(model.inits[name])}"
    return "from a learned value" if init == "learned" else "from zero"


def _decay(model: Model, group: Group, name: str) -> str:
    own = group.factors[name, name]
    others = "".join(f", and takes over {times_text(f.scalar)}{j}" for (i, j), f in group.factors.items() if i == name != j)
    if own.diagonal:
        sides = " and ".join(f"each {what} by {text(t)}" for what, t in (("row", own.rows), ("column", own.cols)) if t is not None)
        return f"decays {sides}" if model.states[name].shape[1:] else f"decays by {text(own.rows)}"
    log, sign = log_decay(own.scalar, Algebra(model.inputs))
    if log is None:
        return "is kept as it is" + others
    floored = any(t.op == "logfloor" for t in walk(log))
    note = " (floored, so that a factor of 0 keeps its gradient)" if floored else ""
    return f"has a scalar decay: times {text(own.scalar)}, logarithm {text(log)}{note}" + ("" if sign is None else ", and its sign") + others


def _read(model: Model, read: Read) -> Iterator[str]:
    yield f"{_linearity(read)}: {text(read.body)}"
    for i, atom in enumerate(read.atoms):
        yield f"    read{i + 1} = {_atom(atom)}" + (", before the token's update" if atom.when == "old" else "")
    if model.output is not None:
        yield f"output: {text(model.output)}"


def _linearity(read: Read) -> str:
    return "linear in the states" if read.linear else "nonlinear in the states"


def _atom(atom: Atom) -> str:
    query = "" if atom.query is None else text(atom.query)
    vector = f"({query})" if " " in query and not query.endswith(")") else query
    if atom.kind == "free":
        return text(atom.term)
    return {"rows": f"{atom.state}.T @ {vector}", "cols": f"{atom.state} @ {vector}", "vector": f"dot({atom.state}, {query})",
            "whole": atom.state}[atom.kind]


# -- structure ---------------------------------------------------------------------------------------------------------

def _structure(compiled: Compiled) -> Iterator[str]:
    model, affine = compiled.model, compiled.source.choice.affine
    scanned = compiled.source.choice.scanned
    if scanned:
        size = letters_for(model)[CHUNK]
        yield f"a scan over tokens: {', '.join(scanned)}, one token after the other; between rows of {size} tokens one copy is kept for the "\
              f"backward pass, which computes the {size} copies of a row again"
    if affine:
        whose = f"the update of {', '.join(n for g in affine for n in g.states)} is affine" if scanned else "every update is affine in its state"
        yield f"{whose}: chunks of tokens are matrix products, states pass between them"
    for group in affine:
        if group.unknown:
            yield (f"what is written to {', '.join(group.states)} reads the state: a triangular system of "
                   f"{_many(len(group.unknown), 'row')} a token in every chunk"
                   + ("; what is erased and what is written under one key are one value" if any(w.plain for w in group.unknown) else ""))
    algebra = Algebra(model.inputs)
    kinds: list[tuple[Term | None, Factor, list[str]]] = []
    for group in affine:
        for name in group.states:
            factor = group.factors[name, name]
            log = None if factor.diagonal else log_decay(factor.scalar, algebra)[0]
            same = next((names for x, f, names in kinds if factor == f or not (factor.diagonal or f.diagonal) and (
                x is log or None not in (x, log) and algebra.equal(log, x))), None)
            if same is None:
                kinds.append((log, factor, [name]))
            else:
                same.append(name)
    for log, factor, names in kinds:
        shared = len(names) > 1 and (log is not None or factor.diagonal)
        yield f"decay of {', '.join(names)}: {_kind(model, log, factor)}" + ("; proved equal, so one matrix of factors serves all" if shared else "")
    systems = {t.args[0] for root in (*model.update.values(), model.read, model.output) if root is not None for t in walk(root) if t.op == "solve"}
    for matrix in sorted(systems, key=text):
        how = "symmetric and nowhere negative, so that no pivots are chosen" if Definite(model).semidefinite(matrix) else "by elimination with pivots"
        yield f"systems of {text(matrix)}: {how}"
    if model.cache is not None:
        yield from _mix(compiled)


def _kind(model: Model, log: Term | None, factor: Factor) -> str:
    if factor.diagonal:
        return "a factor for each channel, by products of factors between halves of a chunk: no quotient is ever taken"
    if log is None:
        return "the identity, no factors at all"
    inputs = {t["name"] for t in walk(log) if t.op == "input"}
    if any(model.inputs[n].per == "token" for n in inputs):
        return "a scalar for every token and head"
    return "a constant of each head" if inputs else "one constant"


def _mix(compiled: Compiled) -> Iterator[str]:
    model, read = compiled.model, compiled.source.choice.read
    cache = model.cache
    assert cache is not None
    if compiled.source.carried_sum:
        yield "mix: one running sum of cached states is carried (linear read, one weight for all): no cost per memory"
        return
    named = sorted({t["name"] for t in walk(cache.weight) if t.op == "online" and t["name"] != "count"}
                   | {t.op if t.op == "after" else "softmax" for t in walk(cache.weight) if t.op in ("after", "mixsoftmax")})
    stops = [*([] if read.linear else ["the read is nonlinear"]), *([] if cache.top is None else ["memories are selected"]),
             *([f"the weight depends on {', '.join(named)}, which {'differs' if len(named) == 1 else 'differ'} from memory to memory"] if named else [])]
    yield "mix: every memory is read; no carried sum of cached states, since " + " and ".join(stops)
    if read.linear:
        yield f"mix: {cache.mix}, the same as mixing {'states' if cache.mix == 'reads' else 'reads'}: the read is linear, so weights may stand before or behind it"
    elif cache.mix == "states":
        yield "mix: states; what the read takes linearly from each memory is mixed, the rest of the read is computed once"
    else:
        yield "mix: reads; the whole read is computed for every memory, since it is nonlinear"


def _cache(model: Model) -> Iterator[str]:
    cache = model.cache
    assert cache is not None
    segments = cache.segments
    start = "goes on from the last state" if segments.start == "carry" else "starts anew"
    yield f"a memory every {segments.length} tokens ({segments.growth} growth), each segment {start}"
    if segments.growth == "logarithmic":
        yield (f"segments merge: m units of {segments.length} tokens end in a memory of 2^j units, j the lowest binary digit of m that is 1; "
               "its level is 1 + j")
        yield f"a token after s units reads the memories of the digits of s that are 1: {letters_for(model)[SLOTS]} of them, at most log2(s) + 1"
        if segments.start == "fresh":
            yield "a run of each level is carried, which starts anew every 2^l units and becomes the memories of 2^l units"
    if cache.summary is not None:
        yield f"summary = {cache.summary[0]} over the segment of {text(cache.summary[1])}"
    if cache.score is not None:
        yield f"score = {text(cache.score)}"
    yield f"weight = {text(cache.weight)}"
    if cache.top is not None:
        yield f"the {cache.top} cached memories of highest score take part, and the online one"


# -- programs and costs ------------------------------------------------------------------------------------------------

def _program(compiled: Compiled, which: str) -> Iterator[str]:
    program, letters = getattr(compiled, which), letters_for(compiled.model)
    found = list(all_products(program))
    each = sum(p.each for p in found)
    count = Counter(v.op for v in program.order())
    per_memory = f", {each} of them for every cached memory" if each else ""
    yield (f"{len(program.order())} operations, {_many(count['scan'], 'scan')} over rows"
           + (f", {_many(count['slots'], 'loop')} over cached memories" if count["slots"] else ""))
    if found:
        used = {a for p in found for x in (p.value, *p.value.args) for a in x.axes}
        tokens = ", ".join(letters[a] for a in ("c", "d", "mid") if a in used)
        memories = f"; {letters['n']}: the memories" if "n" in used else ""
        yield f"{_many(len(found), 'product')} a chunk{per_memory} ({tokens}: its tokens{memories})"
    for shape, number in Counter(p.text(letters) for p in found).items():
        yield f"    {shape}" + (f"   ({number} times)" if number > 1 else "")
    total: Counter = Counter()
    for p in found:
        total += p.cost()
    yield f"multiply-adds a token and head: {spelled(total + scans(program), 1, letters)}"


def _memory(compiled: Compiled) -> Iterator[str]:
    model, count, letters = compiled.model, compiled.results, letters_for(compiled.model)
    states: Counter = Counter()
    for state in model.states.values():
        states += per_row(axes_of(state.shape))
    yield f"state, bytes a sequence and head: {spelled(states, BYTES, letters)} (float32)"
    cached: Counter = Counter()
    live: Counter = Counter()
    for result in compiled.forward.results[:count]:
        if result.kind == ("slots" if compiled.forward.slot == "n" else "units"):
            cached += per_row(a for a in result.axes if a != "n")
        elif result.kind in ("slots", "levels"):
            live += per_row(result.axes)
    if model.cache is not None and compiled.forward.slot == "n":
        yield f"cache, bytes a memory: {spelled(cached, BYTES, letters)}; {letters[SLOTS]} memories after {letters[SLOTS]} segments"
    elif model.cache is not None:
        yield f"cache, bytes a memory: {spelled(cached, BYTES, letters)}; a memory for every unit"
        if live:
            yield f"live, bytes a level: {spelled(live, BYTES, letters)}; log2(units) + 2 levels"
    saved: Counter = Counter()
    for result in compiled.forward.results[count:]:
        saved += per_row(a for a in result.axes if a != "n")
        yield f"saved for the backward pass: {result.name.removeprefix('saved.')} before every row, [{', '.join(a.rstrip('.') for a in result.axes if a != 'r')}]"
    if not compiled.forward.results[count:]:
        yield "saved for the backward pass: nothing but the inputs"
    else:
        yield f"that is, bytes a row: {spelled(saved, BYTES, letters)}; all else is computed again from the inputs"


def _reason(refused: SpecError) -> str:
    d = refused.diagnostics[0]
    return d.message.removeprefix("not lowered yet: ") + (f" ({d.pos})" if d.pos.line else "")


def _shape(shape: tuple) -> str:
    return "[" + ", ".join(map(str, shape)) + "]"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")


