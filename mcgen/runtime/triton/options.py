"""Launch options of Triton kernels: what can be chosen, and what is taken where nothing was tuned.

An option never changes what a kernel computes beyond rounding: of float32, but for `precision`, of the precision named.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence

from mcgen.diagnostics import UsageError

FUSED = "fused_"                  # how the names of kernels begin whose loops over rows compute what grids over rows do in the split form
FORMS = (0, 1)                    # the option `fused`: the split form, which many programs share, or the fused one, which moves less
WARPS = (1, 2, 4, 8)
STAGES = (1, 2, 3, 4)
BLOCKS = (16, 32, 64, 128)
PRECISIONS = {"cuda": ("ieee", "tf32x3", "tf32x3-serial", "tf32", "bf16"), "hip": ("ieee", "bf16"), "interpreter": ("ieee",)}
# for inputs of 16 bits, whose products need no more than TF32's accuracy (bfloat16's own for bfloat16)
COARSE = {("cuda", "bfloat16"): ("tf32", "bf16"), ("cuda", "float16"): ("tf32",), ("hip", "bfloat16"): ("bf16",)}

EXACT = {"cuda": "tf32x3", "hip": "ieee", "interpreter": "ieee"}       # nearest to float32; 'ieee' itself spills everything on CUDA

SERIAL = {"tf32x3": "tf32x3-serial"}                                  # the same in a loop: slower, in fewer registers
HOPPER = "sm_90"                  # its warpgroups multiply what lies in shared memory: three products at once where there are registers for them
BLACKWELL = ("sm_100", "sm_103")  # sums lie in tensor memory: all at once; Triton 3.9 fails to compile the loop
FEW = 3                           # products of a kernel whose operands, tiles with sides of 64, fit in registers all at once
HELD = 5.95                       # tiles with sides of 64 that registers hold at once, nothing spilled, by the estimate of `mcgen.passes.arrange`
HELD_LONG = 4.4                   # so of a kernel that has a dim of more than 64 whole
HELD_LOOP = 10.5                  # and in loops, where what they carry lies anyway
BESIDE = 3.2                      # the same beside the operands of a few products, all parts at once
BESIDE_CUT = 4.6                  # of one or two products, where programs are cut along a dim
TILE = 4096                       # numbers of a tile of a loop, at most


@dataclass(frozen=True)
class Options:
    """How one kernel runs. blocks: dim -> side of its tiles, for the dims along which the kernel is cut.

    precision of products: 'ieee' float32, 'tf32x3' nearly that in three products on tensor cores, 'tf32x3-serial' the same three in a
    loop, 'tf32', or 'bf16' operands. Sums are float32 always, and so are states, decays and their gradients.
    """

    num_warps: int = 4
    num_stages: int = 2
    precision: str = "ieee"
    blocks: Mapping[str, int] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """In a few words, for a table."""
        return ", ".join([f"{self.num_warps} warps", self.precision, *(f"{dim} {side}" for dim, side in self.blocks.items())])


def power(size: int) -> int:
    """The smallest power of two that holds `size`, at least 16: the shortest side of a product.

    >>> power(3), power(64), power(65)
    (16, 64, 128)
    """
    return max(16, 1 << (size - 1).bit_length())


def knobs(kernel: Mapping[str, Any], sizes: Mapping[str, int], backend: str = "cuda") -> dict[str, Sequence]:
    """Every option of a kernel with its choices, as `block_<dim>`, `num_warps`, `num_stages`, `precision`.

    backend: 'cuda', 'hip' or 'interpreter'. A precision other than the default changes results beyond float32 rounding.
    """
    found: dict[str, Sequence] = {f"block_{dim}": [x for x in BLOCKS if x <= power(sizes[dim])] or [power(sizes[dim])]
                                  for dim in cut_dims(kernel)}
    return {**found, "num_warps": WARPS, "num_stages": STAGES, "precision": PRECISIONS[backend]}


def pass_of(kernel: str) -> str:
    """'forward' or 'backward': the pass that a kernel is of, by its name.

    >>> pass_of("backward_2"), pass_of("fused_forward_0")
    ('backward', 'forward')
    """
    return kernel.removeprefix(FUSED).partition("_")[0]


def is_fused(options: Mapping[str, Any], which: str) -> bool:
    """Whether a schedule's options choose the fused form of a pass: `fused` for both, `forward.fused` over it for one.

    >>> is_fused({"fused": 1}, "backward"), is_fused({"fused": 1, "backward.fused": 0}, "backward"), is_fused({}, "forward")
    (True, False, False)
    """
    return int(options.get(f"{which}.fused", options.get("fused", 0))) == 1


def runs(kernel: str, options: Mapping[str, Any]) -> bool:
    """Whether the kernel of this name is of the form that a schedule's options choose.

    >>> runs("fused_forward_0", {"forward.fused": 1}), runs("forward_0", {"forward.fused": 1}), runs("backward_0", {"forward.fused": 1})
    (True, False, True)
    """
    return kernel.startswith(FUSED) == is_fused(options, pass_of(kernel))


def ways(backend: str, arch: str = HOPPER) -> tuple[str, ...]:
    """Precisions of products nearest to float32 that kernels for a GPU take, the faster first. Where operands lie in registers, as they do
    on GPUs before Hopper, three products at once leave none for anything else.

    >>> ways("cuda"), ways("cuda", "sm_80"), ways("hip", "gfx942")
    (('tf32x3', 'tf32x3-serial'), ('tf32x3-serial',), ('ieee',))
    """
    usual = EXACT[backend]
    if usual not in SERIAL or arch in BLACKWELL:
        return (usual,)
    return (usual, SERIAL[usual]) if arch == HOPPER else (SERIAL[usual],)


def precisions(backend: str, dtype: str, arch: str = HOPPER) -> tuple[str, ...]:
    """What a tuner may choose from for inputs of a dtype: for float32 what is as exact as float32, and fits in registers.

    >>> precisions("cuda", "float32"), precisions("cuda", "bfloat16")
    (('tf32x3', 'tf32x3-serial'), ('tf32x3', 'tf32x3-serial', 'tf32', 'bf16'))
    """
    return (*ways(backend, arch), *COARSE.get((backend, dtype), ()))


def exact(precision: str, backend: str, arch: str = HOPPER) -> str:
    """The precision of products that must be as accurate as float32's, in a kernel with this one for the others.

    >>> exact("tf32", "cuda"), exact("tf32x3-serial", "cuda"), exact("bf16", "hip")
    ('tf32x3', 'tf32x3-serial', 'ieee')
    """
    return precision if precision in SERIAL.values() else ways(backend, arch)[0]


def default(kernel: Mapping[str, Any], sizes: Mapping[str, int], backend: str = "cuda", arch: str = HOPPER) -> Options:
    """What fits in registers without spilling at 64 tokens of a chunk, by the tiles that are alive at once: the longest tiles along the dims
    that can be cut, in a loop of fewer programs shorter ones; few products at once where their operands fit too, else in turns; 8 warps for
    tiles of 64, whose products take registers."""
    cut = cut_dims(kernel)
    whole = max([64, *(power(sizes[dim]) for dim in kernel["dims"] if dim not in cut)])
    known = ways(backend, arch)
    few = known[0] == EXACT[backend] and kernel["products"] * whole <= FEW * 64 and (
        kernel["grid"] != "loop" or kernel["products"] < 2)                          # a loop holds states beside
    most = HELD_LOOP if kernel["grid"] == "loop" else HELD if whole == 64 else HELD_LONG
    side = longest(kernel, whole, BESIDE_CUT if kernel["blocked"] and kernel["products"] < FEW else BESIDE) if few else 0
    at_once, side = side > 0, side or longest(kernel, whole, most) or BLOCKS[0]
    blocks = {dim: max(BLOCKS[0], min(side, power(sizes[dim]), TILE // whole if kernel["grid"] == "loop" else side)) for dim in cut}
    largest = max((power(sizes[dim]) if backend == "cuda" else blocks.get(dim, power(sizes[dim])) for dim in kernel["dims"]), default=64)
    return Options(num_warps=8 if largest > 64 or (backend == "cuda" and largest == 64) else 4,
                   precision=known[0] if at_once else known[-1], blocks=blocks)


def longest(kernel: Mapping[str, Any], whole: int, most: float) -> int:
    """The longest side of blocks with which no more than so many tiles are alive at once, where a chunk has 64 tokens and the longest dim
    that a program has whole so many entries; 0 if even the shortest for which that is known is too long."""
    usual, long = kernel["tiles"]
    fits = (tiles + (more - tiles) * (whole / 64 - 1) <= most for tiles, more in zip(usual, long))
    return next((side for side, fit in zip((64, 32), fits) if fit), 0)


def chosen(kernel: Mapping[str, Any], sizes: Mapping[str, int], record: Mapping[str, Any] | None, backend: str = "cuda",
           arch: str = HOPPER) -> Options:
    """The options that a record names, defaults for the rest. record: as `knobs` names them."""
    base, record = default(kernel, sizes, backend, arch), record or {}
    blocks = {dim: int(record.get(f"block_{dim}", side)) for dim, side in base.blocks.items()}
    return Options(int(record.get("num_warps", base.num_warps)), int(record.get("num_stages", base.num_stages)),
                   str(record.get("precision", base.precision)), blocks)


def check(kernel: Mapping[str, Any], sizes: Mapping[str, int], record: Mapping[str, Any], backend: str) -> None:
    """Raises UsageError for an option that the kernel does not have, or a choice that the option does not have."""
    choices = knobs(kernel, sizes, backend)
    for name, value in record.items():
        if name not in choices:
            raise UsageError(f"no option {name!r}", "option", f"one of {', '.join(choices)}")
        if value not in choices[name]:
            raise UsageError(f"{name} = {value!r}", "option", f"one of {', '.join(map(str, choices[name]))}")


def cut_dims(kernel: Mapping[str, Any]) -> list[str]:
    """The dims that a kernel has in blocks, in a program each or one after the other: their sides can be chosen."""
    return [plain(axis) for axis in (*kernel["blocked"], *kernel["folded"])]


def plain(axis: str) -> str:
    """The dim of an axis."""
    return axis.rstrip("~'.")
