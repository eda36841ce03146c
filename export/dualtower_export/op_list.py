"""Ops that a stock TensorFlow Serving binary runs: core TensorFlow's, and TF-Text's few.

An allow-list, because an op that a server lacks is noticed only when it loads the model. Python
functions, Flex delegates and the kernels of other packages are what it keeps out.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["STOCK_OPS", "foreign_ops"]

_STRUCTURE = """
    Const Placeholder PlaceholderWithDefault Identity IdentityN NoOp PartitionedCall
    StatefulPartitionedCall If StatelessIf While StatelessWhile Case StatelessCase Assert Print
    VarHandleOp ReadVariableOp AssignVariableOp VarIsInitializedOp ResourceGather
    HashTableV2 LookupTableFindV2 LookupTableImportV2 LookupTableSizeV2 LookupTableExportV2
    MergeV2Checkpoints RestoreV2 SaveV2 ShardedFilename StaticRegexFullMatch Select SelectV2
    StringJoin DisableCopyOnRead StopGradient PreventGradient
"""
_SHAPES = """
    Shape ShapeN Size Rank Reshape ExpandDims Squeeze Pack Unpack ConcatV2 Split SplitV Slice
    StridedSlice Tile Transpose Pad PadV2 Fill ZerosLike OnesLike BroadcastTo BroadcastArgs
    BroadcastGradientArgs Range InvertPermutation EnsureShape Cast Bitcast
"""
_LOOKUPS = """
    Gather GatherV2 GatherNd ScatterNd TensorScatterUpdate TensorScatterAdd Where Unique UniqueV2
    UniqueWithCounts TopKV2 ArgMax ArgMin SegmentSum UnsortedSegmentSum UnsortedSegmentMin
    UnsortedSegmentMax SparseToDense OneHot Bincount DenseBincount Cumsum SearchSorted LowerBound
    UpperBound TensorListReserve TensorListFromTensor TensorListGetItem TensorListSetItem
    TensorListStack RaggedRange RaggedGather RaggedTensorToTensor RaggedTensorToVariant
"""
_MATHEMATICS = """
    MatMul BatchMatMul BatchMatMulV2 BatchMatMulV3 Einsum BiasAdd Add AddV2 AddN Sub Mul Div RealDiv
    FloorDiv FloorMod Mod Neg Abs Sign Square SquaredDifference Sqrt Rsqrt Reciprocal Pow Exp Log
    Log1p Expm1 Erf Erfc Tanh Sigmoid Softplus Relu Relu6 Elu LeakyRelu Softmax LogSoftmax Maximum
    Minimum ClipByValue Sum Mean Prod Max Min All Any Equal NotEqual Less LessEqual Greater
    GreaterEqual LogicalAnd LogicalOr LogicalNot IsInf IsNan IsFinite FusedBatchNormV3 L2Loss
"""
_STRINGS = """
    UnicodeTranscode UnicodeDecode UnicodeEncode StaticRegexReplace RegexReplace StringLower
    StringUpper StringStrip StringLength Substr StringFormat AsString StringToHashBucketFast
    StringSplitV2 ReduceJoin
"""
# In tensorflow_model_server since TF-Text joined it; trimming and padding ops are kept out, since
# some of its images lacked them.
_TF_TEXT = """
    NormalizeUTF8 FastWordpieceTokenizeWithOffsets TFText>FastWordpieceTokenizeWithOffsets
    FastBertNormalize
"""

STOCK_OPS: frozenset[str] = frozenset(
    " ".join([_STRUCTURE, _SHAPES, _LOOKUPS, _MATHEMATICS, _STRINGS, _TF_TEXT]).split()
)


def foreign_ops(ops: Iterable[str]) -> list[str]:
    """Those of `ops` that a stock server may not have."""
    return sorted(set(ops) - STOCK_OPS)
