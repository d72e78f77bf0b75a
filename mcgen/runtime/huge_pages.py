"""Large new buffers ask for huge pages: the first touch of fresh memory, one fault for every 4 KiB, otherwise takes up to a quarter of a call.

A hint of Linux only. Where the system gives huge pages always or never it changes nothing.
"""
from __future__ import annotations

import ctypes
import mmap
import sys

LARGE = 4 << 20         # bytes: below this a buffer holds a huge page of 2 MiB by chance only
_HUGE_PAGES = getattr(mmap, "MADV_HUGEPAGE", None)
_libc = ctypes.CDLL(None) if sys.platform == "linux" and _HUGE_PAGES is not None else None
if _libc is not None:
    _libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def ask_for_huge_pages(address: int, size: int) -> None:
    """For the pages that hold `size` bytes from `address` on, not written yet. A system that refuses is not asked again."""
    global _libc
    if _libc is None or size < LARGE:
        return
    begin = address & -mmap.PAGESIZE
    if _libc.madvise(begin, address + size - begin, _HUGE_PAGES):
        _libc = None
