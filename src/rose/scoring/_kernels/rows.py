"""Read members' rows in compiled kernels: typed access by address, fetched from memory before they are needed.

Kernels see the S rows of a block as addresses, so that one array, a list of arrays and read buffers need no copy and
share one machine code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rose.scoring._kernels.compiling import cgutils, intrinsic, ir, kernel, numba, types
from rose.scoring._kernels.simd import FEW, LANES, Lanes, loaded

_LINE = 64  # bytes of a cache line
_AHEAD = 1 << 17  # bytes

_int32, _int64 = ir.IntType(32), ir.IntType(64)


@intrinsic
def _pointer(_typing: Any, address: Any, like: Any) -> Any:
    signature = types.CPointer(like.dtype)(types.uint64, like)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(sig.return_type))

    return signature, generate


@intrinsic
def address_of(_typing: Any, array: Any) -> Any:
    """Return where an array's first element lies; it must be kept alive by someone else."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(array)(context, builder, args[0]).data
        return builder.ptrtoint(data, context.get_value_type(types.uint64))

    return types.uint64(array), generate


@kernel
def row_at(addresses: Any, member: Any, skip: Any, count: Any, like: Any) -> Any:
    """Return `count` elements of a member's row after the first `skip`; `like` is any array of the row's dtype."""
    return numba.carray(_pointer(addresses[member] + np.uint64(skip * like.itemsize), like), count)


def _loads(count: int) -> Callable[..., Any]:
    @intrinsic
    def load(_typing: Any, address: Any, at: Any, like: Any) -> Any:
        lanes = Lanes(like.dtype, count)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            start = builder.add(args[0], builder.mul(args[1], _int64(like.dtype.bitwidth // 8)))
            return loaded(context, builder, lanes, builder.inttoptr(start, ir.IntType(8).as_pointer()))

        return lanes(types.uint64, types.int64, like), generate

    return load


# load_from(address, at, like): the values `at` elements after an address; `like` is any array of their dtype
load_from = _loads(LANES)
load_few_from = _loads(FEW)


@intrinsic
def fetch(_typing: Any, address: Any, at: Any, like: Any) -> Any:
    """Prefetch the LANES values `at` elements after an address; nothing happens where there is no memory."""
    size = like.dtype.bitwidth // 8

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        function = ir.FunctionType(ir.VoidType(), [byte, _int32, _int32, _int32])
        function = cgutils.get_or_insert_function(builder.module, function, "llvm.prefetch.p0i8")
        start = builder.add(args[0], builder.mul(args[1], _int64(size)))
        for line in range(0, LANES * size, _LINE):
            pointer = builder.inttoptr(builder.add(start, _int64(line)), byte)
            builder.call(function, [pointer, _int32(0), _int32(2), _int32(1)])  # to read; into L2; data
        return context.get_dummy_value()

    return types.void(types.uint64, types.int64, like), generate


@kernel
def until_a_line(address: Any, start: Any, classes: Any, size: Any) -> Any:
    """Return how many candidates to take first, so that the next begins a cache line; 0 if it does, or none does.

    Vectors that lie across two lines take twice as long to load.
    """
    for i in range(_LINE):
        if (np.int64(address) + (start + i) * classes * size) % _LINE == 0:
            return i
    return 0


@kernel
def distance_ahead(members: Any, like: Any) -> Any:
    """Return how many elements of each row to `fetch` ahead: of all rows, a part of the L2 cache."""
    return max(1, _AHEAD // (members * like.itemsize * LANES)) * LANES


@kernel
def copy_edge(addresses: Any, at: Any, count: Any, like: Any, edge: Any) -> None:
    """Copy fewer than LANES elements of each row, with zeros after them: what follows them may not be ours to read."""
    for s in range(addresses.shape[0]):
        row = row_at(addresses, s, at, count, like)
        for j in range(LANES):
            edge[s, j] = row[j] if j < count else like.dtype.type(0.0)
