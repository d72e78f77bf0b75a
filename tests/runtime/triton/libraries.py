"""What generated kernels use, in Triton's interpreter against float64: prints the largest errors as JSON, in a process of its own."""
import json
import os

os.environ["TRITON_INTERPRET"] = "1"

import torch  # noqa: E402
import triton  # noqa: E402
import triton.language as tl  # noqa: E402

from mcgen.runtime import channels as plain  # noqa: E402
from mcgen.runtime.triton import factors, lib  # noqa: E402

C, K = 32, 16
NAMES = ("pair", "by q", "by k", "factors: by q", "factors: by k", "factors: by f", "before", "after", "decayed", "decayed back")


@triton.jit
def along_a_row(a_ptr, q_ptr, k_ptr, f_ptr, found_ptr, C: tl.constexpr, K: tl.constexpr):
    c, channel = tl.arange(0, C), tl.arange(0, K)
    at, place = c[:, None] * K + channel[None, :], c[:, None] * C + c[None, :]
    a, q, k, f = tl.load(a_ptr + place), tl.load(q_ptr + at), tl.load(k_ptr + at), tl.load(f_ptr + at)
    tl.store(found_ptr + place, factors.pair(q, k, f, "ieee"))
    out_ptr = found_ptr + C * C
    tl.store(out_ptr + at, factors.papply(a, k, f, False, "ieee"))
    tl.store(out_ptr + C * K + at, factors.papply(a, q, f, True, "ieee"))
    by_q, by_k, by_f = factors.channels(a, q, k, f, "ieee")
    tl.store(out_ptr + 2 * C * K + at, by_q)
    tl.store(out_ptr + 3 * C * K + at, by_k)
    tl.store(out_ptr + 4 * C * K + at, by_f)
    tl.store(out_ptr + 5 * C * K + at, factors.products(f, False))
    tl.store(out_ptr + 6 * C * K + at, factors.products(f, True))
    tl.store(out_ptr + 7 * C * K + at, factors.decayed(k, f, False))
    tl.store(out_ptr + 8 * C * K + at, factors.decayed(q, f, True))


@triton.jit
def inverted(a_ptr, found_ptr, C: tl.constexpr):
    c = tl.arange(0, C)
    place = c[:, None] * C + c[None, :]
    tl.store(found_ptr + place, lib.inverse(tl.load(a_ptr + place), "ieee"))


@triton.jit
def in_turns(x_ptr, y_ptr, found_ptr, C: tl.constexpr, K: tl.constexpr):
    c, channel = tl.arange(0, C), tl.arange(0, K)
    x, y = tl.load(x_ptr + c[:, None] * K + channel[None, :]), tl.load(y_ptr + channel[:, None] * C + c[None, :])
    tl.store(found_ptr + c[:, None] * C + c[None, :], lib.dot(x, y, "tf32x3-serial"))


def errors_of_turns() -> dict[str, float | list]:
    """Of numbers of any size; and what infinities and NaN, also the one that GPUs write, with all bits set, make of rows."""
    x, y, found = torch.randn(C, K) * 10.0 ** torch.randint(-6, 6, (C, 1)), torch.randn(K, C), torch.full((C, C), float("nan"))
    in_turns[(1,)](x, y, found, C, K)
    want = x.double() @ y.double()
    worst = float(((found - want).abs().max(1).values / want.abs().max(1).values).max())
    x[:4, 0] = torch.tensor([float("inf"), float("-inf"), float("nan"), 0.0])
    x.view(torch.int32)[3, 0] = 0x7FFFFFFF
    in_turns[(1,)](x, y.abs(), found, C, K)
    shown = [v if v == v else "nan" for v in found[:4, 0].tolist()]
    return {"in turns": worst, "in turns: not finite": shown}


def drawn(kind: str) -> torch.Tensor:
    f = torch.rand(C, K)
    half = torch.rand(C, K) < 0.5
    return {"log decay 0": torch.ones(C, K), "log decay -50": torch.where(half, torch.exp(torch.tensor(-50.0)), f), "some 0": torch.where(half, 0.0, f),
            "all 0": torch.zeros(C, K), "signed": 2 * f - 1}[kind]


def errors_of_factors(kind: str) -> dict[str, float]:
    a, q, k, f = torch.randn(C, C), torch.randn(C, K), torch.randn(C, K), drawn(kind)
    found = torch.full((C * C + 9 * C * K,), float("nan"))
    along_a_row[(1,)](a, q, k, f, found, C, K)
    a, q, k, f = (x.double() for x in (a, q, k, f))
    want = [plain.pair(q, k, f), plain.papply(a, k, f), plain.papply(a, q, f, True), plain.papply(a, k, f), plain.papply(a, q, f, True),
            plain.pfactor(a, q, k, f), plain.cumprod(f, 0), plain.cumprod(f, 0, True), plain.decayed(k, f), plain.decayed(q, f, True)]
    parts = torch.split(found.double(), [C * C, *[C * K] * 9])
    return {f"{kind}: {n}": error(x.view(w.shape), w) for n, x, w in zip(NAMES, parts, want)}


def error(x: torch.Tensor, want: torch.Tensor) -> float:
    return float((x - want).abs().nan_to_num(float("inf")).max()) / max(1.0, float(want.abs().max()))


