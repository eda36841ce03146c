"""Batching in `dualtower-model-server`: its files, and calls of several clients."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import grpc
import numpy as np
import pytest
import tensorflow as tf

from dualtower_clients import RequestError, ServingClient, decode, encode
from dualtower_clients.proto import inference_pb2

NEVER_ALONE = "batch_timeout_micros { value: 3600000000 } "


class Probe(tf.Module):
    """Tells how many rows its run saw."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")], autograph=False)
    def serve(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x * 2.0, "rows": tf.fill(tf.shape(x), tf.size(x))}


@pytest.fixture
def models(tmp_path) -> Path:
    """`batched` has a file of its own, `plain` has none."""
    probe = Probe()
    for name in ("batched", "plain"):
        tf.saved_model.save(
            probe, str(tmp_path / name / "1"), signatures={"serving_default": probe.serve}
        )
    (tmp_path / "models.config").write_text(
        "model_config_list {"
        + "".join(
            f'config {{ name: "{name}" base_path: "{tmp_path}/{name}" '
            'model_platform: "tensorflow" }'
            for name in ("batched", "plain")
        )
        + "}"
    )
    return tmp_path


def test_one_model_is_batched_by_its_own_file_and_the_other_is_not(model_server, models):
    (models / "batched/1/batching_params.pbtxt").write_text(
        NEVER_ALONE + "max_batch_size { value: 3 }"
    )
    (models / "batching.txt").write_text("num_batch_threads { value: 1 }")
    server = model_server(
        f"--model_config_file={models}/models.config",
        "--enable_batching",
        f"--batching_parameters_file={models}/batching.txt",
        "--enable_per_model_batching_parameters",
    )
    server.wait_ready("batched", "plain")
    with ServingClient(server.address) as client, ThreadPoolExecutor(4) as pool:

        def call(model: str, x: list[float]) -> tuple[list[float], list[int]]:
            outputs = client.predict(model, {"x": np.array(x, np.float32)}, timeout_s=60).outputs
            return outputs["y"].tolist(), outputs["rows"].tolist()

        calls = [pool.submit(call, "batched", [x]) for x in (1, 2, 3)]
        assert [one.result() for one in calls] == [([2], [3]), ([4], [3]), ([6], [3])]
        assert call("plain", [1, 2]) == ([2, 4], [2, 2])
        assert call("batched", []) == ([], [])
        with pytest.raises(RequestError, match="larger than maximum input batch size 3"):
            call("batched", [1, 2, 3, 4])

    with grpc.insecure_channel(server.address) as channel:
        predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        waiting = predict.future(request("batched", [7]), timeout=60)  # its batch never fills
        predict(request("plain", [1]), timeout=60)  # the same connection: the other has come, too
        assert server.stop() == 0
        answer = inference_pb2.PredictResponse.FromString(waiting.result())
        assert decode(answer.outputs["y"]).tolist() == [14]


def request(model: str, x: list[float]) -> bytes:
    message = inference_pb2.PredictRequest()
    message.model_spec.name = model
    message.inputs["x"].CopyFrom(encode(np.array(x, np.float32)))
    return message.SerializeToString()
