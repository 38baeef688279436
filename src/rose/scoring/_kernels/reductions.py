"""Reduce many lanes to one number: sums, the largest, and which lanes something is true of."""

from __future__ import annotations

from typing import Any

from rose.scoring._kernels.compiling import cgutils, intrinsic, ir, types
from rose.scoring._kernels.simd import FEW, as_integers, constant

_int32, _int64 = ir.IntType(32), ir.IntType(64)


def _halves(builder: Any, vectors: list[Any], width: int) -> tuple[list[Any], list[Any]]:
    """Split 2k vectors of `width` lanes for each of FEW // width candidates: lower and upper halves, k vectors each."""
    first = [at + i for at in range(0, 2 * FEW, width) for i in range(width // 2)]
    low, high = (
        ir.Constant(ir.VectorType(_int32, FEW), [place + shift for place in first]) for shift in (0, width // 2)
    )
    pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
    return [builder.shuffle_vector(a, b, low) for a, b in pairs], [builder.shuffle_vector(a, b, high) for a, b in pairs]


@intrinsic
def totals(_typing: Any, eight: Any) -> Any:
    """Return the sums of the lanes of FEW vectors of FEW lanes: of the halves, of their halves, and so on."""
    lanes = eight.dtype

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vectors = cgutils.unpack_tuple(builder, args[0], FEW)
        width = FEW
        while width > 1:
            vectors = [builder.fadd(a, b) for a, b in zip(*_halves(builder, vectors, width), strict=True)]
            width //= 2
        return vectors[0]

    return lanes(eight), generate


@intrinsic
def largest_twos(_typing: Any, firsts: Any, seconds: Any) -> Any:
    """Return the largest two lanes in FEW pairs of vectors of FEW lanes, where no second is larger than the first."""
    lanes = firsts.dtype
    pair = types.UniTuple(lanes, 2)

    def max_and_min(builder: Any, a: Any, b: Any) -> tuple[Any, Any]:
        less = builder.fcmp_ordered("<", a, b)
        return builder.select(less, b, a), builder.select(less, a, b)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        ones, twos = (cgutils.unpack_tuple(builder, vectors, FEW) for vectors in args)
        width = FEW
        while width > 1:
            rivals = zip(*_halves(builder, ones, width), *_halves(builder, twos, width), strict=True)
            ones, twos = [], []
            for a, b, c, d in rivals:
                one, lost = max_and_min(builder, a, b)
                ones.append(one)
                twos.append(max_and_min(builder, lost, max_and_min(builder, c, d)[0])[0])
            width //= 2
        return context.make_tuple(builder, pair, [ones[0], twos[0]])

    return pair(firsts, seconds), generate


@intrinsic
def largest(_typing: Any, lanes: Any) -> Any:
    """Return the largest of the lanes, of numbers >= 0."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = as_integers(builder, args[0])
        width = bits.type.element
        function = ir.FunctionType(width, [bits.type])
        name = f"llvm.vector.reduce.smax.v{lanes.count}i{width.width}"
        top = builder.call(cgutils.get_or_insert_function(builder.module, function, name), [bits])
        return builder.bitcast(top, args[0].type.element)

    return lanes.dtype(lanes), generate


@intrinsic
def equal(_typing: Any, a: Any, b: Any) -> Any:
    """Tell which lanes are the same, as bits of an integer: lane 0 is the lowest."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _packed(builder, builder.icmp_signed("==", *(as_integers(builder, x) for x in args)))

    return types.int64(a, a), generate


def _packed(builder: Any, truths: Any) -> Any:
    return builder.zext(builder.bitcast(truths, ir.IntType(truths.type.count)), _int64)


@intrinsic
def lowest_bit(_typing: Any, value: Any) -> Any:
    """Return the place of the lowest bit that is set."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), generate


@intrinsic
def any_sign(_typing: Any, lanes: Any) -> Any:
    """Tell whether the sign bit of any lane is set."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = as_integers(builder, args[0])
        packed = _packed(builder, builder.icmp_signed("<", bits, constant(bits.type, 0)))
        return builder.icmp_unsigned("!=", packed, _int64(0))

    return types.boolean(lanes), generate


@intrinsic
def any_nan(_typing: Any, lanes: Any) -> Any:
    """Tell whether any lane is NaN."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        packed = _packed(builder, builder.fcmp_unordered("uno", args[0], args[0]))
        return builder.icmp_unsigned("!=", packed, _int64(0))

    return types.boolean(lanes), generate
