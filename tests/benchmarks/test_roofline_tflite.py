"""The count of a TFLite file: a small one by hand, whose ops the public schema names."""

from __future__ import annotations

from pathlib import Path

import flatbuffers
import numpy as np
import pytest

from dualtower_benchmarks.roofline import tflite_count
from dualtower_benchmarks.roofline.tflite_count import count_tflite

schema = pytest.importorskip("ai_edge_litert.schema_py_generated")

FLOAT32, INT8 = 0, 9


def tensor(shape: list[int], buffer: int, kind: int = FLOAT32) -> object:
    made = schema.TensorT()
    made.shape, made.buffer, made.type = np.array(shape, np.int32), buffer, kind
    made.name = f"tensor {shape}".encode()
    return made


def operator(code: int, inputs: list[int], outputs: list[int]) -> object:
    made = schema.OperatorT()
    made.opcodeIndex = code
    made.inputs, made.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
    return made


def write(path: Path, kind: int) -> Path:
    """x [5, 8] by weights [3, 8] plus bias, softmax, a gather of 2 rows, an op without a rule."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version = 3
    empty, weights, bias, rows = (schema.BufferT() for _ in range(4))
    size = 1 if kind == INT8 else 4
    weights.data = np.ones(24 * size, np.uint8)
    bias.data, rows.data = np.ones(12, np.uint8), np.ones(8, np.uint8)
    model.buffers = [empty, weights, bias, rows]
    operators = schema.BuiltinOperator
    model.operatorCodes = []
    for code in (operators.FULLY_CONNECTED, operators.SOFTMAX, operators.GATHER, operators.LSTM):
        made = schema.OperatorCodeT()
        made.builtinCode, made.deprecatedBuiltinCode = code, min(code, 127)
        model.operatorCodes.append(made)
    graph.tensors = [
        tensor([5, 8], 0, kind), tensor([3, 8], 1, kind), tensor([3], 2), tensor([5, 3], 0),
        tensor([5, 3], 0), tensor([2], 3), tensor([2, 3], 0), tensor([2, 3], 0),
    ]  # fmt: skip
    graph.operators = [
        operator(0, [0, 1, 2], [3]),
        operator(1, [3], [4]),
        operator(2, [4, 5], [6]),
        operator(3, [6, -1], [7]),
    ]
    graph.inputs, graph.outputs = np.array([0], np.int32), np.array([7], np.int32)
    model.subgraphs = [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def test_a_file_counted_by_hand(tmp_path: Path) -> None:
    count = count_tflite(write(tmp_path / "m.tflite", FLOAT32), rows=5).as_json()
    assert count["flops_by_op_per_row"] == {"FULLY_CONNECTED": 2 * 8 * 3 + 3, "SOFTMAX": 5 * 3}
    assert count["not_counted"] == ["LSTM"]
    assert count["weight_bytes_per_call"] == 24 * 4 + 3 * 4 + 2 * 4
    # x and y of the product; y twice for softmax; 2 of 5 rows in and out; the last op's in and out
    moved = (40 + 15) + (15 + 15) + (6 + 6) + (6 + 6)
    assert count["bytes_per_row"] * 5 == moved * 4 + 116
    assert count["least_bytes_per_row"] * 5 == (40 + 6) * 4 + 116


def test_int8_weights_take_a_quarter_and_as_many_operations(tmp_path: Path) -> None:
    count = count_tflite(write(tmp_path / "m.tflite", INT8), rows=5).as_json()
    assert count["flops_by_op_per_row"]["FULLY_CONNECTED"] == 2 * 8 * 3 + 3
    assert count["weight_bytes_per_call"] == 24 + 3 * 4 + 2 * 4


def test_every_op_that_has_a_rule_is_one_of_the_schema() -> None:
    known = vars(schema.BuiltinOperator)
    for names in (
        tflite_count._AS_IN_TENSORFLOW,
        tflite_count._RESHAPES,
        tflite_count._READS_SOME,
        tflite_count._MOVES,
    ):
        assert set(names) <= set(known)
    kinds = {value: name for name, value in vars(schema.TensorType).items()}
    assert [kinds[kind] for kind in tflite_count._FLOATS] == [
        "FLOAT32",
        "FLOAT16",
        "FLOAT64",
        "BFLOAT16",
    ]
