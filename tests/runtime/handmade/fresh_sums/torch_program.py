"""Written by hand: vector memories that every segment starts anew.

    S: a * S + x      P: P + x + z[:K] - z[K:]      read: S + P      weight: 1      init of P: 2 * a
"""
import torch

LENGTH = 3


def initial_states(inputs, sizes, *, dtype, device):
    return {"P": 2 * inputs["a"]}


def _at(x, index):
    return x[torch.arange(x.shape[0], device=x.device), index.clamp(max=x.shape[1] - 1)]


def _put(x, index, valid, value):
    hot = (torch.arange(x.shape[1], device=x.device) == index[:, None]) & valid[:, None]
    return x + hot.to(x.dtype)[:, :, None, None] * value[:, None]


def _tokens(table, chunk):
    for r in range(table.shape[1]):
        start, count, segment, offset = table[:, r].long().unbind(-1)
        for i in range(chunk):
            yield r, i, start + i, (i < count), offset + i, segment


def forward(x, a, z, init_S, init_P, state_S, state_P, cache_S, cache_P, position, table, chunk, save=False):
    S, P, K, saved = state_S, state_P, x.shape[-1], []
    y = torch.zeros_like(x)
    for r, i, t, valid, seen, segment in _tokens(table, chunk):
        m = valid[:, None, None]
        if i == 0:
            saved.append(S)
        zt = _at(z, t)
        S, P = torch.where(m, a * S + _at(x, t), S), torch.where(m, P + _at(x, t) + zt[..., :K] - zt[..., K:], P)
        slots = torch.arange(cache_S.shape[2], device=x.device)
        past = (slots < segment[:, None])[:, None, :, None]
        y = _put(y, t, valid, S + P + torch.where(past, cache_S + cache_P, torch.zeros_like(cache_S)).sum(2))
        end = valid & (seen + 1 == LENGTH)
        hot = (end[:, None] & (slots == segment[:, None]))[:, None, :, None]
        cache_S, cache_P = torch.where(hot, S[:, :, None], cache_S), torch.where(hot, P[:, :, None], cache_P)
        S, P = torch.where(end[:, None, None], init_S, S), torch.where(end[:, None, None], init_P, P)
    results = (y, S, P, cache_S, cache_P)
    return (*results, torch.stack(saved, 2)) if save else results


def backward(x, a, z, init_S, init_P, state_S, state_P, cache_S, cache_P, position, table, saved_S,
             d_y, d_new_state_S, d_new_state_P, d_new_cache_S, d_new_cache_P, chunk):
    dx, dz = torch.zeros_like(x), torch.zeros_like(z)
    # gradients of what is per head are given per sequence, [B, H, ..]: the runtime sums them
    da, di, dj = (state.new_zeros((state.shape[0], *p.shape)) for state, p in ((state_S, a), (state_S, init_S), (state_P, init_P)))
    dS, dP, dcS, dcP = d_new_state_S, d_new_state_P, d_new_cache_S, d_new_cache_P
    places = list(_tokens(table, chunk))
    for row in reversed(range(table.shape[1])):
        S, steps = saved_S[:, :, row], []
        for r, i, t, valid, seen, segment in places[row * chunk:(row + 1) * chunk]:
            steps.append((t, valid, seen, segment, S))
            S = torch.where(valid[:, None, None], a * S + _at(x, t), S)
        for t, valid, seen, segment, before in reversed(steps):
            slots, m = torch.arange(cache_S.shape[2], device=x.device), valid[:, None, None].to(x.dtype)
            end = valid & (seen + 1 == LENGTH)
            hot, fresh = (end[:, None] & (slots == segment[:, None]))[:, None, :, None].to(x.dtype), end[:, None, None].to(x.dtype)
            past = (slots < segment[:, None])[:, None, :, None].to(x.dtype)
            di, dj = di + fresh * dS, dj + fresh * dP
            dS, dP = (1 - fresh) * dS + (hot * dcS).sum(2), (1 - fresh) * dP + (hot * dcP).sum(2)
            dy = m * _at(d_y, t)
            dcS, dcP = (1 - hot) * dcS + past * dy[:, :, None], (1 - hot) * dcP + past * dy[:, :, None]
            dS, dP = dS + dy, dP + dy
            dx, dz = _put(dx, t, valid, dS + dP), _put(dz, t, valid, torch.cat([dP, -dP], -1))
            da = da + m * before * dS
            dS = torch.where(m > 0, a * dS, dS)
    return dx, da, dz, di, dj, dS, dP, dcS, dcP
