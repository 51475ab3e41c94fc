"""Sixteen numbers side by side, as a type of its own for functions that numba compiles.

A processor's vector unit takes one instruction for the sum of sixteen pairs of numbers,
or a few where its vectors are shorter. `load` takes sixteen numbers out of an array,
``+``, ``-`` and ``*`` work on all of them, and `store` puts them back: nothing is left to
whether the compiler recognises a loop.
"""

import operator

from llvmlite import ir
from numba import types
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

WIDTH = 16
"""How many numbers, in single precision."""

_VECTOR = ir.VectorType(ir.FloatType(), WIDTH)
_PLACES = ir.VectorType(ir.IntType(32), WIDTH)


class _Lanes(types.Type):
    def __init__(self):
        super().__init__(name="Lanes")


_LANES = _Lanes()


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, lanes):
        super().__init__(manager, lanes, _VECTOR)


def _allow(sign, instruction: str) -> None:
    class Rule(ConcreteTemplate):
        cases = [signature(_LANES, _LANES, right) for right in (_LANES, types.float32)]

    def code(context, builder, sig, args):
        left, right = args
        if sig.args[1] == types.float32:
            right = builder.insert_element(_VECTOR(ir.Undefined), right, ir.IntType(32)(0))
            right = builder.shuffle_vector(right, right, _PLACES([0] * WIDTH))
        # "contract": a product and a sum may be one instruction, which rounds once.
        return getattr(builder, instruction)(left, right, flags=("contract",))

    infer_global(sign)(Rule)
    for right in (_LANES, types.float32):
        lower_builtin(sign, _LANES, right)(code)


_allow(operator.add, "fadd")
_allow(operator.sub, "fsub")
_allow(operator.mul, "fmul")


def _row(context, builder, array_type, array, place):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), _VECTOR.as_pointer())


def _is_flat(array) -> bool:
    return isinstance(array, types.Array) and array.ndim == 1 and array.layout == "C"


@intrinsic
def zeros(typing):
    """Return sixteen zeros."""
    return _LANES(), lambda context, builder, sig, args: _VECTOR([0.0] * WIDTH)


@intrinsic
def load(typing, array, place):
    """Return ``array[place : place + 16]``; no bounds are checked."""

    def code(context, builder, sig, args):
        return builder.load(_row(context, builder, array, *args), align=4)

    return (_LANES(array, types.intp), code) if _is_flat(array) else None


@intrinsic
def store(typing, array, place, lanes):
    """Do ``array[place : place + 16] = lanes``; no bounds are checked."""

    def code(context, builder, sig, args):
        builder.store(args[2], _row(context, builder, array, *args[:2]), align=4)
        return context.get_dummy_value()

    return (types.void(array, types.intp, _LANES), code) if _is_flat(array) else None


@intrinsic
def transpose(typing, rows, place, width, turned, to, turned_width):
    """Write 16 × 16 numbers, from `place` on in rows of `width`, to columns from `to` on."""

    def code(context, builder, sig, args):
        source, place, width, target, to, turned_width = args

        def row(array_type, array, first, step, k):
            first = builder.add(first, builder.mul(step, step.type(k)))
            return _row(context, builder, array_type, array, first)

        tile = [builder.load(row(rows, source, place, width, k), align=4) for k in range(WIDTH)]
        half = WIDTH // 2
        masks = [
            _PLACES([first + k // 2 + WIDTH * (k % 2) for k in range(WIDTH)]) for first in (0, half)
        ]
        for _ in range(4):  # log2(16) times, each row's numbers go between those of another
            pairs = zip(tile[:half], tile[half:], strict=True)
            tile = [builder.shuffle_vector(a, b, mask) for a, b in pairs for mask in masks]
        for k, lanes in enumerate(tile):
            builder.store(lanes, row(turned, target, to, turned_width, k), align=4)
        return context.get_dummy_value()

    of = types.void(rows, types.intp, types.intp, turned, types.intp, types.intp)
    return (of, code) if _is_flat(rows) and _is_flat(turned) else None
