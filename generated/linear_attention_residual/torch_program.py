"""linear_attention_residual in torch.

Written by mcgen: build it again instead of changing it. Whole tensors over the rows of the chunk table, any device.
Axes in the comments: z sequence and head, r chunk-table row, c and d tokens of a row, n cached memory, then the dims.

    S = S + outer(k, v)
    read = scale * S.T @ q
    weight = 1
    mix = reads
    segments of 256 tokens, carry
"""
import torch
import torch.nn.functional as F

from mcgen.runtime import torch_ops as ops

def forward(q, k, v, state_S, cache_S, table, *, chunk: int, save: bool = False):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = cache_S.shape[2]
    rows = ops.Rows(table, q, 256, chunk)
    z, R = rows.z, rows.rows
    state_S_z = ops.flat(state_S)  # [z, K, V]
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]
    at_c = ops.iota(table, chunk)  # [z, c]
    valid = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    # spec line 14: S: S + outer(k, v)
    inside = ops.where(valid, 1.0, 0.0, like)  # [z, r, c]
    write = k_c * inside[:, :, :, None]  # [z, r, c, K]
    increment_S = torch.einsum("zrcV,zrcK->zrVK", v_c, write)  # [z, r, V, K]
    old_S = state_S_z
    old_S_starts = [None] * R
    end_S_rows = [None] * R
    for r in range(R):  # carry_S
        old_S_starts[r] = old_S
        next_S = old_S + increment_S[:, r].permute(0, 2, 1)  # [z, K, V]
        end_S_rows[r] = next_S
        old_S = next_S
    old_S_starts = ops.stacked(old_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    end_S_rows = ops.stacked(end_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]
    # spec line 15: read: scale * S.T @ q
    carried = torch.einsum("zrKV,zrcK->zrcV", old_S_starts, q_c)  # [z, r, c, V]
    at_d = ops.iota(table, chunk)  # [z, d]
    mask = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]
    mask2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]
    earlier = mask[:, None] & mask2[:, :, None]  # [z, r, c, d]
    product = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]
    P = torch.where(earlier, product, 0.0)  # [z, r, c, d]
    recent = torch.einsum("zrcd,zrdV->zrcV", P, v_c)  # [z, r, c, V]
    online = carried + recent  # [z, r, c, V]
    cache_S_z = ops.flat(cache_S)  # [z, n, K, V]
    # spec line 18: weight: 1
    total = cache_S_z.sum(1)  # [z, K, V]
    added = rows.offset + rows.count  # [z, r]
    mask3 = added == 256.0  # [z, r]
    mask4 = rows.count > 0.0  # [z, r]
    completes = mask3 & mask4  # [z, r]
    old_sum_S = total
    old_sum_S_starts = [None] * R
    for r in range(R):  # carry_sum_S
        old_sum_S_starts[r] = old_sum_S
        masked = torch.where(completes[:, r][:, None, None], end_S_rows[:, r], 0.0)  # [z, K, V]
        added2 = old_sum_S + masked  # [z, K, V]
        old_sum_S = added2
    old_sum_S_starts = ops.stacked(old_sum_S_starts, (z, size_K, size_V, ), like)  # [z, r, K, V]
    read_S = torch.einsum("zrcK,zrKV->zrcV", q_c, old_sum_S_starts)  # [z, r, c, V]
    added3 = online + read_S  # [z, r, c, V]
    # spec line 15: read: scale * S.T @ q
    y = added3 * (size_K ** -0.5)  # [z, r, c, V]
    cached_S = rows.collect(end_S_rows, cache_S_z)  # [z, n, K, V]
    results = (ops.from_tokens(rows.store([(y, 0)], T, 0), H), ops.unflat(old_S, H), ops.unflat(cached_S, H),)
    return results + (ops.unflat(old_S_starts, H), ops.unflat(old_sum_S_starts, H),) if save else results

