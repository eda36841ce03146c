"""Reads and writes tensors that TensorFlow wrote, without it, on the protobuf that is installed.

    python protobuf_runtime.py CASES.json VERSION

A case is an array (dtype, shape, its bytes or its strings) and what TensorFlow made of it: the
serialised TensorProto with `tensor_content`, and the one with every value in its list.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import google.protobuf
import numpy as np

from dualtower_clients import _predict_bytes, decode, encode, encode_values
from dualtower_clients.codec import encode_bytes
from dualtower_clients.proto import (  # noqa: F401  each must load
    examples_pb2,
    management_pb2,
    prediction_log_pb2,
    server_config_pb2,
    signature_pb2,
)
from dualtower_clients.proto.inference_pb2 import ModelSpec, PredictRequest, PredictResponse
from dualtower_clients.proto.tensor_pb2 import TensorProto


def array_of(case: dict[str, Any]) -> np.ndarray:
    if case["dtype"] == "string":
        strings = [bytes.fromhex(text) for text in case["strings"]]
        array = np.empty(len(strings), object)
        array[:] = strings
        return array.reshape(case["shape"])
    return np.frombuffer(bytes.fromhex(case["data"]), case["dtype"]).reshape(case["shape"])


def check(case: dict[str, Any]) -> None:
    array = array_of(case)
    content, values = bytes.fromhex(case["content"]), bytes.fromhex(case["values"])
    for sent in (content, values, TensorProto.FromString(content), TensorProto.FromString(values)):
        found = decode(sent)
        assert (found.shape, found.dtype) == (array.shape, array.dtype), case["dtype"]
        np.testing.assert_array_equal(found, array)
    assert encode(array).SerializeToString() == encode_bytes(array) == content
    assert encode_values(array).SerializeToString() == values


def check_messages(arrays: dict[str, np.ndarray]) -> None:
    spec = ModelSpec(name="m", version={"value": 2})
    request = PredictRequest.FromString(_predict_bytes.write_request(spec, arrays, ["y"]))
    response = PredictResponse(model_spec=request.model_spec, outputs=request.inputs)
    found_spec, tensors = _predict_bytes.read_response(response.SerializeToString())
    assert found_spec == spec
    for alias, array in arrays.items():
        np.testing.assert_array_equal(decode(tensors[alias]), array)


def main() -> None:
    cases = json.loads(Path(sys.argv[1]).read_text())
    version = google.protobuf.__version__
    assert version.split(".")[0] == sys.argv[2], version
    for case in cases:
        check(case)
    check_messages({f"{number}": array_of(case) for number, case in enumerate(cases)})
    sys.modules["ml_dtypes"] = None  # type: ignore[assignment]  # as if it were not installed
    bfloat16 = decode(encode([1.5, -2.0], dtype="bfloat16"))
    assert bfloat16.dtype == np.float32
    assert bfloat16.tolist() == [1.5, -2.0]
    assert "tensorflow" not in sys.modules
    print(f"protobuf {version}, numpy {np.__version__}: {len(cases)} cases")


if __name__ == "__main__":
    main()
