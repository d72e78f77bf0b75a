"""Written by hand, token by token over the table's rows: what a generated program promises, in plain torch.

    S: exp(g) * S + outer(k, v + 0.5 * delay(v, 1))      read: S.T @ q
    summary: mean(k)   score: dot(u, summary)   weight: softmax(score)   mix: reads
"""
import torch

LENGTH = 4


def _tokens(table, chunk):
    """(row, index [B], valid [B], tokens of the segment up to and with this one [B], segment [B]) of every place in the table."""
    for r in range(table.shape[1]):
        start, count, segment, offset = table[:, r].long().unbind(-1)
        for i in range(chunk):
            yield r, i, start + i, i < count, offset + i + 1, segment


def _at(x, index):
    """x [B, T, H, ...] at a token index per row -> [B, H, ...]."""
    return x[torch.arange(x.shape[0], device=x.device), index.clamp(max=x.shape[1] - 1)]


def _put(x, index, valid, value):
    """x with `value` [B, H, ...] added at a token index per row."""
    hot = (torch.arange(x.shape[1], device=x.device) == index[:, None]) & valid[:, None]
    return x + hot.to(x.dtype).reshape(*hot.shape, *(1,) * (x.ndim - 2)) * value[:, None]


def _over(flag, x):
    """flag [B] or [B, N], shaped to multiply x [B, H, ...] or [B, H, N, ...]."""
    flag = flag.to(x.dtype)
    return flag.reshape(flag.shape[0], 1, *flag.shape[1:], *(1,) * (x.ndim - 1 - flag.ndim))


def _weights(u, mean, summary, segment):
    """Softmax over the online memory and the cached ones before `segment`: [B, H, 1+N]."""
    slots = torch.arange(summary.shape[2], device=u.device)
    cached = torch.einsum("bhk,bhnk->bhn", u, summary).masked_fill((slots >= segment[:, None])[:, None], -torch.inf)
    return torch.softmax(torch.cat([(u * mean).sum(-1, keepdim=True), cached], -1), -1)


def forward(q, k, v, g, u, state_S, cache_S, summary, partial, position, table, chunk, save=False):
    S, cache, means, part = state_S, cache_S, summary, partial
    y = torch.zeros_like(v[:, 1:])
    saved_S, saved_partial = [], []
    for r, i, t, valid, n, segment in _tokens(table, chunk):
        if i == 0:
            saved_S.append(S)
            saved_partial.append(part)
        m, qt, kt, vt = valid, _at(q, t), _at(k, t), _at(v, t + 1) + 0.5 * _at(v, t)
        S = torch.where(_over(m, S) > 0, _at(g, t).exp()[..., None, None] * S + kt[..., :, None] * vt[..., None, :], S)
        part = part + _over(m, kt) * kt
        mean = part / _over(n.clamp(min=1), part)
        w = _weights(_at(u, t), mean, means, segment)
        yt = w[..., :1] * torch.einsum("bhk,bhkv->bhv", qt, S) + torch.einsum("bhn,bhk,bhnkv->bhv", w[..., 1:], qt, cache)
        y = _put(y, t, m, yt)
        end = m & (n == LENGTH)
        hot = end[:, None] & (torch.arange(cache.shape[2], device=q.device) == segment[:, None])
        cache = torch.where(_over(hot, cache) > 0, S[:, :, None], cache)
        means = torch.where(_over(hot, means) > 0, mean[:, :, None], means)
        part = torch.where(_over(end, part) > 0, torch.zeros_like(part), part)
    results = (y, S, cache, means, part)
    return (*results, torch.stack(saved_S, 2), torch.stack(saved_partial, 2)) if save else results


