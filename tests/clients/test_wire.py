"""Our messages and TensorFlow Serving's are the same bytes, and live in one process."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)
from tensorflow_serving.apis import (
    prediction_log_pb2 as official_log_pb2,
)

from dualtower_clients.proto import (
    examples_pb2,
    inference_pb2,
    management_pb2,
    prediction_log_pb2,
    signature_pb2,
    tensor_pb2,
)

OFFICIAL = {
    "TensorProto": "tensorflow.TensorProto",
    "TensorShapeProto": "tensorflow.TensorShapeProto",
    "TensorShapeProto.Dim": "tensorflow.TensorShapeProto.Dim",
    "TensorInfo": "tensorflow.TensorInfo",
    "SignatureDef": "tensorflow.SignatureDef",
    **{
        name: f"tensorflow.{name}"
        for name in ("BytesList", "FloatList", "Int64List", "Feature", "Features", "Example")
    },
    "ServableVersionPolicy": "tensorflow.serving.FileSystemStoragePathSourceConfig."
    "ServableVersionPolicy",
}
OPAQUE = {"OpaqueLog", "LoggingConfig"}
OURS = (
    tensor_pb2, signature_pb2, inference_pb2, management_pb2, examples_pb2, prediction_log_pb2,
)  # fmt: skip


def messages():
    def below(descriptor):
        yield descriptor
        for nested in descriptor.nested_types:
            yield from below(nested)

    for module in OURS:
        for message in module.DESCRIPTOR.message_types_by_name.values():
            yield from below(message)


def official_name(descriptor) -> str:
    own = descriptor.full_name.removeprefix("dualtower.wire.")
    for ours, theirs in OFFICIAL.items():
        if own == ours or own.startswith(ours + "."):
            return theirs + own[len(ours) :]
    return f"tensorflow.serving.{own}"


@pytest.mark.parametrize(
    "ours", [m for m in messages() if m.name not in OPAQUE], ids=lambda m: m.full_name
)
def test_every_field_has_the_official_number_and_type(ours):
    theirs = descriptor_pool.Default().FindMessageTypeByName(official_name(ours))
    for field in ours.fields:
        official = theirs.fields_by_number[field.number]
        assert field.name == official.name
        assert field.type == official.type
        assert field.is_repeated == official.is_repeated
        oneof = field.containing_oneof.name if field.containing_oneof else None
        assert oneof == (official.containing_oneof and official.containing_oneof.name)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (tensor_pb2.DataType, "tensorflow.DataType"),
        (management_pb2.Code, "tensorflow.error.Code"),
        (management_pb2.ModelVersionStatus.State, "tensorflow.serving.ModelVersionStatus.State"),
        (management_pb2.ModelType, "tensorflow.serving.ModelType"),
    ],
    ids=lambda value: value if isinstance(value, str) else "ours",
)
def test_every_enum_value_has_the_official_number(ours, theirs):
    official = descriptor_pool.Default().FindEnumTypeByName(theirs).values_by_name
    for name, number in ours.items():
        assert official[name].number == number


texts = st.text(max_size=8)
tensors = st.builds(
    tensor_pb2.TensorProto,
    dtype=st.sampled_from([1, 3, 7, 9, 19]),
    tensor_shape=st.builds(
        tensor_pb2.TensorShapeProto,
        dim=st.lists(st.builds(tensor_pb2.TensorShapeProto.Dim, size=st.integers(-1, 9))),
        unknown_rank=st.booleans(),
    ),
    tensor_content=st.binary(max_size=9),
    float_val=st.lists(st.floats(width=32, allow_nan=False), max_size=3),
    int_val=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=3),
    int64_val=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3),
    bool_val=st.lists(st.booleans(), max_size=3),
    string_val=st.lists(st.binary(max_size=5), max_size=3),
    uint64_val=st.lists(st.integers(0, 2**64 - 1), max_size=3),
)
specs = st.one_of(
    st.builds(
        inference_pb2.ModelSpec,
        name=texts,
        signature_name=texts,
        version=st.builds(lambda v: {"value": v}, st.integers(0, 9)),
    ),
    st.builds(inference_pb2.ModelSpec, name=texts, version_label=texts),
)
requests = st.builds(
    inference_pb2.PredictRequest,
    model_spec=specs,
    inputs=st.dictionaries(texts, tensors, max_size=3),
    output_filter=st.lists(texts, max_size=3),
)


def same(ours, official_type):
    """Through the official type and back, nothing is lost and nothing is added."""
    theirs = official_type.FromString(ours.SerializeToString())
    again = type(ours).FromString(theirs.SerializeToString())
    assert again == ours
    deterministic = [m.SerializeToString(deterministic=True) for m in (ours, theirs)]
    assert deterministic[0] == deterministic[1]


@settings(max_examples=60, deadline=None)
@given(requests)
def test_predict_requests_are_the_same_bytes(request):
    same(request, predict_pb2.PredictRequest)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(texts, tensors, max_size=3), specs)
def test_predict_responses_are_the_same_bytes(outputs, spec):
    response = inference_pb2.PredictResponse(outputs=outputs, model_spec=spec)
    same(response, predict_pb2.PredictResponse)


def test_metadata_is_unpacked_by_the_official_type():
    signatures = signature_pb2.SignatureDefMap()
    signature = signatures.signature_def["serving_default"]
    signature.inputs["x"].name = "x:0"
    signature.inputs["x"].dtype = tensor_pb2.DT_FLOAT
    signature.defaults["x"].float_val.append(2.5)
    response = inference_pb2.GetModelMetadataResponse()
    response.metadata[
        "signature_def"
    ].type_url = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
    response.metadata["signature_def"].value = signatures.SerializeToString()
    theirs = get_model_metadata_pb2.GetModelMetadataResponse.FromString(
        response.SerializeToString()
    )
    unpacked = get_model_metadata_pb2.SignatureDefMap()
    assert theirs.metadata["signature_def"].Unpack(unpacked)
    assert unpacked.signature_def["serving_default"].inputs["x"].name == "x:0"
    assert list(unpacked.signature_def["serving_default"].defaults["x"].float_val) == [2.5]


def test_status_reload_and_warmup_are_the_same_bytes():
    status = management_pb2.GetModelStatusResponse()
    one = status.model_version_status.add(version=3, state=management_pb2.ModelVersionStatus.END)
    one.status.error_code = management_pb2.NOT_FOUND
    one.status.error_message = "gone"
    same(status, get_model_status_pb2.GetModelStatusResponse)
    reload = management_pb2.ReloadConfigRequest(metric_names=["a"])
    model = reload.config.model_config_list.config.add(name="m", base_path="/m")
    model.model_version_policy.specific.versions.extend([1, 2])
    model.version_labels["stable"] = 1
    same(reload, model_management_pb2.ReloadConfigRequest)
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.name = "m"
    same(log, official_log_pb2.PredictionLog)


@pytest.mark.parametrize("tensorflow_first", [True, False])
def test_one_process_holds_both_in_either_order(tensorflow_first):
    theirs = (
        "import tensorflow as tf\n"
        "from tensorflow_serving.apis import predict_pb2, prediction_log_pb2\n"
    )
    ours = (
        "import dualtower_clients as clients\n"
        "from dualtower_clients.proto import prediction_log_pb2 as log_pb2, server_config_pb2\n"
    )
    code = (theirs + ours if tensorflow_first else ours + theirs) + (
        "raw = clients.encode([[1.5, 2.0]]).SerializeToString()\n"
        "official = tf.make_tensor_proto([[1.5, 2.0]], tf.float64)\n"
        "assert type(official).FromString(raw) == official\n"
        "assert clients.decode(official.SerializeToString()).tolist() == [[1.5, 2.0]]\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_generated_code_is_that_of_the_definitions(tmp_path):
    folder = Path(tensor_pb2.__file__).parent
    definitions = sorted(folder.glob("*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I", folder.parent.parent]
    compiled = tmp_path / "compiled"
    subprocess.run([*command, f"--descriptor_set_out={compiled}", *definitions], check=True)
    files = descriptor_pb2.FileDescriptorSet.FromString(compiled.read_bytes()).file
    assert {Path(file.name).name for file in files} == {path.name for path in definitions}
    for file in files:
        module = importlib.import_module(f"dualtower_clients.proto.{Path(file.name).stem}_pb2")
        loaded = descriptor_pb2.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb)
        clear_json_names(file.message_type)  # which generated code leaves out
        assert loaded == file, f"{file.name}: run `make protos`"


def clear_json_names(messages) -> None:
    for message in messages:
        clear_json_names(message.nested_type)
        for field in message.field:
            field.ClearField("json_name")


def test_the_generated_code_loads_on_the_oldest_protobuf():
    """Generated code may not be newer than the runtime; 6.31.1 is the oldest that is allowed."""
    for module in OURS:
        with open(module.__file__, encoding="utf-8") as stream:
            assert "# Protobuf Python Version: 6.31.1" in stream.read()
