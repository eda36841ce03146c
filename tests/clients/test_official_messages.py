"""Messages that a caller has from TensorFlow are taken as they are, and their bytes too."""

from __future__ import annotations

import numpy as np
import pytest
from tensorflow.core.example import example_pb2, feature_pb2
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import classification_pb2, predict_pb2
from tensorflow_serving.config import model_server_config_pb2

from dualtower_clients import ModelNotFound, TensorSpec, _examples, _requests, encode
from dualtower_clients.proto import management_pb2
from dualtower_clients.testing import FakeSignature


def official_example(**values: float) -> example_pb2.Example:
    return example_pb2.Example(
        features=feature_pb2.Features(
            feature={
                name: feature_pb2.Feature(float_list=feature_pb2.FloatList(value=[value]))
                for name, value in values.items()
            }
        )
    )


def official_tensor() -> tensor_pb2.TensorProto:
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_BFLOAT16, half_val=[0x3FC0, 0xC000])
    tensor.tensor_shape.dim.add(size=2)
    return tensor


@pytest.mark.parametrize("tensor", [encode([1.5, -2.0], dtype="bfloat16"), official_tensor()])
def test_a_tensor_travels_with_its_dtype(server, client_of, tensor):
    one = server()
    wanted = {"v": TensorSpec("bfloat16", (-1,))}
    one.add_model("echo", FakeSignature(lambda inputs: inputs, wanted, wanted))
    found = client_of(one.address).predict("echo", {"v": tensor}).outputs["v"]
    assert found.astype(np.float32).tolist() == [1.5, -2.0]


def test_tensorflow_reads_a_tensor_beside_an_array():
    spec = _requests.model_spec("m")
    raw = _requests.predict(spec, {"v": official_tensor(), "x": np.float32([1])}, [])
    request = predict_pb2.PredictRequest.FromString(raw)
    assert request.inputs["v"] == official_tensor()
    assert request.inputs["x"].dtype == types_pb2.DT_FLOAT


def test_an_example_is_sent_as_it_is():
    example = official_example(x=0.5)
    given = [example, example.SerializeToString(), {"x": 0.5}, bytearray(b"")]
    raw = _examples.classification(_requests.model_spec("m"), given, official_example(w=2.0))
    found = classification_pb2.ClassificationRequest.FromString(raw).input
    sent = found.example_list_with_context
    assert list(sent.examples) == [example, example, example, example_pb2.Example()]
    assert sent.context == official_example(w=2.0)


def test_examples_of_tensorflow_are_answered(server, client_of):
    one = server()
    one.add_model("m", lambda inputs: {"outputs": [row["x"][0] for row in inputs["examples"]]})
    found = client_of(one.address).regress(
        "m", [official_example(x=0.5), official_example(x=4.0).SerializeToString()]
    )
    assert found.values.tolist() == [0.5, 4.0]


def test_a_server_is_configured_by_any_of_the_three_forms(server, client_of):
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name="m", base_path="/models/m")
    raw = config.SerializeToString()
    for given in (config, raw, management_pb2.ModelServerConfig.FromString(raw)):
        one = server()
        one.add_model("other", {})
        client = client_of(one.address)
        client.reload(given)
        assert client.status("m")[0].state == "AVAILABLE"
        with pytest.raises(ModelNotFound):
            client.predict("other", {})
