"""The gates pass an honest float32 op and catch ops that are broken on purpose."""
import itertools
import math

import pytest
import torch

from mcgen.verify import reference, verify
from mcgen.verify.gates import GATES

from .oracle_specs import DECAY, GATED_DELTA, GRM, LINEAR, SSC, segmented, spec

SMALL = {"K": 4, "V": 6}
SPEC = spec(DECAY)


class ChunkedDecay:
    """S = exp(g) S + k v^T by chunks in the inputs' precision, as a kernel would: an op that has nothing of the reference."""

    def __init__(self, chunk=16):
        self.chunk = chunk

    def __call__(self, q, k, v, g, memory=None, return_memory=None, cu_seqlens=None, return_weights=False):
        if return_weights:
            raise NotImplementedError("weights are not lowered here")
        if cu_seqlens is not None:
            return self.separately(cu_seqlens.tolist(), return_memory, q=q, k=k, v=v, g=g)
        H = max(x.shape[2] for x in (q, k, v, g))
        q, k, v, g = (x.repeat_interleave(H // x.shape[2], 2).float().transpose(1, 2) for x in (q, k, v, g))
        dtype = v.dtype
        S = q.new_zeros(*q.shape[:2], q.shape[-1], v.shape[-1]) if memory is None else memory["state"]["S"]
        at = torch.zeros(q.shape[0], dtype=torch.int64) if memory is None or "position" not in memory else memory["position"]
        parts = [q.new_zeros(*q.shape[:2], 0, v.shape[-1])]
        for a in range(0, q.shape[2], self.chunk):
            qc, kc, vc, gc = (x[:, :, a:a + self.chunk] for x in (q, k, v, g))
            G = gc.clamp(min=-120).cumsum(2)
            mask = torch.ones(gc.shape[2], gc.shape[2]).tril().bool()
            decay = torch.exp((G[..., :, None] - G[..., None, :]).masked_fill(~mask, -math.inf))
            parts.append((qc @ kc.mT * decay) @ vc + torch.exp(G)[..., None] * (qc @ S))
            S = torch.exp(G[..., -1])[..., None, None] * S + (kc * torch.exp(G[..., -1:] - G)[..., None]).mT @ vc
        y = (torch.cat(parts, 2) * q.shape[-1] ** -0.5).transpose(1, 2).to(dtype)
        pair = memory is not None if return_memory is None else return_memory
        return (y, {"state": {"S": S}, "position": at + q.shape[2]}) if pair else y

    def separately(self, bounds, return_memory, **inputs):
        parts = [self(**{n: x[:, a:b] for n, x in inputs.items()}, return_memory=True) for a, b in zip(bounds, bounds[1:])]
        y, memories = torch.cat([y for y, _ in parts], 1), [m for _, m in parts]
        memory = {"state": {"S": torch.cat([m["state"]["S"] for m in memories])}, "position": torch.cat([m["position"] for m in memories])}
        return (y, memory) if return_memory else y

    def step(self, q, k, v, g, memory=None):
        y, memory = self(*(x.unsqueeze(1) for x in (q, k, v, g)), memory=memory, return_memory=True)
        return y.squeeze(1), memory


class InPrecision(ChunkedDecay):
    """The op above, with y in v's dtype."""

    def __call__(self, q, k, v, g, **rest):
        out = super().__call__(q, k, v, g, **rest)
        return (out[0].to(v.dtype), out[1]) if isinstance(out, tuple) else out.to(v.dtype)


class Mutant:
    """The reference as an op, in v's dtype, with its inputs and results passed through functions that may be wrong."""

    chunk = 8

    def __init__(self, of, before=lambda x: x, after=lambda y, x: y, memory=lambda m: m):
        self.ref, self.before, self.after, self.memory = reference(of), before, after, memory

    def __call__(self, **given):
        x = {n: t for n, t in given.items() if n in self.ref.inputs}
        out = self.ref(**{**given, **self.before(x)})
        if isinstance(out, tuple):
            rest = (self.memory(out[1]), *out[2:]) if "state" in out[1] else out[1:]
            return (self.after(out[0], x).to(x["v"].dtype), *rest)
        return self.after(out, x).to(x["v"].dtype)

    def step(self, **given):
        y, memory = self.ref.step(**given)
        return y.to(given["v"].dtype), self.memory(memory)


class WrongGradient(torch.autograd.Function):
    """The identity with a derivative that is 0.1 % too large."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return 1.001 * g


def run(op, of=SPEC, level="quick", **options):
    return verify(op, of, level=level, sizes=SMALL, **options)


def test_an_honest_chunked_op_passes_everything():
    report = run(InPrecision(16), level="full", variants=[InPrecision(8), InPrecision(5)])
    assert report.ok, str(report)
    assert report.gate("weights").skipped
    assert [g.name for g in report.gates] == list(GATES)
    print(report)


@pytest.mark.parametrize("of", [spec(GATED_DELTA, segmented(GRM, length=8)), spec(LINEAR, segmented(SSC, length=4, start="fresh"))])
def test_the_reference_passes_its_own_gates(of):
    report = run(Mutant(of), of, variants=[Mutant(of)])
    assert report.ok, str(report)
    assert not any(g.skipped for g in report.gates if g.name != "domain ends")


def only(op, gate, of=SPEC, **options):
    report = run(op, of, only=[gate], **options)
    return report.gates[0]


@pytest.mark.parametrize("name", ["q", "k", "v", "g"])
def test_catches_a_wrong_gradient(name):
    op = Mutant(SPEC, before=lambda x: {name: WrongGradient.apply(x[name])})
    assert only(op, "forward").ok
    gate = only(op, "gradients")
    assert not gate.ok and {c.what for c in gate.checks if not c.ok} == {f"d {name}"}


def test_catches_a_gradient_cut_from_the_start_state():
    class Cut(InPrecision):
        def __call__(self, *args, memory=None, **rest):
            memory = memory and {**memory, "state": {"S": memory["state"]["S"].detach()}}
            return super().__call__(*args, memory=memory, **rest)

    gate = only(Cut(), "gradients")
    assert {c.what for c in gate.checks if not c.ok} == {"d start S"}
    assert not only(Cut(), "split = whole").ok


def test_catches_a_leak_of_the_future():
    op = Mutant(SPEC, after=lambda y, x: y + 1e-3 * torch.roll(x["v"], -1, 1).repeat_interleave(y.shape[2] // x["v"].shape[2], 2))
    assert not only(op, "forward").ok and not only(op, "split = whole").ok


@pytest.mark.parametrize("factor", [1.001, 0.9995])
def test_catches_a_slightly_wrong_decay(factor):
    gate = only(Mutant(SPEC, before=lambda x: {"g": factor * x["g"]}), "forward")
    assert not gate.ok and "y" in gate.worst.what


def test_catches_a_decay_that_is_clamped_too_early():
    op = Mutant(SPEC, before=lambda x: {"g": x["g"].clamp(min=-6.0)})
    assert only(op, "forward").ok
    assert not only(op, "domain ends").ok


def test_an_infinity_of_the_rule_itself_frees_its_row_and_head():
    rule = dict(DECAY, inputs={**DECAY["inputs"], "w": {"shape": [], "domain": [0, math.inf]}}, update={"S": "exp(g) * S + w * outer(k, v)"})
    of = spec(rule)
    poison = Mutant(of, after=lambda y, x: torch.where(torch.isinf(x["w"]).any(1, keepdim=True)[..., None], math.nan, y))
    gate = only(poison, "domain ends", of)
    assert gate.ok and any("no finite value" in n for n in gate.notes)


def test_catches_a_wrong_tail():
    def drop_last(y, x):
        return y if y.shape[1] % 8 != 1 else torch.cat([y[:, :-1], 0 * y[:, -1:]], 1)

    assert not only(Mutant(SPEC, after=drop_last), "lengths").ok


def test_catches_a_forgotten_cache():
    of = spec(LINEAR, segmented(GRM, length=8))
    op = Mutant(of, memory=lambda m: {**m, "partial": torch.zeros_like(m["partial"])})
    assert only(op, "gradients", of).ok
    assert not only(op, "split = whole", of).ok


def test_catches_bits_that_change():
    calls = itertools.count()
    op = Mutant(SPEC, after=lambda y, x: y * (1 + 1e-6 * (next(calls) % 2)))
    assert only(op, "forward").ok
    assert not only(op, "repeatable").ok


def test_catches_chunks_that_change_the_function():
    gate = only(InPrecision(), "chunk invariance", variants=[Mutant(SPEC, before=lambda x: {"g": 1.01 * x["g"]})])
    assert not gate.ok and "chunk 8" in gate.worst.where


def test_catches_reads_past_the_end():
    """A tail without a mask: what lies behind the last token gets in, if only as a product with zero."""
    class Tail(InPrecision):
        def __call__(self, q, k, v, g, **rest):
            if k.is_contiguous() and k.storage_offset() + k.numel() < k.untyped_storage().nbytes() // k.element_size():
                k = k + 0 * k.as_strided((1,), (1,), k.storage_offset() + k.numel())
            return super().__call__(q, k, v, g, **rest)

    assert only(Tail(), "forward").ok
    gate = only(Tail(), "stays in bounds")
    assert not gate.ok and "contiguous" in gate.worst.where


def test_catches_writes_outside():
    class Writer(InPrecision):
        def __call__(self, q, k, v, g, **rest):
            if v.storage_offset():
                v.detach().as_strided((1,), (1,), v.storage_offset() - 1).fill_(0.0)
            return super().__call__(q, k, v, g, **rest)

    gate = only(Writer(), "stays in bounds")
    assert {c.what for c in gate.checks if not c.ok} == {"v"}


def test_catches_a_wrong_head_order():
    def tiled(x):
        H = max(t.shape[2] for t in x.values())
        return {n: t.repeat(1, 1, H // t.shape[2], *[1] * (t.dim() - 3)) for n, t in x.items()}

    op = Mutant(SPEC, before=tiled)
    assert only(op, "gradients").ok
    assert not only(op, "fewer heads").ok


def test_catches_a_wrong_dtype_and_a_crash():
    class Half(InPrecision):
        def __call__(self, *args, **rest):
            out = super().__call__(*args, **rest)
            return (out[0].half(), out[1]) if isinstance(out, tuple) else out.half()

    assert any("dtype" in c.where for c in only(Half(), "forward").checks if not c.ok)
    crash = only(lambda **x: 1 / 0, "forward")
    assert not crash.ok and "ZeroDivisionError" in crash.worst.where


def test_a_refusal_is_shown_with_its_reason_but_only_where_one_may_refuse():
    def refuse(**x):
        raise NotImplementedError("16-bit inputs are not lowered")

    gate = only(refuse, "16-bit inputs")
    assert gate.ok and "not lowered" in gate.skipped
    assert not only(refuse, "forward").ok and not only(refuse, "packed = separate").ok


def test_report_as_text_and_data():
    seen = []
    report = run(Mutant(SPEC, before=lambda x: {"g": 1.01 * x["g"]}), only=["forward", "repeatable"],
                 progress=lambda *p: seen.append(p))
    assert not report and report.failed == ["forward"] and "FAIL" in str(report) and "expected" in str(report)
    assert report.as_dict()["gates"]["repeatable"]["ok"] and seen[-1] == ("", 2, 2)
