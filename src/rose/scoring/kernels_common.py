"""What the compiled kernels share: typed access to members' rows by address, and a logarithm that vectorises.

Importing this module imports numba; `compiled` does so on the first large scoring call. Kernels release the GIL and
run on ordinary threads (numba's own thread pools may not be entered from two threads at once). They see the S rows of
a block as addresses, so that one array, a list of arrays and read buffers need no copy and share one machine code.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

# numba compiles by its own types; to mypy all of it is Any.
numba: Any = importlib.import_module("numba")
types: Any = numba.types
cgutils: Any = importlib.import_module("numba.core.cgutils")
extending: Any = importlib.import_module("numba.extending")
intrinsic: Callable[[Callable[..., Any]], Callable[..., Any]] = extending.intrinsic
ir: Any = importlib.import_module("llvmlite.ir")

# "contract" lets a * b + c be fused; nothing is reordered, so a candidate's score is the same in every block. For that,
# no kernel adds two products that are used nowhere else: which of them is fused could differ at a block's end.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}, "boundscheck": False}

LANES = 16  # values compared at once
LN2 = 0.6931471805599453
_ROOT_HALF_32 = 0x3F3504F3  # bits of sqrt(1/2): mantissas are taken from [sqrt(1/2), sqrt(2))
_ROOT_HALF_64 = 0x3FE6A09E667F3BCD


def kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile on first call, from the disk cache where one can be written."""
    try:
        compiled: Callable[..., Any] = numba.njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # numba found no writable place (read-only package, no home): compile once per process
        compiled = numba.njit(**_OPTIONS)(function)
    return compiled


def overload(stub: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare how `stub` is compiled for given argument types."""
    declare: Callable[[Callable[..., Any]], Callable[..., Any]] = extending.overload(stub, jit_options=_OPTIONS)
    return declare


@intrinsic
def _pointer(_typing: Any, address: Any, like: Any) -> Any:
    signature = types.CPointer(like.dtype)(types.uint64, like)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(sig.return_type))

    return signature, generate


@intrinsic
def bits(_typing: Any, x: Any) -> Any:
    """The bits of a float as an integer of the same width, or back (numba's `view` goes through memory)."""
    pairs = {types.float32: types.int32, types.float64: types.int64}
    pairs.update({integer: real for real, integer in pairs.items()})
    signature = pairs[x](x)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.bitcast(args[0], context.get_value_type(sig.return_type))

    return signature, generate


@intrinsic
def largest_of_lanes(_typing: Any, row: Any, at: Any, count: Any) -> Any:
    """Where the largest of row[at : at + count] stands, the first of equals; for values >= 0 and count <= LANES.

    Explicit vectors, because no compiler finds them: the lanes are compared as integers, which order as floats >= 0 do.
    Reads LANES values, whatever `count` is: the caller sees to it that they exist.
    """
    real = row.dtype
    integer = ir.IntType(real.bitwidth)
    vector = ir.VectorType(integer, LANES)
    signature = types.int64(row, types.int64, types.int64)

    def splat(builder: Any, value: Any) -> Any:
        single = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), mask)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(row)(context, builder, args[0]).data
        start = builder.bitcast(builder.gep(data, [args[1]]), vector.as_pointer())
        load = builder.load(start)
        load.align = real.bitwidth // 8
        lanes = ir.Constant(vector, list(range(LANES)))
        inside = builder.icmp_signed(
            "<", lanes, splat(builder, builder.trunc(args[2], integer) if real.bitwidth < 64 else args[2])
        )
        values = builder.select(inside, load, ir.Constant(vector, [-1] * LANES))
        name = f"llvm.vector.reduce.smax.v{LANES}i{real.bitwidth}"
        reduce = cgutils.get_or_insert_function(builder.module, ir.FunctionType(integer, [vector]), name)
        equal = builder.icmp_signed("==", values, splat(builder, builder.call(reduce, [values])))
        found = builder.zext(builder.bitcast(equal, ir.IntType(LANES)), ir.IntType(64))
        return builder.cttz(found, ir.Constant(ir.IntType(1), 0))

    return signature, generate


def narrow(value: Any, like: Any) -> Any:
    """An integer in the width of `like`'s bits (numba widens int32 arithmetic to int64, which halves the lanes)."""
    raise NotImplementedError("compiled code only")


@overload(narrow)
def _narrow(value: Any, like: Any) -> Any:
    return _narrow32 if like == types.float32 else _narrow64


def _narrow32(value: Any, like: Any) -> Any:
    return np.int32(value)


def _narrow64(value: Any, like: Any) -> Any:
    return np.int64(value)


@kernel
def row_at(addresses: Any, member: Any, skip: Any, count: Any, like: Any) -> Any:
    """`count` elements of a member's row after the first `skip`; `like` is any array of the row's dtype."""
    return numba.carray(_pointer(addresses[member] + np.uint64(skip * like.itemsize), like), count)


def log(x: Any) -> Any:
    """Natural logarithm of finite x >= 0, in x's own precision; of 0 some finite number, so that 0 * log(0) is 0."""
    raise NotImplementedError("compiled code only")


@overload(log)
def _log(x: Any) -> Any:
    """log(2^k m) = k log 2 + log(m), where m is from [sqrt(1/2), sqrt(2)).

    Float32: log(m) = f + f^2 q(f), f = m - 1: relative error below 2e-7, as that of rounding p to float32 was before.
    Float64: log(m) = 2 atanh(s), s = (m - 1) / (m + 1), to 4e-16. Coefficients: Chebyshev fits made with mpmath.
    """
    return _log32 if x == types.float32 else _log64


def _log32(x: Any) -> Any:
    i = bits(x)
    k = np.int32(np.int32(i - np.int32(_ROOT_HALF_32)) & np.int32(-0x800000))  # the exponent, where it stands
    f = bits(np.int32(i - k)) - np.float32(1.0)
    q = np.float32(0.08787265491105985)
    q = q * f + np.float32(-0.14159647010229592)
    q = q * f + np.float32(0.1483478683882001)
    q = q * f + np.float32(-0.16588488531898676)
    q = q * f + np.float32(0.19972049709984188)
    q = q * f + np.float32(-0.2500114767763388)
    q = q * f + np.float32(0.33333670610157023)
    q = q * f + np.float32(-0.49999997132727997)
    return np.float32(k) * np.float32(LN2 / 2**23) + (f + q * (f * f))


def _log64(x: Any) -> Any:
    i = bits(x)
    k = np.int64(i - np.int64(_ROOT_HALF_64)) >> np.int64(52)
    m = bits(np.int64(i - np.int64(k << np.int64(52))))
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    q = 0.14809867572313062
    q = q * z + 0.153125131147383
    q = q * z + 0.18183632241617026
    q = q * z + 0.22222197046404274
    q = q * z + 0.2857142876073828
    q = q * z + 0.3999999999930191
    q = q * z + 0.6666666666666765
    return np.float64(np.int32(k)) * LN2 + ((s + s) + s * (q * z))


@kernel
def fill(out: Any, count: Any, value: Any) -> None:
    """out[:count] = value (a plain loop compiles to much less than a slice assignment)."""
    for j in range(count):
        out[j] = value
