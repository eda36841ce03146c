"""GetModelMetadata and GetModelStatus."""

from __future__ import annotations

from collections.abc import Sequence

from dualtower_clients.proto import inference_pb2, management_pb2, signature_pb2
from dualtower_serving.embedded.execution import LoadedModel
from dualtower_serving.embedded.model_versions import VersionState
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["check_metadata_fields", "metadata", "status"]

_FIELD = "signature_def"
_TYPE_URL = "type.googleapis.com/tensorflow.serving.SignatureDefMap"


def check_metadata_fields(fields: Sequence[str]) -> None:
    """Refuses what is no metadata; comes before the look-up of the model.

    Raises:
        StatusError: INVALID_ARGUMENT.
    """
    if not fields:
        raise StatusError(
            Code.INVALID_ARGUMENT,
            "GetModelMetadataRequest must specify at least one metadata_field",
        )
    for field in fields:
        if field != _FIELD:
            raise StatusError(Code.INVALID_ARGUMENT, f"Metadata field {field} is not supported")


def metadata(
    model: LoadedModel, version: int, request: inference_pb2.GetModelMetadataRequest
) -> inference_pb2.GetModelMetadataResponse:
    """All signatures of a version, under the type name that official clients unpack."""
    response = inference_pb2.GetModelMetadataResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.version.value = version
    signatures = signature_pb2.SignatureDefMap(signature_def=model.signatures)
    packed = response.metadata[_FIELD]
    packed.type_url = _TYPE_URL
    packed.value = signatures.SerializeToString()
    return response


def status(
    states: Sequence[VersionState], request: management_pb2.GetModelStatusRequest
) -> management_pb2.GetModelStatusResponse:
    """The state of one version or of all that the server knows.

    Raises:
        StatusError: NOT_FOUND.
    """
    name = request.model_spec.name
    if not states:
        raise StatusError(Code.NOT_FOUND, f"Could not find any versions of model {name}")
    if request.model_spec.HasField("version"):
        version = request.model_spec.version.value
        states = [state for state in states if state.version == version]
        if not states:
            raise StatusError(Code.NOT_FOUND, f"Could not find version {version} of model {name}")
    response = management_pb2.GetModelStatusResponse()
    for state in states:
        one = response.model_version_status.add(version=state.version, state=state.state)
        one.status.error_code = state.code  # type: ignore[assignment]
        one.status.error_message = state.message
    return response
