"""linear_attention on GPUs.

Written by mcgen: build it again instead of changing it. Kernels run one after the other: grids over the chunk table's rows,
loops over the rows of a sequence and head, loops over the rows for every cached memory. Axes: c and d tokens of a row, n
cached memories, then the dims. `mcgen.runtime.triton` launches them, each with: its tensors, contiguous; the chunk table, four
integers a row: its first token, how many, their segment, the first one's place in it; T tokens (0: packed), H heads, R rows of a
sequence, N cached memories; C tokens of a row and SLOTS memories at most; PRECISION of products, EXACT the one nearest to
float32's; PACKED, whether sequences are packed; of every dim its size and the part of it that a program has.

    S = S + outer(k, v)
    read = scale * S.T @ q
"""
import triton
import triton.language as tl

from mcgen.runtime.triton import lib

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def forward_0(k_ptr, v_ptr, state_S_ptr, new_state_S_ptr, saved_S_ptr, table_ptr, T, H, R, N,
              C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other: new.state.S, saved.S."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    block_of_K = tl.program_id(1) % tl.cdiv(size_K, block_K)
    block_of_V = (tl.program_id(1) // tl.cdiv(size_K, block_K))
    at_K = block_of_K * block_K + tl.arange(0, block_K)
    at_V = block_of_V * block_V + tl.arange(0, block_V)
    state_S = tl.load(state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    S = state_S  # [K, V]
    for r in range(0, R):
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        tl.store(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        valid = c < count  # [c]
        # spec line 14: S: S + outer(k, v)
        inside = tl.where(valid, 1.0, 0.0)  # [c]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        write = k_c * inside[:, None]  # [c, K]
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        increment_S = lib.dot(tl.trans(write), v_c, PRECISION)  # [K, V]
        next_S = S + increment_S  # [K, V]
        S = next_S
    tl.store(new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def forward_1(q_ptr, k_ptr, v_ptr, saved_S_ptr, y_ptr, table_ptr, T, H, R, N,
              C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: y."""
    r = tl.program_id(0)
    z = tl.program_id(1).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    block_of_V = tl.program_id(2)
    at_V = block_of_V * block_V + tl.arange(0, block_V)
    row_ptr = rows_ptr + r * 4
    start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
    token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
    first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
    total = tl.zeros((C, C,), tl.float32)  # [c, d]
    carried = tl.zeros((C, block_V,), tl.float32)  # [c, V]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += lib.dot(q_c, tl.trans(k_c), PRECISION)
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        carried += lib.dot(q_c, saved_S, PRECISION)
    # spec line 15: read: scale * S.T @ q
    mask = c[:, None] >= c[None, :]  # [c, d]
    mask2 = c < count  # [d]
    earlier = mask & mask2[None, :]  # [c, d]
    P = tl.where(earlier, total, 0.0)  # [c, d]
    v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
    recent = lib.dot(P, v_c, PRECISION)  # [c, V]
    online = recent + carried  # [c, V]
    y = (size_K ** (-0.5)) * online  # [c, V]
    tl.store(y_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], y, mask=(at_V[None, :] < size_V) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_0(q_ptr, d_y_ptr, d_new_state_S_ptr, d_state_S_ptr, stored_d_increment_S_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other, from the last to the first: d.state.S, stored.d_increment_S."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    block_of_K = tl.program_id(1) % tl.cdiv(size_K, block_K)
    block_of_V = (tl.program_id(1) // tl.cdiv(size_K, block_K))
    at_K = block_of_K * block_K + tl.arange(0, block_K)
    at_V = block_of_V * block_V + tl.arange(0, block_V)
    d_new_state_S = tl.load(d_new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    d_old_S = d_new_state_S  # [K, V]
    for i in range(0, R):
        r = R - 1 - i
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        # spec line 15: read: scale * S.T @ q
        product = lib.dot(tl.trans(q_c), d_y_c, PRECISION)  # [K, V]
        scaled = (size_K ** (-0.5)) * product  # [K, V]
        # spec line 14: S: S + outer(k, v)
        added = d_old_S + scaled  # [K, V]
        tl.store(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        d_old_S = added
    tl.store(d_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_1(q_ptr, k_ptr, d_y_ptr, stored_d_increment_S_ptr, d_v_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: d.v."""
    r = tl.program_id(0)
    z = tl.program_id(1).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    block_of_V = tl.program_id(2)
    at_V = block_of_V * block_V + tl.arange(0, block_V)
    row_ptr = rows_ptr + r * 4
    start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
    token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
    first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
    total = tl.zeros((C, C,), tl.float32)  # [c, d]
    total2 = tl.zeros((C, block_V,), tl.float32)  # [c, V]
    for block_of_K in tl.range(0, tl.cdiv(size_K, block_K), disable_licm=True):  # what is moved out of it would fill registers
        at_K = block_of_K * block_K + tl.arange(0, block_K)
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        total += lib.dot(q_c, tl.trans(k_c), PRECISION)
        stored_d_increment_S = tl.load(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total2 += lib.dot(k_c, stored_d_increment_S, PRECISION)
    # spec line 15: read: scale * S.T @ q
    mask = c[:, None] >= c[None, :]  # [c, d]
    mask2 = c < count  # [d]
    earlier = mask & mask2[None, :]  # [c, d]
    P = tl.where(earlier, total, 0.0)  # [c, d]
    d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
    product = lib.dot(tl.trans(P), d_y_c, PRECISION)  # [d, V]
    valid = c < count  # [c]
    # spec line 14: S: S + outer(k, v)
    inside = tl.where(valid, 1.0, 0.0)  # [c]
    d_v_part = inside[:, None] * total2  # [c, V]
    # spec line 15: read: scale * S.T @ q
    scaled = (size_K ** (-0.5)) * product  # [d, V]
    # spec line 14: S: S + outer(k, v)
    d_v = scaled + d_v_part  # [c, V]
    tl.store(d_v_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v, mask=(at_V[None, :] < size_V) & (c < count)[:, None])

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def backward_2(q_ptr, k_ptr, v_ptr, saved_S_ptr, d_y_ptr, stored_d_increment_S_ptr, d_q_ptr, d_k_ptr, table_ptr, T, H, R, N,
               C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """A program for every row of the chunk table: d.q, d.k."""
    r = tl.program_id(0)
    z = tl.program_id(1).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    block_of_K = tl.program_id(2)
    at_K = block_of_K * block_K + tl.arange(0, block_K)
    row_ptr = rows_ptr + r * 4
    start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
    token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
    first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
    total = tl.zeros((C, C,), tl.float32)  # [c, d]
    total2 = tl.zeros((C, block_K,), tl.float32)  # [c, K]
    d_write = tl.zeros((C, block_K,), tl.float32)  # [c, K]
    for block_of_V in tl.range(0, tl.cdiv(size_V, block_V), disable_licm=True):  # what is moved out of it would fill registers
        at_V = block_of_V * block_V + tl.arange(0, block_V)
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        total2 += lib.dot(d_y_c, tl.trans(saved_S), PRECISION)
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        total += lib.dot(d_y_c, tl.trans(v_c), PRECISION)
        stored_d_increment_S = tl.load(stored_d_increment_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        d_write += lib.dot(v_c, tl.trans(stored_d_increment_S), PRECISION)
    # spec line 15: read: scale * S.T @ q
    d_P = (size_K ** (-0.5)) * total  # [c, d]
    d_q_part = (size_K ** (-0.5)) * total2  # [c, K]
    mask = c[:, None] >= c[None, :]  # [c, d]
    mask2 = c < count  # [d]
    earlier = mask & mask2[None, :]  # [c, d]
    masked = tl.where(earlier, d_P, 0.0)  # [c, d]
    k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    d_q_part2 = lib.dot(masked, k_c, PRECISION)  # [c, K]
    d_q = d_q_part2 + d_q_part  # [c, K]
    tl.store(d_q_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_q, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
    q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
    product = lib.dot(tl.trans(masked), q_c, PRECISION)  # [d, K]
    valid = c < count  # [c]
    # spec line 14: S: S + outer(k, v)
    inside = tl.where(valid, 1.0, 0.0)  # [c]
    d_k_part = inside[:, None] * d_write  # [c, K]
    d_k = product + d_k_part  # [c, K]
    tl.store(d_k_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k, mask=(at_K[None, :] < size_K) & (c < count)[:, None])

forward = {
    "scratch": [],
    "copies": [],
    "kernels": [
        {"run": forward_0, "grid": 'loop', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 1, "tiles": ((3.0, 1.25), (3.0, 1.25)), "tensors": ('k', 'v', 'state.S', 'new.state.S', 'saved.S')},
        {"run": forward_1, "grid": 'rows', "blocked": ('V',), "folded": ('K',), "dims": ('K', 'V'),
         "products": 3, "tiles": ((4.0, 2.5), (4.0, 2.5)), "tensors": ('q', 'k', 'v', 'saved.S', 'y')},
    ],
    "shifted": [],
}

backward = {
    "scratch": [('stored.d_increment_S', 'starts', ('K', 'V'))],
    "copies": [],
    "kernels": [
        {"run": backward_0, "grid": 'loop', "blocked": ('K', 'V'), "folded": (), "dims": ('K', 'V'),
         "products": 1, "tiles": ((3.0, 1.25), (3.0, 1.25)), "tensors": ('q', 'd.y', 'd.new.state.S', 'd.state.S', 'stored.d_increment_S')},
        {"run": backward_1, "grid": 'rows', "blocked": ('V',), "folded": ('K',), "dims": ('K', 'V'),
         "products": 3, "tiles": ((4.0, 2.5), (4.0, 2.5)), "tensors": ('q', 'k', 'd.y', 'stored.d_increment_S', 'd.v')},
        {"run": backward_2, "grid": 'rows', "blocked": ('K',), "folded": ('V',), "dims": ('K', 'V'),
         "products": 5, "tiles": ((5.0, 3.0), (5.0, 3.0)), "tensors": ('q', 'k', 'v', 'saved.S', 'd.y', 'stored.d_increment_S', 'd.q', 'd.k')},
    ],
    "shifted": [],
}
