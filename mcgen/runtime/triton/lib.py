"""What generated Triton kernels use beside `triton.language`. Imported by them only: it needs triton."""
import triton
import triton.language as tl


@triton.jit
def dot(x, y, PRECISION: tl.constexpr):
    """The product of two tiles, summed in float32. PRECISION: 'ieee', 'tf32x3', 'tf32x3-serial', 'tf32', or 'bf16' for operands rounded
    to bfloat16."""
    if PRECISION == "bf16":
        return tl.dot(x.to(tl.bfloat16), y.to(tl.bfloat16))
    elif PRECISION == "tf32x3-serial":
        return dot_in_turns(x, y)
    else:
        return tl.dot(x, y, input_precision=PRECISION)


@triton.jit
def dot_in_turns(x, y):
    """The product of two float32 tiles as three of their TF32 parts, in a loop: the operands of one are in registers at a time, and no
    other product's, where the compiler would load those of all three, and of the next product, before the first is done."""
    total = tl.zeros((x.shape[0], y.shape[1]), tl.float32)
    for turn in tl.range(0, 3, num_stages=1, disable_licm=True):            # the small parts first; an infinity has none, but takes the other side's
        large_x, large_y = rounded(x), rounded(y)
        part_x = tl.where(turn == 0, rounded(x - large_x), large_x)
        part_y = tl.where(turn == 1, rounded(y - large_y), large_y)
        total = tl.where((turn < 2) | (total == total), total, 0.0)
        total = tl.dot(part_x, part_y, acc=total, input_precision="tf32")
    return total


@triton.jit
def rounded(x):
    """float32 to the nearest TF32, which has 13 bits less; infinity where that leaves float32's range."""
    return tl.where(x == x, ((x.to(tl.int32, bitcast=True) + 4096) & -8192).to(tl.float32, bitcast=True), x)


@triton.jit
def tokens(x, count, PACKED: tl.constexpr):
    """Loaded tokens in float32. Where sequences are packed, one without tokens reads a neighbour's, which has to be finite here."""
    x = x.to(tl.float32)
    if PACKED:
        x = tl.where((count > 0) | (tl.abs(x) < float("inf")), x, 0.0)
    return x


@triton.jit
def sums_before(x, REVERSE: tl.constexpr):
    """x [C] -> [C]: the sum of the entries before each one (after it, if REVERSE): summed, not subtracted."""
    at = tl.arange(0, x.shape[0])
    if REVERSE:
        return tl.sum(tl.where(at[None, :] > at[:, None], x[None, :], 0.0), 1)
    else:
        return tl.sum(tl.where(at[None, :] < at[:, None], x[None, :], 0.0), 1)


@triton.jit
def row_sums_before(x, REVERSE: tl.constexpr, EXACT: tl.constexpr):
    """x [C, K] -> [C, K]: the same along the first axis. EXACT: the precision of products that is nearest to float32's."""
    at = tl.arange(0, x.shape[0])
    if REVERSE:
        chosen = at[None, :] > at[:, None]
    else:
        chosen = at[None, :] < at[:, None]
    return dot(tl.where(chosen, 1.0, 0.0), x, EXACT)


