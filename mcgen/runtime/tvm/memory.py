"""Where an element lives: storages to buffers and index arithmetic."""
from __future__ import annotations

from dataclasses import dataclass, field

from .emit import Emitter, Value
from .expr import Access, Expr
from .statements import Storage, axes_of

SEQUENCE = 1 # the frame of one sequence's work, where scratch is allocated
DYNAMIC = {"n": "N", "l": "N", "m": "M"}      # axes whose length is known when the kernel is called
PAD = 8      # scratch rows are padded to whole vectors


def padded(extent: int) -> int:
    """The length of a scratch row: whole vectors, and not a multiple of 256 bytes, so that a column meets every cache set."""
    whole = (extent + PAD - 1) // PAD * PAD
    return whole + 16 if whole % 64 == 0 else whole


def is_step(axis: str) -> bool:
    """Whether an axis counts the steps inside a token."""
    return axis[0] == "#" and axis.rstrip("~").endswith(".")


@dataclass
class Place:
    """A storage in memory: its buffer, the offset of this sequence's part, and a stride per axis (leading n or c first)."""

    buffer: object
    base: object
    axes: tuple[str, ...]
    strides: tuple
    dtype: str
    scratch: bool


@dataclass
class Scope:
    """What names mean at a point of the kernel: scalars (i32 values), loop positions (indices), extents of axes, places."""

    em: Emitter
    sizes: dict[str, int]
    scalars: dict[str, Value] = field(default_factory=dict)
    loops: dict[str, object] = field(default_factory=dict)
    extents: dict[str, object] = field(default_factory=dict)      # those of `lower.EXTENTS` and b, h as indices
    places: dict[str, Place] = field(default_factory=dict)
    triangles: dict[str, str] = field(default_factory=dict)       # tiles written by a dot with lower: "lower" or "upper" as stored
    scratch: dict[tuple, object] = field(default_factory=dict)    # reused between statements
    uses: dict[str, int] = field(default_factory=dict)            # tile -> statements that use it
    beside: dict[int, object] = field(default_factory=dict)       # what statements ask of memory, by identity: see `ahead`
    options: object = None
    table: object = None

    def integer(self, expr) -> Value:
        """An expression over integers of the row and the loops, computed here."""
        from .elementwise import Nest
        return Nest(self).value(expr)

    def extent(self, axis: str):
        """An int, or an index expression for a dynamic axis."""
        if axis in DYNAMIC:
            return self.extents[DYNAMIC[axis]]
        if "*" in axis:                  # a token and its steps, joined
            token, step = axis.split("*")
            return self.extent(token) * self.extent(step)
        if axis in ("c", "d", "mid"):
            return self.sizes["#chunk"]
        if axis[0] == "#":
            return int(axis[1:].rstrip("~'."))
        try:
            return self.sizes[axis.rstrip("~'.")]       # K~ is a second axis of length K
        except KeyError:
            raise ValueError(f"no size is given for axis {axis!r}: sizes name {sorted(self.sizes)}") from None

    def temporary(self, *dims: str | int, dtype: str = "f32") -> Expr:
        """New scratch over these axes (or lengths), indexed by them; allocated once per thread."""
        dims = tuple(f"#{d}" if isinstance(d, int) else d for d in dims)
        tile = Storage(f"tmp{len(self.places)}", "tile", dims, dtype, True)
        self.make_tile(tile)
        return tile[dims]

    def make_tile(self, tile: Storage) -> None:
        """Scratch for one thread: the last axis is padded, so that whole vectors stay inside."""
        strides, size = [], 1
        joint = len(tile.dims) > 1 and is_step(tile.dims[-1])      # the row is the last two axes, which lie as one
        for position, axis in enumerate(reversed(tile.dims)):
            strides.append(size)
            extent = self.extent(axis)
            if joint and position == 1:
                size = padded(size * extent)
                continue
            if position == 0 and not joint:
                extent = padded(extent) if isinstance(extent, int) else self.em.floordiv(extent + PAD, PAD) * PAD
            size = size * extent
        buffer = self.em.alloc(tile.name, size if tile.dims else PAD, tile.dtype, depth=SEQUENCE)
        self.places[tile.name] = Place(buffer, 0, tile.dims, tuple(reversed(strides)), tile.dtype, True)

    def place_param(self, param: Storage, buffer, b, h) -> None:
        """The part of a parameter that sequence (b, h) sees."""
        em, extents = self.em, self.extents
        strides, size = [], 1
        for axis in reversed(param.dims):
            strides.append(size)
            size *= self.extent(axis)
        strides.reverse()
        lead: tuple[str, ...] = ()
        if param.kind == "head":
            base = h * size
        elif param.kind == "memory":
            base = (b * extents["H"] + h) * size
        elif param.kind == "token":
            base = (b * (extents["apart"] + param.delay) * extents["H"] + h) * size
            lead, strides = ("c",), [extents["H"] * size, *strides]
        else:
            lead = axes_of(param)[:1] if param.kind != "starts" else ("r",)
            count = extents[DYNAMIC.get(lead[0], "R")]
            base = (b * extents["H"] + h) * count * size
            strides = [size, *strides]
        self.places[param.name] = Place(buffer, em.bind_index(base, name=param.name + "_at"), (*lead, *param.dims), tuple(strides),
                                        param.dtype, False)

    def base_of(self, access: Access, position) -> object:
        """The offset of an access before its axes count: this sequence's part, and the slot or row if one is fixed."""
        place = self.places[access.storage.name]
        return place.base if access.at is None else place.base + position * place.strides[0]

    def axis_strides(self, access: Access) -> list[tuple[str, object]]:
        """(axis name in the access, stride) for each indexed axis."""
        place = self.places[access.storage.name]
        strides = place.strides if access.at is None else place.strides[1:]
        return list(zip(access.index, strides, strict=True))
