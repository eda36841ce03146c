"""Every message of the clients through the official types and back: nothing lost, nothing added.

Both sides are filled at random by their own descriptors, so fields that only the official types
have are in it too: a message of ours carries them along.
"""

from __future__ import annotations

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2 as official_tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)
from tensorflow_serving.apis import (
    inference_pb2 as official_inference_pb2,
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

PAIRS = [
    (tensor_pb2.TensorProto, official_tensor_pb2.TensorProto),
    (inference_pb2.PredictRequest, predict_pb2.PredictRequest),
    (inference_pb2.PredictResponse, predict_pb2.PredictResponse),
    (examples_pb2.ClassificationRequest, classification_pb2.ClassificationRequest),
    (examples_pb2.ClassificationResponse, classification_pb2.ClassificationResponse),
    (examples_pb2.RegressionRequest, regression_pb2.RegressionRequest),
    (examples_pb2.RegressionResponse, regression_pb2.RegressionResponse),
    (examples_pb2.MultiInferenceRequest, official_inference_pb2.MultiInferenceRequest),
    (examples_pb2.MultiInferenceResponse, official_inference_pb2.MultiInferenceResponse),
    (inference_pb2.GetModelMetadataRequest, get_model_metadata_pb2.GetModelMetadataRequest),
    (inference_pb2.GetModelMetadataResponse, get_model_metadata_pb2.GetModelMetadataResponse),
    (signature_pb2.SignatureDefMap, get_model_metadata_pb2.SignatureDefMap),
    (signature_pb2.SignatureDef, meta_graph_pb2.SignatureDef),
    (management_pb2.GetModelStatusRequest, get_model_status_pb2.GetModelStatusRequest),
    (management_pb2.GetModelStatusResponse, get_model_status_pb2.GetModelStatusResponse),
    (management_pb2.ReloadConfigRequest, model_management_pb2.ReloadConfigRequest),
    (management_pb2.ReloadConfigResponse, model_management_pb2.ReloadConfigResponse),
    (prediction_log_pb2.PredictionLog, official_log_pb2.PredictionLog),
]
each_pair = pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=[a.__name__ for a, _ in PAIRS])

_F = FieldDescriptor
SCALARS = {
    _F.CPPTYPE_INT32: st.integers(-(1 << 31), (1 << 31) - 1),
    _F.CPPTYPE_INT64: st.integers(-(1 << 63), (1 << 63) - 1),
    _F.CPPTYPE_UINT32: st.integers(0, (1 << 32) - 1),
    _F.CPPTYPE_UINT64: st.integers(0, (1 << 64) - 1),
    _F.CPPTYPE_FLOAT: st.floats(width=32, allow_nan=False),
    _F.CPPTYPE_DOUBLE: st.floats(allow_nan=False),
    _F.CPPTYPE_BOOL: st.booleans(),
}
DEPTH = 5


def scalars(field: FieldDescriptor) -> st.SearchStrategy:
    if field.cpp_type == _F.CPPTYPE_STRING:
        return st.text(max_size=4) if field.type == _F.TYPE_STRING else st.binary(max_size=4)
    if field.cpp_type == _F.CPPTYPE_ENUM:  # an open set: a newer server's value is kept too
        return st.sampled_from([*(value.number for value in field.enum_type.values), 77])
    return SCALARS[field.cpp_type]


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


@st.composite
def filled(draw, kind: type[Message]) -> Message:
    """A message with a few of its fields set, and theirs, as deep as that goes."""
    message = kind()
    fill(draw, message, message.DESCRIPTOR, DEPTH)
    return message


def fill(draw, message: Message, descriptor: Descriptor, depth: int) -> None:
    if depth == 0:
        message.SetInParent()
        return
    fields = {field.name: field for field in descriptor.fields}
    names = st.lists(st.sampled_from(sorted(fields)), unique=True, max_size=4)
    for name in draw(names) if fields else []:
        field = fields[name]
        if is_map(field):
            fill_map(draw, getattr(message, field.name), field, depth)
        elif field.message_type is not None and field.is_repeated:
            for _ in range(draw(st.integers(1, 2))):
                fill(draw, getattr(message, field.name).add(), field.message_type, depth - 1)
        elif field.message_type is not None:
            getattr(message, field.name).SetInParent()
            fill(draw, getattr(message, field.name), field.message_type, depth - 1)
        elif field.is_repeated:
            values = draw(st.lists(scalars(field), min_size=1, max_size=3))
            getattr(message, field.name).extend(values)
        else:
            setattr(message, field.name, draw(scalars(field)))


def fill_map(draw, container, field: FieldDescriptor, depth: int) -> None:
    value = field.message_type.fields_by_name["value"]
    for key in draw(st.lists(scalars(field.message_type.fields_by_name["key"]), max_size=2)):
        if value.message_type is None:
            container[key] = draw(scalars(value))
        else:
            fill(draw, container[key], value.message_type, depth - 1)


def deterministic(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


random_messages = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@each_pair
@random_messages
@given(data=st.data())
def test_what_we_send_is_what_they_read(ours, theirs, data):
    sent = data.draw(filled(ours))
    read = theirs.FromString(sent.SerializeToString())
    assert deterministic(read) == deterministic(sent)
    assert ours.FromString(read.SerializeToString()) == sent


@each_pair
@random_messages
@given(data=st.data())
def test_what_they_send_comes_back_whole_with_the_fields_that_we_do_not_know(ours, theirs, data):
    sent = data.draw(filled(theirs))
    read = ours.FromString(sent.SerializeToString())
    assert theirs.FromString(read.SerializeToString()) == sent
