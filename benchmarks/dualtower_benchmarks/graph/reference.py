"""The other side of `bench graph`: the same BERT in ONNX Runtime, float32. See `peer`.

Runs under a Python that has onnx and onnxruntime, which are no dependencies of ours; it imports
nothing of dualtower. The graph is written with standard operators, LayerNormalization and Gelu
among them, and ONNX Runtime optimises it as far as it does by itself.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np

_OPSET = 20  # the first with Gelu
_IR_VERSION = 9


def main() -> None:
    """Reads the job, then runs the graph as it is asked to."""
    job = json.loads(sys.stdin.readline())
    import onnxruntime  # type: ignore[import-not-found]

    with np.load(job["inputs"]) as arrays:
        inputs = {name: arrays[name] for name in arrays}
    with np.load(job["weights"]) as arrays:
        model = OnnxBert(job["bert"], {name: arrays[name] for name in arrays}).model()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = job["threads"]
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

    def call(name: str) -> Any:
        feeds = {"ids": inputs[f"{name}/ids"], "mask": inputs[f"{name}/mask"]}
        return session.run(["pooled"], feeds)[0]

    for name in job["order"]:
        for _ in range(3):
            call(name)
    check = call("check")
    version = onnxruntime.__version__
    _answer({"ready": f"onnxruntime {version}", "file_bytes": 0, "check": check.tolist()})
    for line in sys.stdin:
        asked = json.loads(line)
        wall, cpu = [], []
        for _ in range(asked["calls"]):
            cpu_ns, wall_ns = time.process_time_ns(), time.perf_counter_ns()
            call(asked["input"])
            wall.append((time.perf_counter_ns() - wall_ns) / 1e9)
            cpu.append((time.process_time_ns() - cpu_ns) / 1e9)
        _answer({"wall_s": wall, "cpu_s": cpu})


class OnnxBert:
    """Writes the graph node by node; `drivers.onnxruntime_driver` has it, too."""

    def __init__(self, sizes: dict[str, Any], tensors: dict[str, np.ndarray]) -> None:
        self._sizes, self._tensors = sizes, tensors
        self._nodes: list[Any] = []
        self._held: dict[str, Any] = {}

    def model(self) -> Any:
        """ids, mask int32 [batch, tokens] -> pooled float32 [batch, hidden]."""
        from onnx import TensorProto, helper  # type: ignore[import-not-found]

        sizes = self._sizes
        segment = self._tensors["embeddings.token_type_embeddings.weight"][0]
        places = self._tensors["embeddings.position_embeddings.weight"] + segment
        tokens = self._op("Gather", self._op("Shape", "ids"), self._ints(1))
        x = self._op("Gather", self._weight("embeddings.word_embeddings.weight"), "ids")
        cut = self._op("Slice", self._hold("places", places), self._ints(0), tokens, self._ints(0))
        x = self._norm(self._op("Add", x, cut), "embeddings.LayerNorm")
        real = self._op("Cast", "mask", to=TensorProto.FLOAT)
        absent = self._op("Sub", self._float("one", 1.0), real)
        bias = self._op("Mul", absent, self._float("mask_bias", sizes["mask_bias"]))
        bias = self._op("Unsqueeze", bias, self._ints(1, 2))
        for index in range(sizes["layers"]):
            x = self._layer(x, bias, f"encoder.layer.{index}")
        weights = self._op("Unsqueeze", real, self._ints(2))
        total = self._op("ReduceSum", self._op("Mul", x, weights), self._ints(1), keepdims=0)
        count = self._op("ReduceSum", weights, self._ints(1), keepdims=0)
        count = self._op("Max", count, self._float("one", 1.0))
        self._nodes.append(helper.make_node("Div", [total, count], ["pooled"]))
        graph = helper.make_graph(
            self._nodes,
            "bert",
            [
                helper.make_tensor_value_info(name, TensorProto.INT32, ["batch", "tokens"])
                for name in ("ids", "mask")
            ],
            [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, ["batch", None])],
            list(self._held.values()),
        )
        opset = helper.make_opsetid("", _OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)

    def _layer(self, x: str, bias: str, at: str) -> str:
        heads, size = self._sizes["heads"], self._sizes["head_size"]
        parts = []
        for part, order in (
            ("query", [0, 2, 1, 3]),
            ("key", [0, 2, 3, 1]),
            ("value", [0, 2, 1, 3]),
        ):
            wide = self._dense(x, f"{at}.attention.self.{part}")
            apart = self._op("Reshape", wide, self._ints(0, 0, heads, size))
            parts.append(self._op("Transpose", apart, perm=order))
        scores = self._op("MatMul", parts[0], parts[1])
        scores = self._op("Mul", scores, self._float("scale", size**-0.5))
        shares = self._op("Softmax", self._op("Add", scores, bias), axis=-1)
        mixed = self._op("Transpose", self._op("MatMul", shares, parts[2]), perm=[0, 2, 1, 3])
        mixed = self._op("Reshape", mixed, self._ints(0, 0, heads * size))
        mixed = self._op("Add", self._dense(mixed, f"{at}.attention.output.dense"), x)
        x = self._norm(mixed, f"{at}.attention.output.LayerNorm")
        inner = self._dense(x, f"{at}.intermediate.dense")
        inner = self._op("Gelu", inner, approximate=self._sizes["gelu"])
        outer = self._op("Add", self._dense(inner, f"{at}.output.dense"), x)
        return self._norm(outer, f"{at}.output.LayerNorm")

    def _dense(self, x: str, name: str) -> str:
        matrix = self._hold(f"{name}.matrix", self._tensors[f"{name}.weight"].T)
        return self._op("Add", self._op("MatMul", x, matrix), self._weight(f"{name}.bias"))

    def _norm(self, x: str, name: str) -> str:
        gamma, beta = self._weight(f"{name}.weight"), self._weight(f"{name}.bias")
        epsilon = self._sizes["epsilon"]
        return self._op("LayerNormalization", x, gamma, beta, axis=-1, epsilon=epsilon)

    def _op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        from onnx import helper

        output = f"node_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def _weight(self, name: str) -> str:
        return self._hold(name, self._tensors[name])

    def _ints(self, *values: int) -> str:
        return self._hold(f"ints_{'_'.join(map(str, values))}", np.array(values, np.int64))

    def _float(self, name: str, value: float) -> str:
        return self._hold(name, np.array(value, np.float32))

    def _hold(self, name: str, value: np.ndarray) -> str:
        from onnx import numpy_helper

        if name not in self._held:
            self._held[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
