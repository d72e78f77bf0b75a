"""linear_attention on GPUs: one pass over the rows, where one can.

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
def fused_forward_0(q_ptr, k_ptr, v_ptr, state_S_ptr, y_ptr, new_state_S_ptr, saved_S_ptr, table_ptr, T, H, R, N,
                    C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other: y, new.state.S, saved.S."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    block_of_V = tl.program_id(1)
    at_K = tl.arange(0, block_K)
    at_V = block_of_V * block_V + tl.arange(0, block_V)
    # spec line 15: read: scale * S.T @ q
    mask = c[:, None] >= c[None, :]  # [c, d]
    state_S = tl.load(state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    S = state_S  # [K, V]
    for r in range(0, R):
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        tl.store(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))
        valid = c < count  # [c]
        mask2 = c < count  # [d]
        earlier = mask & mask2[None, :]  # [c, d]
        # spec line 14: S: S + outer(k, v)
        inside = tl.where(valid, 1.0, 0.0)  # [c]
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        write = k_c * inside[:, None]  # [c, K]
        increment_S = lib.dot(tl.trans(write), v_c, PRECISION)  # [K, V]
        next_S = S + increment_S  # [K, V]
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        # spec line 15: read: scale * S.T @ q
        product = lib.dot(q_c, tl.trans(k_c), PRECISION)  # [c, d]
        P = tl.where(earlier, product, 0.0)  # [c, d]
        recent = lib.dot(P, v_c, PRECISION)  # [c, V]
        carried = lib.dot(q_c, S, PRECISION)  # [c, V]
        online = recent + carried  # [c, V]
        y = (size_K ** (-0.5)) * online  # [c, V]
        tl.store(y_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], y, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
        S = next_S
    tl.store(new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

@triton.jit(do_not_specialize=["T", "H", "R", "N"])
def fused_backward_0(q_ptr, k_ptr, v_ptr, saved_S_ptr, d_y_ptr, d_new_state_S_ptr, d_q_ptr, d_k_ptr, d_v_ptr, d_state_S_ptr, table_ptr, T, H, R, N,
                     C: tl.constexpr, SLOTS: tl.constexpr, PRECISION: tl.constexpr, EXACT: tl.constexpr, PACKED: tl.constexpr, size_K: tl.constexpr, size_V: tl.constexpr, block_K: tl.constexpr, block_V: tl.constexpr):
    """The rows one after the other, from the last to the first: d.q, d.k, d.v, d.state.S."""
    z = tl.program_id(0).to(tl.int64)
    b, h = z // H, z % H
    rows_ptr = table_ptr + b * R * 4
    c = tl.arange(0, C)
    at_K = tl.arange(0, block_K)
    at_V = tl.arange(0, block_V)
    # spec line 15: read: scale * S.T @ q
    mask = c[:, None] >= c[None, :]  # [c, d]
    d_new_state_S = tl.load(d_new_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
    d_old_S = d_new_state_S  # [K, V]
    for i in range(0, R):
        r = R - 1 - i
        row_ptr = rows_ptr + r * 4
        start, count = tl.load(row_ptr), tl.load(row_ptr + 1)
        token = tl.minimum(c, tl.maximum(count - 1, 0))  # past the row's end its last token again
        first = tl.where(count > 0, start, tl.maximum(start - 1, 0))  # of a row without tokens the last one before
        mask2 = c < count  # [d]
        earlier = mask & mask2[None, :]  # [c, d]
        d_y_c = lib.tokens(tl.load(d_y_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V) & (c < count)[:, None], other=0.0), count, PACKED)  # [c, V]
        v_c = lib.tokens(tl.load(v_ptr + ((b * T + first) * H + h) * (size_V) + token[:, None] * (H * size_V) + at_V[None, :], mask=(at_V[None, :] < size_V), other=0.0), count, PACKED)  # [c, V]
        product = lib.dot(d_y_c, tl.trans(v_c), PRECISION)  # [c, d]
        d_P = (size_K ** (-0.5)) * product  # [c, d]
        masked = tl.where(earlier, d_P, 0.0)  # [c, d]
        saved_S = tl.load(saved_S_ptr + (z * R + r) * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V), other=0.0).to(tl.float32)  # [K, V]
        product2 = lib.dot(d_y_c, tl.trans(saved_S), PRECISION)  # [c, K]
        d_q_part = (size_K ** (-0.5)) * product2  # [c, K]
        k_c = lib.tokens(tl.load(k_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        d_q_part2 = lib.dot(masked, k_c, PRECISION)  # [c, K]
        d_q = d_q_part2 + d_q_part  # [c, K]
        tl.store(d_q_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_q, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        q_c = lib.tokens(tl.load(q_ptr + ((b * T + first) * H + h) * (size_K) + token[:, None] * (H * size_K) + at_K[None, :], mask=(at_K[None, :] < size_K), other=0.0), count, PACKED)  # [c, K]
        product3 = lib.dot(tl.trans(masked), q_c, PRECISION)  # [d, K]
        valid = c < count  # [c]
        # spec line 14: S: S + outer(k, v)
        d_write = lib.dot(v_c, tl.trans(d_old_S), PRECISION)  # [c, K]
        inside = tl.where(valid, 1.0, 0.0)  # [c]
        d_k_part = inside[:, None] * d_write  # [c, K]
        d_k = product3 + d_k_part  # [c, K]
        tl.store(d_k_ptr + ((b * T + start) * H + h) * (size_K) + c[:, None] * (H * size_K) + at_K[None, :], d_k, mask=(at_K[None, :] < size_K) & (c < count)[:, None])
        # spec line 15: read: scale * S.T @ q
        product4 = lib.dot(tl.trans(q_c), d_y_c, PRECISION)  # [K, V]
        product5 = lib.dot(q_c, tl.trans(k_c), PRECISION)  # [c, d]
        P = tl.where(earlier, product5, 0.0)  # [c, d]
        product6 = lib.dot(tl.trans(P), d_y_c, PRECISION)  # [d, V]
        scaled = (size_K ** (-0.5)) * product4  # [K, V]
        # spec line 14: S: S + outer(k, v)
        added = d_old_S + scaled  # [K, V]
        product7 = lib.dot(k_c, d_old_S, PRECISION)  # [c, V]
        d_v_part = inside[:, None] * product7  # [c, V]
        # spec line 15: read: scale * S.T @ q
        scaled2 = (size_K ** (-0.5)) * product6  # [d, V]
        # spec line 14: S: S + outer(k, v)
        d_v = scaled2 + d_v_part  # [c, V]
        tl.store(d_v_ptr + ((b * T + start) * H + h) * (size_V) + c[:, None] * (H * size_V) + at_V[None, :], d_v, mask=(at_V[None, :] < size_V) & (c < count)[:, None])
        d_old_S = added
    tl.store(d_state_S_ptr + z * (size_K * size_V) + at_K[:, None] * (size_V) + at_V[None, :], d_old_S, mask=(at_K[:, None] < size_K) & (at_V[None, :] < size_V))

forward = {
    "scratch": [],
    "copies": [],
    "kernels": [
        {"run": fused_forward_0, "grid": 'loop', "blocked": ('V',), "folded": (), "dims": ('K', 'V'),
         "products": 4, "tiles": ((4.0, 3.5), (7.0, 5.5)), "tensors": ('q', 'k', 'v', 'state.S', 'y', 'new.state.S', 'saved.S')},
    ],
    "shifted": [],
}

backward = {
    "scratch": [],
    "copies": [],
    "kernels": [
        {"run": fused_backward_0, "grid": 'loop', "blocked": (), "folded": (), "dims": ('K', 'V'),
         "products": 9, "tiles": ((7.0, 7.0), (16.0, 16.0)), "tensors": ('q', 'k', 'v', 'saved.S', 'd.y', 'd.new.state.S', 'd.q', 'd.k', 'd.v', 'd.state.S')},
    ],
    "shifted": [],
}
