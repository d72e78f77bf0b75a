"""What a generated torch program uses beside torch: the chunk table, rows of tokens, and the cache's slots.

Tensors have one leading axis z for sequence x head, then the axes that the program's comments name: r (rows of the
chunk table), c (tokens of a row), n (slots of the cache), and the spec's dimensions. Everything is differentiable.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .partition import levels  # noqa: F401  (part of what a program uses)
from .channels import cumprod, decayed, pair, papply, pfactor  # noqa: F401  (part of what a program uses)

FLOOR = 1e-30                    # a raw decay below this counts as this in logarithms


class Rows:
    """The chunk table per sequence and head.

    table [B, R, 4] int32: start, count, segment, offset of every row; see `mcgen.runtime.partition`. `like`: a tensor of tokens,
    [B, delay + T, H, *], or [1, T + B*delay, H, *] when the sequences are packed: then tokens have a leading axis of H, not z.
    """

    def __init__(self, table: Tensor, like: Tensor, length: int, chunk: int):
        self.packed, self.sequences, self.heads = like.shape[0] != table.shape[0], table.shape[0], like.shape[2]
        z = torch.arange(self.sequences * self.heads, device=table.device)[:, None, None]
        self.place = z % self.heads if self.packed else z           # where its tokens lie along their first axis
        self.gaps = z // self.heads + 1 if self.packed else 1       # the stretches of past tokens up to its own
        table = table.long().repeat_interleave(self.heads, 0)
        self.start, self.count, self.segment, self.offset = table.unbind(-1)       # [z, R]
        self.length, self.chunk = length, chunk
        self.z, self.rows = self.start.shape
        self.c = torch.arange(chunk, device=table.device)
        self.completes = (self.count > 0) & (self.offset + self.count == length)
        self.index = torch.arange(self.rows, device=table.device).expand(self.z, -1)
        full = self.index * chunk
        self.regular = not self.packed and bool((self.start == full).all()) and bool((self.count[:, :-1] == chunk).all())

    def load(self, x: Tensor, shift: int = 0, delay: int = 0, zero: bool = False) -> Tensor:
        """x [z, delay + T, *] -> [z, r, c, *]: the token `shift` before each; past a row's end its last token, or 0.

        Past the end of a sequence without tokens stands a finite number.
        """
        if self.regular and shift == delay == 0 and x.shape[1] > 0:
            missing = self.rows * self.chunk - x.shape[1]
            if missing:
                tail = x.new_zeros(x.shape[:1] + (missing,) + x.shape[2:]) if zero else \
                    x[:, -1:].expand(-1, missing, *x.shape[2:])
                x = torch.cat([x, tail], 1)
            return x.reshape(x.shape[0], self.rows, self.chunk, *x.shape[2:])
        last = (self.count - 1)[..., None]
        index = self.start[..., None] + torch.minimum(self.c, last) - shift + self.gaps * delay
        got = x[self.place, index.clamp(0, max(x.shape[1] - 1, 0))]
        if self.packed:
            alone = (self.count == 0).all(1).reshape((self.z,) + (1,) * (got.dim() - 1))
            got = torch.where(alone, got.nan_to_num(0.0, 0.0, 0.0), got)                  # another sequence's token, or padding
        if zero:
            inside = (self.c < self.count[..., None]) & (index >= 0) & (index < x.shape[1])
            got = torch.where(inside.reshape(inside.shape + (1,) * (got.dim() - 3)), got, torch.zeros((), dtype=got.dtype))
        return got

    def store(self, parts: list[tuple[Tensor, int]], tokens: int, delay: int = 0) -> Tensor:
        """The sum of parts ([z, r, c, *], shift) as tokens [z, delay + T, *]: a value at token t belongs to t - shift."""
        total = None
        for x, shift in parts:
            if self.regular and shift == delay == 0:
                placed = x.reshape(x.shape[0], self.rows * self.chunk, *x.shape[3:])[:, :tokens]
            else:
                index = self.start[..., None] + self.c - shift + self.gaps * delay
                z, r, c = ((self.c < self.count[..., None]) & (index >= 0)).nonzero(as_tuple=True)
                rows, gap = (self.heads, self.sequences * delay) if self.packed else (self.z, delay)
                empty = x.new_zeros(rows, gap + tokens, *x.shape[3:])
                placed = empty.index_put((self.place[z, 0, 0], index[z, r, c]), x[z, r, c], accumulate=True)
            total = placed if total is None else total + placed
        return total

    def collect(self, x: Tensor, old: Tensor) -> Tensor:
        """x [z, r, *], old [z, n, *] -> [z, n, *]: slot n is x at the row that completes segment n, else old."""
        z, r = self.completes.nonzero(as_tuple=True)
        return old.index_put((z, self.segment[z, r]), x[z, r].to(old.dtype))

    def expose(self, x: Tensor) -> Tensor:
        """x [z, n, *] -> [z, r, *]: slot n at the row that completes segment n, else 0."""
        z, r = self.completes.nonzero(as_tuple=True)
        return x.new_zeros(self.z, self.rows, *x.shape[2:]).index_put((z, r), x[z, self.segment[z, r]])

    def keep(self, x: Tensor) -> Tensor:
        """x [z, n, *] where no row of this call completes slot n, else 0."""
        z, r = self.completes.nonzero(as_tuple=True)
        return x.index_put((z, self.segment[z, r]), torch.zeros((), dtype=x.dtype, device=x.device))

    def memory_of(self, digit: int | Tensor) -> tuple[Tensor, Tensor]:
        """The slot of the memory that a digit of the row's segment stands for, and whether the digit is 1: [z, r], or [z, r, n]."""
        segment = self.segment[..., None] if isinstance(digit, Tensor) and digit.dim() else self.segment
        return ((segment >> digit) << digit) - 1, (segment >> digit) & 1 == 1

    def take(self, x: Tensor, digit: int | Tensor) -> Tensor:
        """x [z, m, *] -> [z, r, *] for a digit, [z, r, n, *] for all: the memory of the digit, 0 where it is 0."""
        slot, one = self.memory_of(digit)
        if not x.shape[1]:
            return x.new_zeros(*slot.shape, *x.shape[2:])
        lane = torch.arange(self.z, device=x.device).reshape(self.z, *(1,) * (slot.dim() - 1))
        got = x[lane, slot.clamp(0, x.shape[1] - 1)]
        return torch.where(one.reshape(one.shape + (1,) * (x.dim() - 2)), got, torch.zeros((), dtype=x.dtype, device=x.device))

    def give(self, x: Tensor, digit: int | Tensor, slots: int) -> Tensor:
        """x [z, r, *], or [z, r, n, *] -> [z, m, *]: what rows have for a memory, summed."""
        slot, one = self.memory_of(digit)
        at = one.nonzero(as_tuple=True)
        return x.new_zeros(self.z, slots, *x.shape[slot.dim():]).index_put((at[0], slot[at]), x[at], accumulate=True)

    def topk(self, x: Tensor, k: int, digits: bool = False) -> Tensor:
        """x [z, r, c, n] -> truth: the k largest of the slots before the row's segment, ties to the older. digits: of the memories
        that its digits stand for, the highest the oldest."""
        n, segment = torch.arange(x.shape[-1], device=x.device), self.segment[..., None, None]
        past = digit(segment, n) if digits else n < segment
        score = x.detach().masked_fill(~past, float("-inf"))
        order = (score.flip(-1) if digits else score).argsort(dim=-1, descending=True, stable=True)
        rank = order.argsort(dim=-1)
        return ((rank.flip(-1) if digits else rank) < k) & past


