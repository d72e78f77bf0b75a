"""Object code to a function that takes numbers: linked into memory, on torch's threads."""
from __future__ import annotations

import ctypes
from array import array
from functools import lru_cache
from pathlib import Path
from typing import Callable, Sequence

from .link import CannotLink, Image, supported

BACKEND = {"__TVMBackendParallelLaunch": "mcgen_launch", "__TVMBackendAllocWorkspace": "mcgen_alloc", "__TVMBackendFreeWorkspace": "mcgen_free"}
INT = 1      # the tag of an integer argument
Entry = Callable[[int, array], None]


def packed(integers: Sequence[int]) -> array:
    """Arguments of an entry: a tag and a number each. Number i stands at place 2*i + 1."""
    words = array("q", (INT, 0)) * len(integers)
    words[1::2] = array("q", integers)
    return words


def load(*objects: bytes) -> Entry:
    """The function `main` of a kernel's object code, launched by that of launch.ll, which is one of them: entry(threads, packed(integers))."""
    if not supported():
        raise CannotLink("only x86-64 Linux")
    image = Image(objects, _resolve)
    for name, ours in BACKEND.items():
        if name in image.symbols:
            ctypes.c_void_p.from_address(image.address(name)).value = image.address(ours)
    threads = ctypes.c_int.from_address(image.address("mcgen_threads"))
    main = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(image.address("__tvm_ffi_main"))

    result = (ctypes.c_int64 * 2)()                     # written by every call, read by none

    written = ctypes.addressof(result)

    def entry(number_of_threads: int, words: array) -> None:
        at, size = words.buffer_info()
        threads.value = number_of_threads
        if main(None, at, size // 2, written):
            raise MemoryError("a kernel could not get its scratch memory")

    entry.image, entry.result = image, result           # they live as long as the function
    return entry


@lru_cache(None)
def _libraries() -> list[ctypes.CDLL]:
    """Where a kernel's symbols live: torch's own OpenMP first."""
    import torch
    found = []
    for path in [*sorted((Path(torch.__file__).parent / "lib").glob("libgomp*")), "libgomp.so.1"]:
        try:
            found.append(ctypes.CDLL(str(path)))
            break
        except OSError:
            continue
    return [*found, ctypes.CDLL(None), ctypes.CDLL("libm.so.6")]


def _resolve(name: str) -> int | None:
    for library in _libraries():
        try:
            return ctypes.cast(getattr(library, name), ctypes.c_void_p).value
        except AttributeError:
            continue
    if name.startswith("TVMFFI"):       # called only to word an error; arguments are checked before
        return _resolve("abort")
    return None
