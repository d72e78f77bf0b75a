"""Object code into memory: the part of a linker that a kernel needs, so that a cached one loads in milliseconds without a compiler.

x86-64 ELF on Linux. Sections are laid out in one mapping, code and constants first, then what is written to; symbols that no object
defines are looked up in the process (OpenMP, libm, libc) and reached through stubs, since they may lie further than 2 GB away.
"""
from __future__ import annotations

import ctypes
import mmap
import struct
import sys
from typing import Callable, Sequence

PAGE = 4096
R_64, R_PC32, R_PLT32, R_GOTPCREL, R_GOTPCRELX, R_REX_GOTPCRELX = 1, 2, 4, 9, 41, 42
ALLOC, WRITE = 2, 1
NOBITS = 8


class CannotLink(Exception):
    """This object, or this machine, is not one that `Image` can place."""


def supported() -> bool:
    import platform
    return sys.platform.startswith("linux") and platform.machine() == "x86_64" and sys.maxsize > 2 ** 32


class Image:
    """Linked objects in executable memory. `address(name)` of a symbol; it stays mapped as long as the image lives."""

    def __init__(self, objects: Sequence[bytes], resolve: Callable[[str], int | None]) -> None:
        parsed = [_Object(data) for data in objects]
        self.symbols: dict[str, int] = {}
        missing = sorted({name for o in parsed for name, section, _ in o.symbols if name and not section}
                         - {name for o in parsed for name, section, _ in o.symbols if section})
        names = sorted({name for o in parsed for name, _, _ in o.symbols if name})
        size = 0
        for writable in (False, True):
            size = (size + PAGE - 1) // PAGE * PAGE
            if writable:
                self.fixed = size
            for o in parsed:
                for section in o.sections:
                    if section.flags & ALLOC and bool(section.flags & WRITE) == writable:
                        size = (size + section.align - 1) // section.align * section.align
                        section.place, size = size, size + section.size
            if not writable:
                stubs = size = (size + 15) // 16 * 16
                table = stubs + 16 * len(missing)
                size = table + 8 * len(names)
        self.memory = mmap.mmap(-1, max(size, PAGE) + PAGE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        for o in parsed:
            for section in o.sections:
                if section.place is not None and section.kind != NOBITS:
                    self.memory[section.place:section.place + section.size] = section.data
            for name, section, value in o.symbols:
                if name and section and o.sections[section].place is not None:
                    self.symbols.setdefault(name, self.base + o.sections[section].place + value)
        for number, name in enumerate(missing):
            address = resolve(name)
            if address is None:
                raise CannotLink(f"no library of this process has {name}")
            stub = stubs + 16 * number
            self.memory[stub:stub + 14] = b"\xff\x25\0\0\0\0" + struct.pack("<Q", address)      # jmp *[rip]; address
            self.symbols[name] = self.base + stub
        entries = {}
        for number, name in enumerate(names):
            entries[name] = self.base + table + 8 * number
            self._write("<Q", table + 8 * number, self.symbols.get(name, 0))
        for o in parsed:
            for section in o.sections:
                if section.place is not None:
                    self._relocate(o, section, entries)
        self._protect()

    def address(self, name: str) -> int:
        return self.symbols[name]

    def _write(self, layout: str, offset: int, value: int) -> None:
        try:
            struct.pack_into(layout, self.memory, offset, value)
        except struct.error:
            raise CannotLink("an address does not fit its place") from None

    def _relocate(self, o: "_Object", section: "_Section", entries: dict[str, int]) -> None:
        for offset, kind, symbol, addend in section.relocations:
            name, home, value = o.symbols[symbol]
            here = self.base + section.place + offset
            if kind in (R_GOTPCREL, R_GOTPCRELX, R_REX_GOTPCRELX):
                self._write("<i", section.place + offset, entries[name] + addend - here)
                continue
            if home and o.sections[home].place is not None:
                target = self.base + o.sections[home].place + value
            elif name in self.symbols:
                target = self.symbols[name]
            else:
                continue                       # into a section that is not loaded
            if kind in (R_PC32, R_PLT32):
                self._write("<i", section.place + offset, target + addend - here)
            elif kind == R_64:
                self._write("<Q", section.place + offset, target + addend)
            else:
                raise CannotLink(f"relocation type {kind}")

    def _protect(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        start = self.base
        if libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(self.fixed), mmap.PROT_READ | mmap.PROT_EXEC):
            raise CannotLink(f"memory cannot be made executable (errno {ctypes.get_errno()})")


class _Section:
    def __init__(self, kind: int, flags: int, size: int, align: int, data: bytes) -> None:
        self.kind, self.flags, self.size, self.align, self.data = kind, flags, size, max(align, 1), data
        self.place: int | None = None
        self.relocations: list[tuple[int, int, int, int]] = []


class _Object:
    """A relocatable ELF file: sections, and symbols as (name, section or 0, value)."""

    def __init__(self, data: bytes) -> None:
        if data[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<HH", data, 16) != (1, 62):
            raise CannotLink("not an x86-64 ELF object")
        at, = struct.unpack_from("<Q", data, 40)
        width, count = struct.unpack_from("<HH", data, 58)
        headers = [struct.unpack_from("<IIQQQQIIQQ", data, at + i * width) for i in range(count)]
        self.sections = [_Section(kind, flags, size, align, b"" if kind == NOBITS else data[offset:offset + size])
                         for _, kind, flags, _, offset, size, _, _, align, _ in headers]
        self.symbols: list[tuple[str, int, int]] = []
        for _, kind, _, _, offset, size, link, _, _, _ in headers:
            if kind == 2:
                strings = self.sections[link].data
                for i in range(0, size, 24):
                    name, info, _, home, value, _ = struct.unpack_from("<IBBHQQ", data, offset + i)
                    text = strings[name:strings.index(b"\0", name)].decode() if info & 15 not in (3, 4) else ""
                    if home >= 0xFF00 and home != 0xFFF1:
                        raise CannotLink(f"symbol {text} in a special section")
                    self.symbols.append((text if home != 0xFFF1 else "", home if home < 0xFF00 else 0, value))
        for _, kind, _, _, offset, size, _, info, _, _ in headers:
            if kind == 4 and self.sections[info].flags & ALLOC:
                for i in range(0, size, 24):
                    place, what, addend = struct.unpack_from("<QQq", data, offset + i)
                    self.sections[info].relocations.append((place, what & 0xFFFFFFFF, what >> 32, addend))