def tokens(x: Tensor) -> Tensor:
    """[B, T, H, *] -> [z, T, *]."""
    return x.transpose(1, 2).flatten(0, 1)


def from_tokens(x: Tensor, heads: int) -> Tensor:
    """[z, T, *] -> [B, T, H, *]."""
    return unflat(x, heads).transpose(1, 2)


def per_head(x: Tensor, batch: int) -> Tensor:
    """[H, *] -> [z, *]."""
    return x.expand(batch, *x.shape).flatten(0, 1)


def flat(x: Tensor) -> Tensor:
    """[B, H, *] -> [z, *]."""
    return x.flatten(0, 1)


def unflat(x: Tensor, heads: int) -> Tensor:
    """[z, *] -> [B, H, *]."""
    return x.reshape(x.shape[0] // heads, heads, *x.shape[1:])


def iota(like: Tensor, size: int) -> Tensor:
    return torch.arange(size, device=like.device)


def running(x: Tensor, axis: int, reverse: bool = False, exclusive: bool = False) -> Tensor:
    """A running sum along an axis."""
    if exclusive:
        shape = list(x.shape)
        shape[axis] = 1
        pad = x.new_zeros(shape)
        x = torch.cat([x.narrow(axis, 1, x.shape[axis] - 1), pad] if reverse else [pad, x.narrow(axis, 0, x.shape[axis] - 1)], axis)
    return x.flip(axis).cumsum(axis).flip(axis) if reverse else x.cumsum(axis)


def solve(matrix: Tensor, x: Tensor, lead: int, own: int, transposed: bool = False) -> Tensor:
    """(1 - L)^-1 x. matrix [lead.., tokens.., tokens..] is L, strictly lower in its tokens; x [lead.., tokens.., ..];
    `lead` axes lead, tokens (and steps inside a token) are `own` axes. transposed: with L^T."""
    shape = x.shape
    tokens = shape[lead : lead + own].numel()
    matrix = -matrix.reshape(*shape[:lead], tokens, tokens)
    if transposed:
        matrix = matrix.mT
    x = x.reshape(*shape[:lead], tokens, -1)
    return torch.linalg.solve_triangular(matrix, x, upper=transposed, unitriangular=True).reshape(shape)


def largest(x: Tensor, axis: int) -> Tensor:
    """The maximum along an axis; -inf where there is nothing."""
    return x.amax(axis) if x.shape[axis] else x.sum(axis) + float("-inf")


def logfloor(x: Tensor) -> Tensor:
    """log of abs(x), at least FLOOR, with the derivative 1 / x of the floored x."""
    if x.requires_grad:
        x = x + (torch.where(x < 0, x.clamp(max=-FLOOR), x.clamp(min=FLOOR)) - x).detach()
    return torch.log(x.abs().clamp(min=FLOOR))


def parity(count: Tensor) -> Tensor:
    """The sign of a product of `count` negative factors."""
    return 1 - 2 * torch.remainder(count, 2)


def oldest_first(online: Tensor, cached: Tensor, taking: Tensor, there: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weights by digit, lowest first, as weights by memory, oldest first, then those of digits 0, which have no memory there."""
    order = torch.arange(there.shape[-1], 0, -1, device=there.device).to(there.dtype) - there * there.shape[-1]
    at = order.sort(dim=-1, stable=True).indices
    return online, cached.gather(-1, at), taking.gather(-1, at)


def digit(i: Tensor, n: Tensor) -> Tensor:
    """Whether the digit of 2^n of a whole number is 1."""
    return (i >> n) & 1 == 1


def below(i: Tensor, n: Tensor) -> Tensor:
    """The number that the digits below that of 2^n make."""
    return i & ((1 << n) - 1)


def carries(i: Tensor, n: Tensor) -> Tensor:
    """Whether i + 1 carries into the digit of 2^n."""
    return below(i + 1, n) == 0


def ones(i: Tensor, n: Tensor) -> Tensor:
    """How many of the digits below that of 2^n are 1."""
    return sum((below(i, n) >> j) & 1 for j in range(32))


def two_to(n: Tensor) -> Tensor:
    return 1 << n


def maximum(x: Tensor, y: Tensor | float) -> Tensor:
    return torch.maximum(x, y if isinstance(y, Tensor) else x.new_tensor(y))


def minimum(x: Tensor, y: Tensor | float) -> Tensor:
    return torch.minimum(x, y if isinstance(y, Tensor) else x.new_tensor(y))


def softplus(x: Tensor) -> Tensor:
    return F.softplus(x, threshold=1e9)


def where(mask: Tensor | bool, x: Tensor | float, y: Tensor | float, like: Tensor) -> Tensor:
    """torch.where with numbers in the program's precision, and a truth that may be the same everywhere."""
    mask = mask if isinstance(mask, Tensor) else torch.tensor(mask, device=like.device)
    x, y = (v if isinstance(v, Tensor) else torch.tensor(v, dtype=like.dtype, device=like.device) for v in (x, y))
    return torch.where(mask, x, y)


def dense_solve(matrix: Tensor, x: Tensor, own: int) -> Tensor:
    """The y with matrix @ y = x: matrix [*, n, n], x [*, n] and `own` more axes."""
    if not own:
        return torch.linalg.solve(matrix, x[..., None])[..., 0]
    return torch.linalg.solve(matrix, x.flatten(-own)).reshape(x.shape)


def stacked(parts: list[Tensor], shape: tuple[int, ...], like: Tensor, axis: int = 1) -> Tensor:
    """Parts of one shape stacked along a new axis; of length 0 where there are none."""
    if parts:
        return torch.stack(parts, axis)
    return like.new_zeros(shape[:axis] + (0,) + shape[axis:])
