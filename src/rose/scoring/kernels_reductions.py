"""From many lanes to one number: sums, the largest, and which lanes something is true of."""

from __future__ import annotations

from typing import Any

from rose.scoring.kernels_common import cgutils, intrinsic, ir, types
from rose.scoring.kernels_lanes import as_integers, constant

_int32, _int64 = ir.IntType(32), ir.IntType(64)


def _halves(builder: Any, x: Any) -> tuple[Any, Any]:
    half = x.type.count // 2
    undefined = ir.Constant(x.type, ir.Undefined)
    low, high = (
        ir.Constant(ir.VectorType(_int32, half), list(range(start, start + half))) for start in (0, half)
    )  # fmt: skip
    return builder.shuffle_vector(x, undefined, low), builder.shuffle_vector(x, undefined, high)


@intrinsic
def total(_typing: Any, lanes: Any) -> Any:
    """The sum of all lanes: of the halves, of their halves, and so on."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x = args[0]
        while x.type.count > 1:
            x = builder.fadd(*_halves(builder, x))
        return builder.extract_element(x, _int32(0))

    return lanes.dtype(lanes), generate


@intrinsic
def largest_two(_typing: Any, first: Any, second: Any) -> Any:
    """The largest two of all lanes, where no lane of `second` is larger than that of `first`."""
    pair = types.UniTuple(first.dtype, 2)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def max_and_min(a: Any, b: Any) -> tuple[Any, Any]:
            less = builder.fcmp_ordered("<", a, b)
            return builder.select(less, b, a), builder.select(less, a, b)

        one, two = args
        while one.type.count > 1:
            (a, b), (c, d) = _halves(builder, one), _halves(builder, two)
            one, lost = max_and_min(a, b)
            two = max_and_min(lost, max_and_min(c, d)[0])[0]
        return context.make_tuple(builder, pair, [builder.extract_element(x, _int32(0)) for x in (one, two)])

    return pair(first, first), generate


@intrinsic
def largest(_typing: Any, lanes: Any) -> Any:
    """The largest of the lanes, of numbers >= 0."""

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
    """Which lanes are the same, as bits of an integer: lane 0 is the lowest."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _packed(builder, builder.icmp_signed("==", *(as_integers(builder, x) for x in args)))

    return types.int64(a, a), generate


def _packed(builder: Any, truths: Any) -> Any:
    return builder.zext(builder.bitcast(truths, ir.IntType(truths.type.count)), _int64)


@intrinsic
def lowest_bit(_typing: Any, value: Any) -> Any:
    """The place of the lowest bit that is set."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.int64), generate


@intrinsic
def any_sign(_typing: Any, lanes: Any) -> Any:
    """Whether the sign bit of any lane is set."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = as_integers(builder, args[0])
        packed = _packed(builder, builder.icmp_signed("<", bits, constant(bits.type, 0)))
        return builder.icmp_unsigned("!=", packed, _int64(0))

    return types.boolean(lanes), generate


@intrinsic
def any_nan(_typing: Any, lanes: Any) -> Any:
    """Whether any lane is NaN."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        packed = _packed(builder, builder.fcmp_unordered("uno", args[0], args[0]))
        return builder.icmp_unsigned("!=", packed, _int64(0))

    return types.boolean(lanes), generate