def backward(q, k, v, g, u, state_S, cache_S, summary, partial, position, table, new_cache_S, new_summary, saved_S, saved_partial,
             d_y, d_new_state_S, d_new_cache_S, d_new_summary, d_new_partial, chunk):
    dq, dk, dv, dg, du = (torch.zeros_like(x) for x in (q, k, v, g, u))
    dS, dcache, dmeans, dpart = d_new_state_S, d_new_cache_S, d_new_summary, d_new_partial
    places = list(_tokens(table, chunk))
    cache, means = new_cache_S, new_summary
    for row in reversed(range(table.shape[1])):
        S, part, steps = saved_S[:, :, row], saved_partial[:, :, row], []
        for r, i, t, m, n, segment in places[row * chunk:(row + 1) * chunk]:              # forward again, inside the chunk
            before = S
            kt, vt = _at(k, t), _at(v, t + 1) + 0.5 * _at(v, t)
            S = torch.where(_over(m, S) > 0, _at(g, t).exp()[..., None, None] * S + kt[..., :, None] * vt[..., None, :], S)
            part = part + _over(m, kt) * kt
            steps.append((t, m, n, segment, before, S, part, kt, vt))
            part = torch.where(_over(m & (n == LENGTH), part) > 0, torch.zeros_like(part), part)
        for t, m, n, segment, before, S, part, kt, vt in reversed(steps):
            end = m & (n == LENGTH)
            slots = torch.arange(cache.shape[2], device=q.device)
            hot = end[:, None] & (slots == segment[:, None])
            length = _over(n.clamp(min=1), part)
            dS = dS + (_over(hot, dcache) * dcache).sum(2)
            dmean = (_over(hot, dmeans) * dmeans).sum(2)
            dcache, dmeans = dcache * (1 - _over(hot, dcache)), dmeans * (1 - _over(hot, dmeans))
            dpart = dpart * (1 - _over(end, dpart))
            qt, ut, dy = _at(q, t), _at(u, t), _at(d_y, t) * _over(m, _at(d_y, t))
            seen = (slots < segment[:, None])[:, None]
            w = _weights(ut, part / length, means, segment)
            reads = torch.cat([torch.einsum("bhk,bhkv->bhv", qt, S)[:, :, None], torch.einsum("bhk,bhnkv->bhnv", qt, cache)], 2)
            dw = torch.einsum("bhv,bhnv->bhn", dy, reads)
            ds = w * (dw - (w * dw).sum(-1, keepdim=True))
            dq = _put(dq, t, m, w[..., :1] * torch.einsum("bhkv,bhv->bhk", S, dy) + torch.einsum("bhn,bhnkv,bhv->bhk", w[..., 1:], cache, dy))
            dS = dS + w[..., 0, None, None] * qt[..., :, None] * dy[..., None, :]
            dcache = dcache + (w[..., 1:] * seen)[..., None, None] * (qt[..., :, None] * dy[..., None, :])[:, :, None]
            du = _put(du, t, m, ds[..., :1] * part / length + torch.einsum("bhn,bhnk->bhk", ds[..., 1:] * seen, means))
            dmeans = dmeans + (ds[..., 1:] * seen)[..., None] * ut[:, :, None]
            dpart = dpart + (dmean + ds[..., :1] * ut) / length
            valid = _over(m, dS)
            decay = _at(g, t).exp()
            dvt = torch.einsum("bhk,bhkv->bhv", kt, dS)
            dk = _put(dk, t, m, dpart + torch.einsum("bhkv,bhv->bhk", dS, vt))
            dv = _put(_put(dv, t + 1, m, dvt), t, m, 0.5 * dvt)
            dg = _put(dg, t, m, decay * (before * dS).sum((-1, -2)))
            dS = torch.where(valid > 0, decay[..., None, None] * dS, dS)
    return dq, dk, dv, dg, du, dS, dcache, dmeans, dpart


def weights(q, k, v, g, u, state_S, cache_S, summary, partial, position, table, chunk):
    _, _, cache, means, _ = forward(q, k, v, g, u, state_S, cache_S, summary, partial, position, table, chunk)
    part, slots = partial, torch.arange(cache.shape[2], device=q.device)
    w = q.new_zeros((*q.shape[:3], 1 + cache.shape[2]))
    selected = torch.zeros_like(w)
    for r, i, t, m, n, segment in _tokens(table, chunk):
        part = part + _over(m, _at(k, t)) * _at(k, t)
        wt = _weights(_at(u, t), part / _over(n.clamp(min=1), part), means, segment)
        w = _put(w, t, m, wt)
        seen = torch.cat([m[:, None], slots < segment[:, None]], 1)[:, None].expand(wt.shape)
        selected = _put(selected, t, m, seen.to(w.dtype))
        part = torch.where(_over(m & (n == LENGTH), part) > 0, torch.zeros_like(part), part)
    return w, selected > 0
