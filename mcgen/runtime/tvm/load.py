"""Object code to a function that takes integers: linked into memory, on torch's threads."""
from __future__ import annotations

import ctypes
from array import array
from functools import lru_cache
from pathlib import Path
from typing import Callable

from .link import CannotLink, Image, supported

BACKEND = {"__TVMBackendParallelLaunch": "mcgen_launch", "__TVMBackendAllocWorkspace": "mcgen_alloc", "__TVMBackendFreeWorkspace": "mcgen_free"}
INT = 1      # the tag of an integer argument


def load(kernel: bytes, launch: bytes) -> Callable[..., None]:
    """The function `main` of a kernel's object code, launched by the code of launch.ll: called as entry(threads, *integers)."""
    if not supported():
        raise CannotLink("only x86-64 Linux")
    image = Image([kernel, launch], _resolve)
    for name, ours in BACKEND.items():
        if name in image.symbols:
            ctypes.c_void_p.from_address(image.address(name)).value = image.address(ours)
    threads = ctypes.c_int.from_address(image.address("mcgen_threads"))
    main = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(image.address("__tvm_ffi_main"))

    result = (ctypes.c_int64 * 2)()                     # written by every call, read by none

    def entry(number_of_threads: int, *integers: int) -> None:
        count = len(integers)
        arguments = array("q", (INT, 0)) * count        # a tag and a value each
        arguments[1::2] = array("q", integers)
        threads.value = number_of_threads
        if main(None, arguments.buffer_info()[0], count, ctypes.addressof(result)):
            raise MemoryError("a kernel could not get its scratch memory")

    entry.image = image
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