@triton.jit
def inverse(x, EXACT: tl.constexpr):
    """(1 - x)^-1 for x [C, C] that is 0 on and above the diagonal: of blocks on the diagonal, twice as long at every step."""
    C: tl.constexpr = x.shape[0]
    row, column = tl.arange(0, C)[:, None], tl.arange(0, C)[None, :]
    found = tl.where(row == column, 1.0, 0.0) + tl.where((row // 2 == column // 2) & (row > column), x, 0.0)
    block = 2
    while block < C:
        between = tl.where((row // block == column // block + 1) & (row // block % 2 == 1), x, 0.0)
        found += dot(dot(found, between, EXACT), found, EXACT)
        block *= 2
    return found


@triton.jit
def first_row(rows_ptr, R, n):
    """How many rows of a sequence's table come before the first one of a segment after n."""
    total = 0
    for i in range(0, R, 128):
        at = i + tl.arange(0, 128)
        segment = tl.load(rows_ptr + at * 4 + 2, mask=at < R, other=2147483647)
        total += tl.sum((segment <= n).to(tl.int32), 0)
    return total


@triton.jit
def keeps(rows_ptr, R, n, LENGTH: tl.constexpr):
    """Whether no row of a sequence's table ends segment n."""
    ends = 0
    for i in range(0, R, 128):
        at = i + tl.arange(0, 128)
        count = tl.load(rows_ptr + at * 4 + 1, mask=at < R, other=0)
        segment = tl.load(rows_ptr + at * 4 + 2, mask=at < R, other=0)
        offset = tl.load(rows_ptr + at * 4 + 3, mask=at < R, other=0)
        ends += tl.sum(((segment == n) & (count > 0) & (count + offset == LENGTH)).to(tl.int32), 0)
    return ends == 0


@triton.jit
def two_to(n):
    """2^n."""
    return (n * 0 + 1) << n


@triton.jit
def below(i, n):
    """The number that the digits of i below that of 2^n make."""
    return i & (two_to(n) - 1)


@triton.jit
def digit(i, n):
    """Whether the digit of 2^n of i is 1."""
    return ((i >> n) & 1) != 0


@triton.jit
def carries(i, n):
    """Whether i + 1 carries into the digit of 2^n."""
    return below(i + 1, n) == 0


@triton.jit
def ones(i, n):
    """How many of the digits of i below that of 2^n are 1."""
    x = below(i, n)
    x = x - ((x >> 1) & 0x55555555)
    x = (x & 0x33333333) + ((x >> 2) & 0x33333333)
    x = (x + (x >> 4)) & 0x0F0F0F0F
    x = x + (x >> 8)
    return (x + (x >> 16)) & 0x3F


@triton.jit
def lowest(i):
    """The number of the lowest digit of i that is 1."""
    return ones((i - 1) & ~i, 31)


@triton.jit
def memory(segment, n):
    """The slot of the memory that a digit of 1 of a row's segment stands for."""
    return ((segment >> n) << n) - 1


@triton.jit
def topk(score, past, TOP: tl.constexpr, DIGITS: tl.constexpr = False):
    """score [C, N], past [N] -> truth [C, N]: the TOP largest of the past slots, ties to the older: with DIGITS to the higher ones."""
    at = tl.arange(0, score.shape[1])[None, :]
    if DIGITS:
        at = score.shape[1] - 1 - at
    left = tl.where(past[None, :], score, float("-inf"))
    chosen = tl.where(left == left, 0, 0)
    for _ in tl.static_range(TOP):
        best = tl.max(left, 1)[:, None]
        here = tl.min(tl.where((left == best) & (chosen == 0), at, 2147483647), 1)[:, None]
        chosen = tl.where(at == here, 1, chosen)
        left = tl.where(at == here, float("-inf"), left)
    return (chosen > 0) & past[None, :]


@triton.jit
def sign(x):
    return tl.where(x > 0.0, 1.0, tl.where(x < 0.0, -1.0, 0.0))


@triton.jit
def parity(count):
    """The sign of a product of so many negative factors."""
    return 1.0 - 2.0 * (count - 2.0 * tl.floor(count * 0.5))


@triton.jit
def relu(x):
    return tl.maximum(x, 0.0)


@triton.jit
def log1p_exp(x):
    """log(1 + exp(x)) for x <= 0, to float32's accuracy where exp(x) is small too."""
    e = tl.exp(x)
    series = e * (1.0 - e * (0.5 - e * (0.33333333 - e * 0.25)))
    return tl.where(e < 0.01, series, tl.log(1.0 + e))


@triton.jit
def softplus(x):
    return tl.maximum(x, 0.0) + log1p_exp(-tl.abs(x))


@triton.jit
def logsigmoid(x):
    return tl.minimum(x, 0.0) - log1p_exp(-tl.abs(x))


@triton.jit
def dense_solve(matrix, x, SIZE: tl.constexpr, DEFINITE: tl.constexpr = False):
    """matrix [M, M], x [M] or [M, W] -> y like x with matrix @ y = x in the first SIZE rows and columns, all else being 0: every column
    in turn is eliminated from all rows but that of its largest entry among the rows not chosen yet, which stays where it is. What is no
    number counts as the largest, so that no solution has numbers then. DEFINITE: the matrix is symmetric and nowhere negative, so that
    each column's own row will do."""
    if len(x.shape) == 1:
        right = x[None, :]
    else:
        right = tl.trans(x)
    at = tl.arange(0, matrix.shape[0])
    chosen = tl.full((matrix.shape[0],), -1, tl.int32)         # row -> the column whose entry is 1 there, in the end
    for p in range(0, SIZE):
        column = tl.sum(tl.where((at == p)[None, :], matrix, 0.0), 1)
        if DEFINITE:
            here = at == p
        else:
            largest = tl.where(column == column, tl.abs(column), float("inf"))
            here = at == tl.argmax(tl.where((chosen < 0) & (at < SIZE), largest, -1.0), 0)
        one = 1.0 / tl.sum(tl.where(here, column, 0.0), 0)
        pivot = (tl.sum(tl.where(here[:, None], matrix, 0.0), 0) * one)[None, :]
        pivot_right = (tl.sum(tl.where(here[None, :], right, 0.0), 1) * one)[:, None]
        matrix = tl.where(here[:, None], pivot, matrix - column[:, None] * pivot)
        right = tl.where(here[None, :], pivot_right, right - pivot_right * column[None, :])
        chosen = tl.where(here, p, chosen)
    if not DEFINITE:
        row = tl.sum(tl.where(chosen[:, None] == at[None, :], at[:, None], 0), 0)
        right = tl.gather(right, tl.broadcast_to(row[None, :], right.shape), 1)
    y = tl.where((at < SIZE)[None, :], right, 0.0)
    if len(x.shape) == 1:
        return tl.sum(y, 0)
    else:
        return tl.trans(y)


@triton.jit
def tanh(x):
    """By exponentials; by its series near 0, where they would cancel."""
    s = x * x
    series = x * (1.0 - s * (0.33333333 - s * (0.13333333 - s * 0.053968254)))
    e = tl.exp(-2.0 * tl.abs(x))
    far = (1.0 - e) / (1.0 + e)
    return tl.where(s < 0.01, series, tl.where(x < 0.0, -far, far))


@triton.jit
def silu(x):
    return x * tl.sigmoid(x)


@triton.jit
def gelu(x):
    return 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
