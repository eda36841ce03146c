"""FLOPs and bytes of one run of a TFLite file, out of the shapes that it holds: they are fixed.

Quantised products count like others: a multiply-add is two operations, whatever its numbers are.
What is fused into one (an activation) is not seen. The models of the cache are those of
`graph_count`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flatbuffers.table import Table

from dualtower.edge.flatbuffer import fields_of, root_of, tables_at
from dualtower_benchmarks.roofline.graph_count import GraphCount
from dualtower_benchmarks.roofline.op_cost import Flops, flops_of

__all__ = ["count_tflite"]

# fields by their number in the schema, see `dualtower.edge.flatbuffer`
_CODES, _SUBGRAPHS, _BUFFERS = 1, 2, 4
_TENSORS, _INPUTS, _OUTPUTS, _OPERATORS = 0, 1, 2, 3
_SHAPE, _TYPE, _BUFFER = 0, 1, 2
_OLD_CODE, _CODE = 0, 3
_OP_CODE, _OP_INPUTS, _OP_OUTPUTS = 0, 1, 2
_DATA, _OFFSET = 0, 1
# of a number, by the type's number in the schema
_ITEM_BYTES = {
    0: 4.0, 1: 2.0, 2: 4.0, 3: 1.0, 4: 8.0, 6: 1.0, 7: 2.0, 9: 1.0, 10: 8.0, 12: 8.0, 15: 4.0,
    16: 2.0, 17: 0.5, 18: 2.0, 19: 0.25, 20: 0.5,
}  # fmt: skip
_FLOATS = (0, 1, 10, 18)
_QUANTISED = (9, 7)  # int8 and int16 stand for real numbers where an op computes
# what has the same rule in TensorFlow
_AS_IN_TENSORFLOW = {
    "ADD": "Add", "MUL": "Mul", "SUB": "Sub", "DIV": "RealDiv", "SOFTMAX": "Softmax",
    "MEAN": "Mean", "SUM": "Sum", "RSQRT": "Rsqrt", "SQRT": "Sqrt", "SQUARE": "Square",
    "TANH": "Tanh", "LOGISTIC": "Sigmoid", "RELU": "Relu", "RELU6": "Relu6", "EXP": "Exp",
    "NEG": "Neg", "MAXIMUM": "Maximum", "MINIMUM": "Minimum", "REDUCE_MAX": "Max",
    "REDUCE_MIN": "Min", "SQUARED_DIFFERENCE": "SquaredDifference", "ABS": "Abs", "GELU": "Gelu",
    "POW": "Pow", "LOG": "Log", "TOPK_V2": "TopKV2", "CUMSUM": "Cumsum",
    "L2_NORMALIZATION": "L2Loss", "EQUAL": "Equal", "NOT_EQUAL": "NotEqual",
    "GREATER": "Greater", "GREATER_EQUAL": "GreaterEqual", "LESS": "Less",
    "LESS_EQUAL": "LessEqual", "FLOOR_DIV": "FloorDiv", "FLOOR_MOD": "FloorMod", "FLOOR": "Floor",
    "ROUND": "Round", "ADD_N": "AddN", "BATCH_MATMUL": "BatchMatMulV2",
}  # fmt: skip
_RESHAPES = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS", "SHAPE"})
_READS_SOME = frozenset({"GATHER", "GATHER_ND", "SLICE", "STRIDED_SLICE", "EMBEDDING_LOOKUP"})
_MOVES = frozenset(
    {
        "CONCATENATION", "PAD", "PADV2", "TRANSPOSE", "CAST", "PACK", "UNPACK", "SPLIT", "SPLIT_V",
        "SELECT", "SELECT_V2", "TILE", "FILL", "ZEROS_LIKE", "RANGE", "WHERE", "BROADCAST_TO",
        "SCATTER_ND", "QUANTIZE", "DEQUANTIZE", "LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT",
        "ONE_HOT", "REVERSE_V2", "ARG_MAX", "ARG_MIN",
    }
)  # fmt: skip


@dataclass(frozen=True)
class _Tensor:
    shape: tuple[int, ...]
    type: int
    weight: bool

    @property
    def size_bytes(self) -> float:
        return math.prod(self.shape) * _ITEM_BYTES.get(self.type, 0.0)


def count_tflite(path: Path, *, rows: int = 1) -> GraphCount:
    """One run of the first graph of a file.

    Args:
        rows: of the batch that its inputs are made for.
    """
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    names = {value: name for name, value in vars(BuiltinOperator).items()}
    content = path.read_bytes()
    model = root_of(content)
    ops = [names.get(_code(table), "unknown") for table in tables_at(model, _CODES)]
    graph = tables_at(model, _SUBGRAPHS)[0]
    filled = [_filled(table) for table in tables_at(model, _BUFFERS)]
    tensors = [_tensor(table, filled) for table in tables_at(graph, _TENSORS)]
    edges = [*_numbers(graph, _INPUTS), *_numbers(graph, _OUTPUTS)]
    total = GraphCount(
        rows=rows, edge_bytes=round(sum(tensors[place].size_bytes for place in edges))
    )
    weights: dict[int, float] = {}
    missing: set[str] = set()
    activations = 0.0
    for table in tables_at(graph, _OPERATORS):
        op = ops[_number(table, _OP_CODE)]
        places = [place for place in _numbers(table, _OP_INPUTS) if place >= 0]  # -1: left out
        outputs = [tensors[place] for place in _numbers(table, _OP_OUTPUTS)]
        inputs = [tensors[place] for place in places]
        if op in _RESHAPES or not outputs:
            continue
        flops = _flops(op, inputs, outputs[0])
        total.product_flops += flops.product
        total.other_flops += flops.other
        if flops.product or flops.other:
            total.flops_by_op[op] += flops.product + flops.other
        if not flops.known:
            missing.add(op)
        activations += sum(tensor.size_bytes for tensor in outputs)
        for order, (place, tensor) in enumerate(zip(places, inputs, strict=True)):
            size_bytes = tensor.size_bytes
            if op in _READS_SOME and order == 0:
                size_bytes = min(size_bytes, outputs[0].size_bytes)
            if tensor.weight:
                weights[place] = max(weights.get(place, 0.0), size_bytes)
            else:
                activations += size_bytes
    total.weight_bytes, total.activation_bytes = round(sum(weights.values())), round(activations)
    total.not_counted = frozenset(missing)
    return total


def _flops(op: str, inputs: Sequence[_Tensor], output: _Tensor) -> Flops:
    count = math.prod(output.shape)
    if op == "FULLY_CONNECTED":  # weights [units, inner]; a bias of one a number
        inner = inputs[1].shape[-1]
        return Flops(product=2 * count * inner, other=count if len(inputs) > 2 else 0)
    if op == "CONV_2D":  # filters [units, height, width, channels]
        return Flops(product=2 * count * math.prod(inputs[1].shape[1:]))
    if op == "DEPTHWISE_CONV_2D":  # filters [1, height, width, channels]
        return Flops(product=2 * count * math.prod(inputs[1].shape[1:3]))
    if op in _AS_IN_TENSORFLOW:
        real = any(tensor.type in (*_FLOATS, *_QUANTISED) for tensor in (*inputs, output))
        shapes = [tensor.shape for tensor in inputs]
        return flops_of(_AS_IN_TENSORFLOW[op], shapes, output.shape, floating=real)
    return Flops(known=op in _READS_SOME or op in _MOVES or output.type not in _FLOATS)


def _code(table: Table) -> int:
    """Newer files have their code in a wider field; the old one ends at 127."""
    fields = fields_of(table)
    old = table.Bytes[fields[_OLD_CODE]] if _OLD_CODE in fields else 0
    return max(old, _number(table, _CODE))


def _filled(table: Table) -> bool:
    """Whether a buffer holds numbers, here or behind the flatbuffer."""
    return bool(_numbers_count(table, _DATA)) or _OFFSET in fields_of(table)


def _tensor(table: Table, filled: Sequence[bool]) -> _Tensor:
    fields = fields_of(table)
    kind = table.Bytes[fields[_TYPE]] if _TYPE in fields else 0
    return _Tensor(tuple(_numbers(table, _SHAPE)), kind, filled[_number(table, _BUFFER)])


def _number(table: Table, field: int) -> int:
    where = fields_of(table).get(field)
    return 0 if where is None else int(struct.unpack_from("<I", table.Bytes, where)[0])


def _numbers(table: Table, field: int) -> list[int]:
    """A vector of int32; none where it is absent."""
    where = fields_of(table).get(field)
    if where is None:
        return []
    start = where + struct.unpack_from("<I", table.Bytes, where)[0]
    count = struct.unpack_from("<I", table.Bytes, start)[0]
    return list(struct.unpack_from(f"<{count}i", table.Bytes, start + 4))


def _numbers_count(table: Table, field: int) -> int:
    where = fields_of(table).get(field)
    if where is None:
        return 0
    start = where + struct.unpack_from("<I", table.Bytes, where)[0]
    return int(struct.unpack_from("<I", table.Bytes, start)[0])
