"""The generated code and the codec on both major versions of protobuf, whichever is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import dualtower
import dualtower_clients

PROGRAM = Path(__file__).with_name("protobuf_runtime.py")
NAMES = [
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "float16", "float32", "float64", "complex64", "complex128",
]  # fmt: skip
SHAPES = [(), (1,), (0, 3), (2, 3), (60, 50)]


def values_of(proto, array: np.ndarray):
    """TensorFlow's own tensor with the elements in the list of its dtype."""
    field = {
        "bool": "bool_val", "int64": "int64_val", "uint32": "uint32_val", "uint64": "uint64_val",
        "float16": "half_val", "float32": "float_val", "float64": "double_val",
        "complex64": "scomplex_val", "complex128": "dcomplex_val",
    }.get(array.dtype.name, "int_val")  # fmt: skip
    parts = {"complex64": np.float32, "complex128": np.float64, "float16": np.uint16}
    flat = array.reshape(-1)
    proto = type(proto)(dtype=proto.dtype, tensor_shape=proto.tensor_shape)
    getattr(proto, field).extend(flat.view(parts.get(array.dtype.name, flat.dtype)).tolist())
    return proto


def content_of(proto, array: np.ndarray):
    if array.size:
        proto = type(proto)(dtype=proto.dtype, tensor_shape=proto.tensor_shape)
        proto.tensor_content = array.tobytes()
    return proto


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> Path:
    random, made = np.random.default_rng(0), []
    for name in NAMES:
        for shape in SHAPES:
            array = random.integers(0, 2 if name == "bool" else 100, shape).astype(name)
            proto = tf.make_tensor_proto(array)
            made.append(
                {
                    "dtype": name,
                    "shape": shape,
                    "data": array.tobytes().hex(),
                    "content": content_of(proto, array).SerializeToString().hex(),
                    "values": values_of(proto, array).SerializeToString().hex(),
                }
            )
    for shape in SHAPES:
        strings = [b"%d\0" % number for number in range(int(np.prod(shape)))]
        proto = tf.make_tensor_proto(np.array(strings, object).reshape(shape))
        raw = proto.SerializeToString().hex()
        texts = [text.hex() for text in strings]
        made.append(
            {"dtype": "string", "shape": shape, "strings": texts, "content": raw, "values": raw}
        )
    path = tmp_path_factory.mktemp("cases") / "cases.json"
    path.write_text(json.dumps(made))
    return path


def check(cases: Path, version: str, *first: Path) -> str:
    sources = [Path(module.__file__).parent.parent for module in (dualtower, dualtower_clients)]
    done = subprocess.run(
        [sys.executable, "-W", "error", PROGRAM, cases, version],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*first, *sources]))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_tensors_of_tensorflow_on_the_installed_protobuf(cases):
    import google.protobuf

    version = google.protobuf.__version__
    assert f"protobuf {version}" in check(cases, version.split(".")[0])


@pytest.mark.network
@pytest.mark.parametrize(
    ("version", "wanted"), [("6", "protobuf==6.31.1"), ("7", "protobuf>=7,<8")], ids=["6", "7"]
)
def test_tensors_of_tensorflow_on_each_protobuf(version, wanted, cases, tmp_path):
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", tmp_path, wanted]
    subprocess.run(pip, check=True, capture_output=True)
    assert f"protobuf {version}." in check(cases, version, tmp_path)
