"""Floating-point operations of one op, out of the shapes that it met.

The rules are those of TensorFlow's own profiler (`float_operation`), so that both agree: a product
of [a, b] and [b, c] takes 2abc, softmax 5 a number, rsqrt 2, anything element by element 1. Erf,
exp and tanh, which that profiler leaves out, count 1, though a CPU spends more on them. Moving
numbers (gather, transpose, concat, cast) takes none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ALIASES", "PRODUCTS", "READS_SOME", "Flops", "flops_of"]

Shape = Sequence[int]

_MATRICES = frozenset({"MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "_FusedMatMul"})
_CONVOLUTIONS = frozenset({"Conv2D", "Conv3D", "_FusedConv2D"})
_DEPTHWISE = frozenset({"DepthwiseConv2dNative"})
PRODUCTS = _MATRICES | _CONVOLUTIONS | _DEPTHWISE | {"Einsum"}

_BY_OUTPUT = {
    **dict.fromkeys(
        (
            "Add", "AddV2", "Sub", "Mul", "RealDiv", "Div", "DivNoNan", "FloorDiv", "FloorMod",
            "Maximum", "Minimum", "Pow", "SquaredDifference", "BiasAdd", "Xdivy", "Xlogy",
            "Neg", "Abs", "Sign", "Square", "Reciprocal", "Inv", "Relu", "Relu6", "LeakyRelu",
            "Elu", "Selu", "Softplus", "Softsign", "Floor", "Ceil", "Round", "Rint",
            "Exp", "Expm1", "Log", "Log1p", "Sqrt", "Erf", "Erfc", "Tanh", "Sigmoid", "Sin", "Cos",
            "Gelu", "Cumsum", "ClipByValue", "Atan2",
        ),
        1,
    ),
    "Rsqrt": 2,
    "Softmax": 5,
    "LogSoftmax": 5,
}  # fmt: skip
_BY_INPUT = {  # numbers read: reductions and comparisons
    **dict.fromkeys(("Mean", "Max", "Min", "Prod", "ArgMax", "ArgMin", "TopKV2", "TopK"), 1),
    "L2Loss": 2,
}
_BY_BROADCAST = frozenset({"Equal", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual"})
# what moves no number: another name or shape for the same memory, or a call of what is counted
ALIASES = frozenset(
    {
        "Identity", "IdentityN", "Reshape", "Squeeze", "ExpandDims", "StopGradient", "Bitcast",
        "Shape", "ShapeN", "Size", "Rank", "NoOp", "_Arg", "_Retval", "_DeviceArg",
        "_DeviceRetval", "Placeholder", "PlaceholderWithDefault", "Switch", "Merge", "Enter",
        "Exit", "NextIteration", "LoopCond", "PartitionedCall", "StatefulPartitionedCall", "If",
        "StatelessIf", "While", "StatelessWhile", "Case", "StatelessCase", "Assert",
        "PreventGradient", "EnsureShape", "ReadVariableOp", "VarHandleOp", "_VarHandlesOp",
        "VariableV2", "Const", "_HostSend", "_HostRecv", "_Send", "_Recv",
    }
)  # fmt: skip
# what reads of its first input as much as it writes
READS_SOME = frozenset(
    {"Gather", "GatherV2", "GatherNd", "ResourceGather", "StridedSlice", "Slice"}
)
_MOVES = frozenset(
    {
        "Transpose", "ConcatV2", "Pack", "Unpack", "Cast", "Pad", "PadV2", "MirrorPad", "Tile",
        "Fill", "ZerosLike", "OnesLike", "Select", "SelectV2", "Where", "Split", "SplitV", "OneHot",
        "BroadcastTo", "Range", "ReverseV2", "ScatterNd", "TensorScatterUpdate",
        "InvertPermutation", "RaggedTensorToTensor", "RaggedGather", "LookupTableFindV2", "Unique",
        "IsFinite", "IsNan", "IsInf", "StringLower", "LogicalAnd", "LogicalOr", "LogicalNot",
        "MatrixBandPart", "MatrixDiagV3", "DynamicStitch", "DynamicPartition", "ReverseSequence",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Flops:
    """Of one op.

    Args:
        product: multiply-adds of matrix products and convolutions, two each.
        other: everything else.
        known: whether there is a rule for the op; without one both are 0.
    """

    product: int = 0
    other: int = 0
    known: bool = True


def flops_of(
    op: str, inputs: Sequence[Shape], output: Shape, *, equation: str = "", floating: bool = True
) -> Flops:
    """What one run of an op takes.

    Args:
        inputs: shapes of its inputs in their order.
        output: shape of its first output.
        equation: of an Einsum.
        floating: whether it reads or writes floating-point numbers.

    Raises:
        ValueError: shapes or equation do not belong to such an op.
    """
    count = math.prod(output)
    if op in PRODUCTS:
        return Flops(product=_product(op, inputs, output, equation))
    if op == "Sum":
        return _floating(max(0, math.prod(inputs[0]) - count), floating)
    if op == "AddN":
        return _floating((len(inputs) - 1) * count, floating)
    if op in _BY_OUTPUT:
        return _floating(_BY_OUTPUT[op] * count, floating)
    if op in _BY_INPUT:
        return _floating(_BY_INPUT[op] * math.prod(inputs[0]), floating)
    if op in _BY_BROADCAST:
        return _floating(count, floating)
    return Flops(known=op in ALIASES or op in READS_SOME or op in _MOVES or not floating)


def _floating(count: int, floating: bool) -> Flops:
    return Flops(other=count if floating else 0)


def _product(op: str, inputs: Sequence[Shape], output: Shape, equation: str) -> int:
    count = math.prod(output)
    if op in _MATRICES:
        return 2 * count * _inner(inputs[0], inputs[1], output)
    if op in _CONVOLUTIONS:
        return 2 * count * math.prod(inputs[1][:-1])
    if op in _DEPTHWISE:
        return 2 * count * math.prod(inputs[1][:2])
    return 2 * _einsum(inputs, equation)


def _inner(left: Shape, right: Shape, output: Shape) -> int:
    """The dimension that both sides share, whichever of them is transposed."""
    if min(len(left), len(right), len(output)) < 2:
        raise ValueError(f"a product takes matrices, got {list(left)} and {list(right)}")
    rows, columns = output[-2], output[-1]
    if not rows * columns:
        return 0
    inner, rest = divmod(math.prod(left[-2:]), rows)
    if rest or inner * columns != math.prod(right[-2:]):
        raise ValueError(f"{list(left)} and {list(right)} do not multiply to {list(output)}")
    return inner


def _einsum(inputs: Sequence[Shape], equation: str) -> int:
    """Multiply-adds: every label once."""
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    if "." in equation or len(terms) != len(inputs):
        raise ValueError(f"Einsum {equation!r} of {len(inputs)} inputs is not counted")
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, inputs, strict=True):
        if len(term) != len(shape):
            raise ValueError(f"Einsum {equation!r} does not fit the shape {list(shape)}")
        sizes.update(zip(term, shape, strict=True))
    return math.prod(sizes.values())
