"""Elementwise functions as vector arithmetic in float32 (LLVM would call libm lane by lane), and as libm in float64.

Polynomials were fitted to the relative error of the function: exp 2e-9 (near 0 9e-8), log 7e-10, tanh 4e-9, erf 1e-9, erfcx 3e-9 before rounding.
"""
from __future__ import annotations

from .emit import Emitter, Value

LN2_HIGH, LN2_LOW, LOG2_E = 0.693145751953125, 1.42860682030941723e-6, 1.44269504088896341
EXP = (0.999999802, 0.500005868, 0.16660979, 0.0419161378, 0.00779055736, 0.00194971263)        # (e^r - 1) / r on [0, ln 2]
EXP_NEAR = (0.999999707, 0.499991485, 0.166676374, 0.0418980675, 0.00829028911)                  # the same for |r| <= ln 2 / 2
LOG = (0.333333126, -0.250000096, 0.200021187, -0.166679958, 0.142195523, -0.124055891, 0.11888163, -0.116756512, 0.0674663827)
TANH = (-0.333332819, 0.133314422, -0.0537397148, 0.0206390866, -0.00570498633)                   # (tanh x - x) / x^3 in x^2, |x| < 0.625
ERF = (1.12837917, -0.376126258, 0.112835851, -0.0268538119, 0.00518832767, -0.000801019345, 7.85386077e-05)   # erf x / x in x^2, |x| < 1
ERFCX = (0.225678924, 0.225593171, 0.208553466, 0.165763199, 0.142621672, 0.0231177627, 0.0568289185, 0.0213126706,
         -0.153297779, 0.107177964, -0.0233499717)      # e^(t^2) erfc(t) / u in u = 1 / (1 + 0.4 t), t >= 0
SQRT_HALF = 0.707106781186547524


class Term:
    """A value with arithmetic; every result is bound in the frame at `depth`."""

    def __init__(self, em: Emitter, value: Value, depth: int) -> None:
        self.em, self.value, self.depth = em, value, depth

    def new(self, value: Value) -> "Term":
        return Term(self.em, self.em.bind(value, self.depth), self.depth)

    def const(self, number: float) -> "Term":
        return Term(self.em, self.em.const(number, self.value.dtype, self.value.lanes), self.depth)

    def _with(self, op: str, other, swap: bool = False) -> "Term":
        other = other if isinstance(other, Term) else self.const(other)
        a, b = (other, self) if swap else (self, other)
        return self.new(self.em.binary(op, a.value, b.value))

    def __add__(self, other): return self._with("add", other)
    def __radd__(self, other): return self._with("add", other, True)
    def __sub__(self, other): return self._with("sub", other)
    def __rsub__(self, other): return self._with("sub", other, True)
    def __mul__(self, other): return self._with("mul", other)
    def __rmul__(self, other): return self._with("mul", other, True)
    def __truediv__(self, other): return self._with("div", other)
    def __rtruediv__(self, other): return self._with("div", other, True)
    def __lt__(self, other): return self._with("lt", other)
    def __gt__(self, other): return self._with("gt", other)
    def __ge__(self, other): return self._with("ge", other)
    def differs(self, other): return self._with("ne", other)
    def is_(self, other): return self._with("eq", other)
    def __neg__(self): return 0.0 - self

    def where(self, yes, no) -> "Term":
        """This condition's choice."""
        like = yes if isinstance(yes, Term) else no
        yes, no = (x if isinstance(x, Term) else like.const(x) for x in (yes, no))
        return self.new(self.em.select(self.value, yes.value, no.value))

    def at_least(self, bound: float) -> "Term":
        """NaN stays: the machine's maximum gives its second operand then."""
        return self._with("imax", bound, True)

    def at_most(self, bound: float) -> "Term":
        return self._with("imin", bound, True)

    def fma(self, times, plus) -> "Term":
        times, plus = (x if isinstance(x, Term) else self.const(x) for x in (times, plus))
        return self.new(self.em.intrinsic("fma", self.value, times.value, plus.value))

    def poly(self, coefficients) -> "Term":
        total = self.const(coefficients[-1])
        for number in reversed(coefficients[:-1]):
            total = total.fma(self, number)
        return total

    def abs(self): return self.new(self.em.intrinsic("fabs", self.value))
    def nearest(self): return self.new(self.em.intrinsic("nearbyint", self.value))
    def sqrt(self): return self.new(self.em.intrinsic("sqrt", self.value))
    def copysign(self, sign: "Term"): return self.new(self.em.intrinsic("copysign", self.value, sign.value))


def apply(em: Emitter, op: str, value: Value, depth: int, attr=None) -> Value:
    """`op` of the value, bound in the frame at `depth`."""
    x = Term(em, value, depth)
    if op in COMMON:
        return COMMON[op](x).value
    if value.dtype == "f32":
        if op == "pow":
            return em.bind(em.library("pow", value, em.const(attr, "f32", value.lanes), depth=depth), depth)
        return VECTOR[op](x).value
    return _double(em, op, x, attr).value


def exp(x: Term) -> Term:
    """2e-7; exactly 0 below -87.34, where 2^n has no bits, inf above 88.73, NaN stays."""
    em = x.em
    if em.scales(x.value):
        below = x < -87.3365447
        bounded = x.at_most(89.0)
        n = (bounded * LOG2_E).nearest()
        r = n.fma(-LN2_LOW, n.fma(-LN2_HIGH, bounded))
        return below.where(0.0, x.new(em.scaled(r.poly(EXP_NEAR).fma(r, 1.0).value, n.value, x.depth)))
    bounded = x.at_least(-87.4).at_most(89.0)
    shifted = bounded.fma(LOG2_E, -0.5) + 12582912.0       # round(y - 1/2) = floor(y), in the low bits
    n = shifted - 12582912.0
    r = n.fma(-LN2_LOW, n.fma(-LN2_HIGH, bounded))
    power = r.poly(EXP).fma(r, 1.0)
    whole = em.bind(em.shift_left(em.reinterpret(shifted.value, "i32"), 23), x.depth)
    scale = x.new(em.reinterpret(em.binary("add", whole, em.const(0x3F800000, "i32", whole.lanes)), "f32"))
    return power * scale