def errors_of_inverses() -> dict[str, float]:
    """Of tokens with unit keys as good as orthogonal, with one key for all, and with entries of size 1 and any sign."""
    keys = torch.nn.functional.normalize(torch.randn(C, K), dim=1)
    systems = {"unit keys": -keys @ keys.T, "one key": -torch.ones(C, C), "alternating": torch.ones(C, C) * (-1.0) ** torch.arange(C)[:, None]}
    found = {}
    for name, matrix in systems.items():
        matrix, x = torch.tril(matrix, -1).contiguous(), torch.full((C, C), float("nan"))
        inverted[(1,)](matrix, x, C)
        found[name] = error(x.double(), torch.linalg.inv(torch.eye(C, dtype=torch.float64) - matrix.double()))
    return found


@triton.jit
def solved(a_ptr, x_ptr, found_ptr, C: tl.constexpr, K: tl.constexpr, SIZE: tl.constexpr, DEFINITE: tl.constexpr):
    c, channel = tl.arange(0, C), tl.arange(0, K)
    inside = c < SIZE
    a = tl.load(a_ptr + c[:, None] * C + c[None, :], mask=inside[:, None] & inside[None, :], other=0.0)
    at = c[:, None] * K + channel[None, :]
    tl.store(found_ptr + at, lib.dense_solve(a, tl.load(x_ptr + at, mask=inside[:, None], other=0.0), SIZE, DEFINITE))
    tl.store(found_ptr + C * K + c, lib.dense_solve(a, tl.load(x_ptr + c * K, mask=inside, other=0.0), SIZE, DEFINITE))


def errors_of_solves() -> dict[str, float]:
    """Residuals over the largest right side: of a full tile, of one that is longer than the system, of rows that must be taken in another
    order, of symmetric ones that are nowhere negative. How many numbers a solution has of a system with an entry that is none."""
    found = {}
    for name, size, change in (("any", C, lambda a: a), ("short", 19, lambda a: a), ("turned", C, lambda a: a.triu(1) + a.tril(-1)),
                               ("in an order", C, lambda a: torch.eye(C)[torch.randperm(C)]),
                               ("definite", C, lambda a: a @ a.T / C + 0.1 * torch.eye(C)), ("definite, short", 19, lambda a: a @ a.T + torch.eye(C))):
        a, x, out = change(torch.randn(C, C)).contiguous(), torch.randn(C, K), torch.full((C * K + C,), float("nan"))
        solved[(1,)](a, x, out, C, K, size, "definite" in name)
        many, one = out[:C * K].view(C, K).double(), out[C * K:].double()
        inner, right = a[:size, :size].double(), x[:size].double()
        worst = max(float((inner @ many[:size] - right).abs().max()), float((inner @ one[:size] - right[:, 0]).abs().max()))
        found[f"solve: {name}"] = worst / float(inner.abs().sum(1).max() * many[:size].abs().max())
        found[f"solve: {name}: past its end"] = float(many[size:].abs().sum() + one[size:].abs().sum())
    a = torch.diag(torch.rand(C) + 0.25)
    a[3, 3] = float("nan")
    for definite in (False, True):
        solved[(1,)](a + 0.01, x, out, C, K, C, definite)
        found["solve: numbers" + ", definite" * definite] = float((out == out).sum())
    return found


@triton.jit
def of_digits(found_ptr, N: tl.constexpr):
    i = tl.program_id(0)
    n = tl.arange(0, N)
    rows = tl.zeros((N,), tl.int32)
    tl.store(found_ptr + i * 6 * N + n, lib.digit(i, n).to(tl.int32))
    tl.store(found_ptr + (i * 6 + 1) * N + n, lib.carries(i, n).to(tl.int32))
    tl.store(found_ptr + (i * 6 + 2) * N + n, lib.ones(i, n))
    tl.store(found_ptr + (i * 6 + 3) * N + n, lib.below(i, n))
    tl.store(found_ptr + (i * 6 + 4) * N + n, lib.memory(i, n))
    tl.store(found_ptr + (i * 6 + 5) * N + n, rows + lib.lowest(i + 1))


def errors_of_digits() -> dict[str, float]:
    """Of whole numbers up to 40, the digits of 2^0 to 2^15."""
    count, n = 40, 16
    found = torch.full((count, 6, n), -7, dtype=torch.int32)
    of_digits[(count,)](found, n)
    want = [[[i >> j & 1, (i + 1) % 2 ** j == 0, bin(i % 2 ** j).count("1"), i % 2 ** j, (i >> j << j) - 1, len(bin(i + 1)) - len(bin(i + 1).rstrip("0"))]
             for j in range(n)] for i in range(count)]
    names = ("digit", "carries", "ones", "below", "memory", "lowest")
    return {name: error(found[:, k].double(), torch.tensor(want).double()[:, :, k]) for k, name in enumerate(names)}


if __name__ == "__main__":
    torch.manual_seed(0)
    made = errors_of_inverses() | errors_of_digits() | errors_of_turns() | errors_of_solves()
    for kind in ("log decay 0", "log decay -50", "some 0", "all 0", "signed"):
        made |= errors_of_factors(kind)
    print(json.dumps(made))
