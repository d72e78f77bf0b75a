"""The ways to write a peer in torch, by the peer's name in specs/bench.yaml."""
from __future__ import annotations

from functools import partial
from typing import Callable

import torch

from ..diagnostics import UsageError
from . import peers, peers_rank

NAMES = ("decayed", "decayed_cached", "diagonal", "rank_one", "rank_one_cached", "momentum")


def forms_of(peer: str, segment: int) -> dict[str, Callable[..., torch.Tensor]]:
    """Each takes the inputs by name, [B, T, H, *], and gives y [B, T, H, V]. Raises UsageError for another name."""
    if peer == "decayed":
        return {"at once": peers.decayed}
    if peer == "decayed_cached":
        return {form: partial(peers.decayed_cached, segment=segment, form=form) for form in peers.FORMS}
    if peer == "diagonal":
        return {f"{form}, {chunk}": partial(peers_rank.diagonal, form=form, chunk=chunk) for form in ("loop", "at once") for chunk in (32, 64)}
    loops = [(form, chunk) for form in ("loop", "transitions") for chunk in (32, 64)]
    if peer in ("rank_one", "momentum"):
        return {f"{form}, {chunk}": partial(getattr(peers_rank, peer), form=form, chunk=chunk) for form, chunk in loops}
    if peer == "rank_one_cached":
        return {f"{form}, {chunk}, {read}": partial(peers_rank.rank_one_cached, segment=segment, form=form, chunk=chunk, read=read)
                for form, chunk in loops for read in peers.FORMS}
    raise UsageError(f"no peer is called {peer!r}: expected one of {', '.join(NAMES)}, attention, package, package_layer or fla:NAME", "peer")