def log(x: Term) -> Term:
    """-inf at 0, NaN below, inf at inf; denormals are scaled up first."""
    em, small = x.em, x < 1.17549435e-38
    scaled = small.where(x * 8388608.0, x)
    bits = em.reinterpret(scaled.value, "i32")
    # subtracting the bits of sqrt(1/2) makes the exponent field count from there
    moved = em.bind(em.binary("sub", bits, em.const(0x3F3504F3, "i32", bits.lanes)), x.depth)
    exponent = em.bind(em.shift_right(moved, 23), x.depth)
    rest = em.binary("add", em.bits("and", moved, em.const(0x007FFFFF, "i32", bits.lanes)), em.const(0x3F3504F3, "i32", bits.lanes))
    f = x.new(em.reinterpret(rest, "f32")) - 1.0
    n = x.new(em.cast(exponent, "f32"))
    n = small.where(n - 23.0, n)
    square = f * f
    tail = f.poly(LOG) * f * square
    tail = n.fma(LN2_LOW, tail)
    tail = square.fma(-0.5, tail)
    result = n.fma(LN2_HIGH, f + tail)
    result = (x > 3.4028234e38).where(x, result)
    result = (x < 0.0).where(float("nan"), result)
    result = x.is_(0.0).where(float("-inf"), result)
    return x.differs(x).where(x, result)


def log1p_of_unit(u: Term) -> Term:
    """log(1 + u) for 0 <= u <= 1, good for small u too."""
    w = 1.0 + u
    return log(w) + (u - (w - 1.0)) / w


def sigmoid(x: Term) -> Term:
    z = exp(-x.abs())
    r = 1.0 / (1.0 + z)
    return (x < 0.0).where(z * r, r)


def softplus(x: Term) -> Term:
    rest = log1p_of_unit(exp(-x.abs()))
    return (x < 0.0).where(rest, x + rest)


def tanh(x: Term) -> Term:
    t = x.abs()
    square = x * x
    small = (square.poly(TANH) * square).fma(x, x)
    big = (1.0 - 2.0 / (exp(2.0 * t) + 1.0)).copysign(x)
    return (t < 0.625).where(small, big)


def _erfc(t: Term, square_high: Term, square_low: Term) -> Term:
    """e^-(high + low) times e^(t^2) erfc(t), t >= 0: the exponent comes in two parts, since its rounding would show in the tail."""
    u = 1.0 / (1.0 + 0.4 * t)
    scaled = u.poly(ERFCX) * u
    e = exp(-square_high)
    return (e - e * square_low) * scaled


def erf(x: Term) -> Term:
    t = x.abs()
    t = (t > 6.0).where(6.0, t)
    square = t * t
    big = (1.0 - _erfc(t, square, t.fma(t, -square))).copysign(x)
    return (t < 1.0).where((x * x).poly(ERF) * x, big)


def gelu(x: Term) -> Term:
    """x Phi(x), with Phi from erfc so that the negative tail keeps its digits."""
    t = x.abs()
    t = (t > 14.0).where(14.0, t)
    square = t * t
    tail = 0.5 * _erfc(t * SQRT_HALF, 0.5 * square, 0.5 * t.fma(t, -square))
    near = x * SQRT_HALF
    middle = 0.5 + 0.5 * ((near * near).poly(ERF) * near)
    phi = (t < 0.5).where(middle, (x < 0.0).where(tail, 1.0 - tail))
    below = (x < -14.0).where(-0.0, x * phi)
    return below


def _relu(x: Term) -> Term:
    return (x < 0).where(0, x)


def _sign(x: Term) -> Term:
    return (x > 0).where(1, (x < 0).where(-1, 0 * x))


COMMON = {
    "sqrt": lambda x: x.sqrt(),
    "rsqrt": lambda x: 1.0 / x.sqrt(),
    "abs": lambda x: x.abs() if x.value.dtype != "i32" else (x < 0).where(0 - x, x),
    "sign": _sign,
    "relu": _relu,
}
VECTOR = {
    "exp": exp, "log": log, "sigmoid": sigmoid, "softplus": softplus, "tanh": tanh, "erf": erf, "gelu": gelu,
    "logsigmoid": lambda x: -softplus(-x),
    "silu": lambda x: x * sigmoid(x),
}


def _double(em: Emitter, op: str, x: Term, attr) -> Term:
    """float64, lane by lane through libm."""
    def call(name, *args):
        return x.new(em.library(name, *(a.value for a in args), depth=x.depth))
    match op:
        case "exp" | "log" | "tanh" | "erf":
            return call(op, x)
        case "pow":
            return call("pow", x, x.const(attr))
        case "sigmoid":
            return 1.0 / (1.0 + call("exp", -x))
        case "softplus":
            return (x > 0.0).where(x, 0.0) + call("log1p", call("exp", -x.abs()))
        case "logsigmoid":
            return (x < 0.0).where(x, 0.0) - call("log1p", call("exp", -x.abs()))
        case "silu":
            return x / (1.0 + call("exp", -x))
        case "gelu":
            return 0.5 * x * call("erfc", x * -SQRT_HALF)
    raise NotImplementedError(op)
