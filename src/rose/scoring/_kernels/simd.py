"""Compute with vectors of numbers in compiled kernels: several candidates' values in one register.

Compilers find some of this by themselves, but not when types are mixed, and not the largest of a few neighbours. Each
lane is computed for itself, and only `fused` fuses a product with a sum: a candidate's score is the same wherever in a
vector it stands. Lengths are fixed; LLVM splits vectors that are longer than the machine's.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from rose.scoring._kernels.compiling import cgutils, extending, intrinsic, ir, numba, types

LANES = 32  # two registers of AVX-512 in float32: two sums at a time hide each other's latency
FEW = 8  # for rows of classes, which are short

_int32, _int64 = ir.IntType(32), ir.IntType(64)


class Lanes(types.Type):  # type: ignore[misc]  # numba has no types for mypy
    """Describe to numba the type of `count` numbers of one dtype."""

    def __init__(self, dtype: Any, count: int) -> None:
        self.dtype, self.count = dtype, count
        super().__init__(f"Lanes({dtype}, {count})")


@extending.register_model(Lanes)
class _LanesModel(numba.core.datamodel.models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        super().__init__(manager, lanes, ir.VectorType(manager.lookup(lanes.dtype).get_value_type(), lanes.count))


def constant(vector: Any, value: Any) -> Any:
    """Return a constant that is in every lane."""
    return ir.Constant(vector, [value] * vector.count)


def as_integers(builder: Any, x: Any) -> Any:
    """Return the lanes' bits."""
    real = x.type.element
    width = 64 if isinstance(real, ir.DoubleType) else (32 if isinstance(real, ir.FloatType) else real.width)
    return builder.bitcast(x, ir.VectorType(ir.IntType(width), x.type.count))


def fuse(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, rounded once where the machine can."""
    name = "f64" if isinstance(a.type.element, ir.DoubleType) else "f32"
    function = ir.FunctionType(a.type, [a.type] * 3)
    name = f"llvm.fmuladd.v{a.type.count}{name}"
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), [a, b, c])


# --- from and to memory ------------------------------------------------------------------------------------------


def loaded(context: Any, builder: Any, lanes: Lanes, pointer: Any) -> Any:
    vector = context.get_value_type(lanes)
    value = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    value.align = lanes.dtype.bitwidth // 8
    return value


def _element(context: Any, builder: Any, array: Any, value: Any, at: Any) -> Any:
    return builder.gep(context.make_array(array)(context, builder, value).data, [at])


def _loads(count: int) -> Callable[..., Any]:
    @intrinsic
    def load(_typing: Any, array: Any, at: Any) -> Any:
        lanes = Lanes(array.dtype, count)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return loaded(context, builder, lanes, _element(context, builder, array, args[0], args[1]))

        return lanes(array, types.int64), generate

    return load


load = _loads(LANES)  # load(array, at): the LANES values from `at` on
load_few = _loads(FEW)


@intrinsic
def store(_typing: Any, array: Any, at: Any, lanes: Any) -> Any:
    """Set array[at : at + the number of lanes] = lanes."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _element(context, builder, array, args[0], args[1])
        stored = builder.store(args[2], builder.bitcast(pointer, args[2].type.as_pointer()))
        stored.align = array.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, types.int64, lanes), generate


def _spreads(count: int) -> Callable[..., Any]:
    @intrinsic
    def spread(_typing: Any, value: Any) -> Any:
        lanes = Lanes(value, count)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return _splat(builder, args[0], count)

        return lanes(value), generate

    return spread


spread = _spreads(LANES)  # spread(number): that number in all of LANES lanes
spread_few = _spreads(FEW)


def _splat(builder: Any, value: Any, count: int) -> Any:
    undefined = ir.Constant(ir.VectorType(value.type, count), ir.Undefined)
    single = builder.insert_element(undefined, value, _int32(0))
    return builder.shuffle_vector(single, undefined, constant(ir.VectorType(_int32, count), 0))


# --- arithmetic --------------------------------------------------------------------------------------------------


def _binary(symbol: Callable[..., Any], name: str) -> None:
    def typed(_context: Any) -> Any:
        return lambda a, b: a if isinstance(a, Lanes) and a == b else None

    def lowered(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return getattr(builder, name)(*args)

    extending.type_callable(symbol)(typed)
    extending.lower_builtin(symbol, Lanes, Lanes)(lowered)


_binary(operator.add, "fadd")
_binary(operator.sub, "fsub")
_binary(operator.mul, "fmul")


@intrinsic
def fused(_typing: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, rounded once where the machine can."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return fuse(builder, *args)

    return a(a, a, a), generate


@intrinsic
def widen(_typing: Any, lanes: Any) -> Any:
    """Return the lanes as float64."""
    wide = Lanes(types.float64, lanes.count)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return args[0] if lanes == wide else builder.fpext(args[0], context.get_value_type(wide))

    return wide(lanes), generate


@intrinsic
def where_less(_typing: Any, a: Any, b: Any, then: Any, otherwise: Any) -> Any:
    """Return `then` where a < b, `otherwise` elsewhere."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", args[0], args[1]), args[2], args[3])

    return then(a, a, then, then), generate


# --- bits --------------------------------------------------------------------------------------------------------


@intrinsic
def either(_typing: Any, a: Any, b: Any) -> Any:
    """Return the bits of both."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        both = builder.or_(as_integers(builder, args[0]), as_integers(builder, args[1]))
        return builder.bitcast(both, args[0].type)

    return a(a, a), generate


@intrinsic
def magnitude(_typing: Any, lanes: Any) -> Any:
    """Return lanes without their signs."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = as_integers(builder, args[0])
        mask = constant(bits.type, (1 << (bits.type.element.width - 1)) - 1)
        return builder.bitcast(builder.and_(bits, mask), args[0].type)

    return lanes(lanes), generate


@intrinsic
def larger(_typing: Any, a: Any, b: Any) -> Any:
    """Return the larger of each pair of numbers >= 0: their bits order as they do, and integers compare faster."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x, y = (as_integers(builder, a) for a in args)
        return builder.bitcast(builder.select(builder.icmp_signed(">", x, y), x, y), args[0].type)

    return a(a, a), generate


@intrinsic
def first_lanes(_typing: Any, lanes: Any, count: Any) -> Any:
    """Return the first `count` lanes, and 0 in the others."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = as_integers(builder, args[0])
        width = bits.type.element
        limit = args[1] if width.width == 64 else builder.trunc(args[1], width)
        places = ir.Constant(bits.type, list(range(lanes.count)))
        inside = builder.icmp_signed("<", places, _splat(builder, limit, lanes.count))
        return builder.bitcast(builder.select(inside, bits, constant(bits.type, 0)), args[0].type)

    return lanes(lanes, types.int64), generate