def backward(q, k, v, state_S, cache_S, table, saved_S, saved_sum_S, d_y, d_new_state_S, d_new_cache_S, *, chunk: int):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = cache_S.shape[2]
    rows = ops.Rows(table, q, 256, chunk)
    z, R = rows.z, rows.rows
    k_c = rows.load(ops.tokens(k))  # [z, r, c, K]
    at_c = ops.iota(table, chunk)  # [z, c]
    at_d = ops.iota(table, chunk)  # [z, d]
    # spec line 15: read: scale * S.T @ q
    mask = at_c[None, :, None] >= at_d[None, None]  # [z, c, d]
    mask2 = at_d[None, None] < rows.count[:, :, None]  # [z, r, d]
    earlier = mask[:, None] & mask2[:, :, None]  # [z, r, c, d]
    v_c = rows.load(ops.tokens(v))  # [z, r, c, V]
    d_y_c = rows.load(ops.tokens(d_y), zero=True)  # [z, r, c, V]
    product = torch.einsum("zrdV,zrcV->zrcd", v_c, d_y_c)  # [z, r, c, d]
    d_P = (size_K ** -0.5) * product  # [z, r, c, d]
    masked = torch.where(earlier, d_P, 0.0)  # [z, r, c, d]
    d_q_part = torch.einsum("zrdK,zrcd->zrcK", k_c, masked)  # [z, r, c, K]
    saved_sum_S_z = ops.flat(saved_sum_S)  # [z, r, K, V]
    # spec line 18: weight: 1
    product2 = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_sum_S_z)  # [z, r, c, K]
    d_q_part2 = (size_K ** -0.5) * product2  # [z, r, c, K]
    # spec line 15: read: scale * S.T @ q
    d_q_part3 = d_q_part + d_q_part2  # [z, r, c, K]
    saved_S_z = ops.flat(saved_S)  # [z, r, K, V]
    product3 = torch.einsum("zrcV,zrKV->zrcK", d_y_c, saved_S_z)  # [z, r, c, K]
    d_q_part4 = (size_K ** -0.5) * product3  # [z, r, c, K]
    d_q = d_q_part3 + d_q_part4  # [z, r, c, K]
    q_c = rows.load(ops.tokens(q))  # [z, r, c, K]
    product4 = torch.einsum("zrcK,zrcd->zrdK", q_c, masked)  # [z, r, d, K]
    valid = at_c[None, None] < rows.count[:, :, None]  # [z, r, c]
    # spec line 14: S: S + outer(k, v)
    inside = ops.where(valid, 1.0, 0.0, like)  # [z, r, c]
    d_new_state_S_z = ops.flat(d_new_state_S)  # [z, K, V]
    d_new_cache_S_z = ops.flat(d_new_cache_S)  # [z, n, K, V]
    # spec line 15: read: scale * S.T @ q
    at_end = rows.expose(d_new_cache_S_z)  # [z, r, K, V]
    # spec line 18: weight: 1
    product5 = torch.einsum("zrcK,zrcV->zrKV", q_c, d_y_c)  # [z, r, K, V]
    scaled = (size_K ** -0.5) * product5  # [z, r, K, V]
    added = rows.offset + rows.count  # [z, r]
    mask3 = added == 256.0  # [z, r]
    mask4 = rows.count > 0.0  # [z, r]
    completes = mask3 & mask4  # [z, r]
    d_old_sum_S = like.new_full((z, size_K, size_V,), 0.0)
    d_old_sum_S_starts = [None] * R
    d_end_sum_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_sum_S_backward
        d_old_sum_S_starts[r] = d_old_sum_S
        added2 = d_old_sum_S + scaled[:, r]  # [z, K, V]
        d_end_sum_S = torch.where(completes[:, r][:, None, None], d_old_sum_S, 0.0)  # [z, K, V]
        d_end_sum_S_rows[r] = d_end_sum_S
        d_old_sum_S = added2
    d_end_sum_S_rows = ops.stacked(d_end_sum_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    added3 = at_end + d_end_sum_S_rows  # [z, r, K, V]
    d_old_S = d_new_state_S_z
    d_old_S_starts = [None] * R
    d_write_S_rows = [None] * R
    for r in reversed(range(R)):  # carry_S_backward
        d_old_S_starts[r] = d_old_S
        # spec line 15: read: scale * S.T @ q
        d_next_S = d_old_S + added3[:, r]  # [z, K, V]
        # spec line 14: S: S + outer(k, v)
        added4 = d_next_S + scaled[:, r]  # [z, K, V]
        d_write_S_rows[r] = d_next_S
        d_old_S = added4
    d_write_S_rows = ops.stacked(d_write_S_rows, (z, size_K, size_V, ), like)  # [z, r, K, V]
    d_write = torch.einsum("zrcV,zrKV->zrcK", v_c, d_write_S_rows)  # [z, r, c, K]
    d_k_part = inside[:, :, :, None] * d_write  # [z, r, c, K]
    d_k = product4 + d_k_part  # [z, r, c, K]
    # spec line 15: read: scale * S.T @ q
    product6 = torch.einsum("zrcK,zrdK->zrcd", q_c, k_c)  # [z, r, c, d]
    P = torch.where(earlier, product6, 0.0)  # [z, r, c, d]
    product7 = torch.einsum("zrcd,zrcV->zrdV", P, d_y_c)  # [z, r, d, V]
    scaled2 = (size_K ** -0.5) * product7  # [z, r, d, V]
    # spec line 14: S: S + outer(k, v)
    product8 = torch.einsum("zrcK,zrKV->zrcV", k_c, d_write_S_rows)  # [z, r, c, V]
    d_v_part = inside[:, :, :, None] * product8  # [z, r, c, V]
    d_v = scaled2 + d_v_part  # [z, r, c, V]
    # spec line 15: read: scale * S.T @ q
    d_cache_S_part = rows.keep(d_new_cache_S_z)  # [z, n, K, V]
    # spec line 18: weight: 1
    d_cache_S = d_cache_S_part + d_old_sum_S[:, None]  # [z, n, K, V]
    return (ops.from_tokens(rows.store([(d_q, 0)], T, 0), H), ops.from_tokens(rows.store([(d_k, 0)], T, 0), H), ops.from_tokens(rows.store([(d_v, 0)], T, 0), H), ops.unflat(d_old_S, H), ops.unflat(d_cache_S, H),)

def _weights(q, k, v, state_S, cache_S, table, *, chunk: int):
    like = q
    B, T, H = table.shape[0], q.shape[1], q.shape[2]
    size_K = q.shape[3]
    size_V = v.shape[3]
    N = cache_S.shape[2]
    rows = ops.Rows(table, q, 256, chunk)
    z, R = rows.z, rows.rows
    at_n = ops.iota(table, N)  # [z, n]
    # spec line 18: weight: 1
    past = at_n[None, None] < rows.segment[:, :, None]  # [z, r, n]
    weight_cached = ops.where(past, 1.0, 0.0, like)  # [z, r, n]
    return (ops.from_tokens(rows.store([(like.new_full((z, R, chunk,), 1.0), 0)], T, 0), H), ops.from_tokens(rows.store([(weight_cached[:, :, None].expand(z, R, chunk, N), 0)], T, 0), H), ops.from_tokens(rows.store([(weight_cached[:, :, None].expand(z, R, chunk, N), 0)], T, 0), H),)

def weights(*params, chunk):
    """The weight of every memory [B, T, H, 1 + N], the online one first, and which take part."""
    online, cached, taking = _weights(*params, chunk=chunk)
    return torch.cat([online[..., None], cached], -1), torch.cat([torch.ones_like(online[..., None], dtype=torch.bool), taking > 0], -1)
