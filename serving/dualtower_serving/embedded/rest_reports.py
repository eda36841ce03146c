"""Status and metadata of a model as JSON."""

from __future__ import annotations

import json

from google.protobuf import json_format

from dualtower_clients.proto import inference_pb2, management_pb2, signature_pb2
from dualtower_serving.embedded.rest_routes import Route
from dualtower_serving.embedded.service import ModelService
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["report"]

_FIELD = "signature_def"
_State = management_pb2.ModelVersionStatus.State


def report(service: ModelService, asked: Route) -> bytes:
    """What `GET` of a model answers.

    Raises:
        StatusError: no name, or nothing is known under it.
    """
    if not asked.model:
        raise StatusError(Code.INVALID_ARGUMENT, "Missing model name in request.")
    made = _metadata(service, asked) if asked.method == "metadata" else _status(service, asked)
    return (json.dumps(made, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def _status(service: ModelService, asked: Route) -> dict[str, object]:
    request = management_pb2.GetModelStatusRequest()
    asked.fill(request.model_spec)
    return {
        "model_version_status": [
            {
                "version": str(one.version),
                "state": _State.Name(one.state),
                "status": {
                    "error_code": Code.Name(one.status.error_code),
                    "error_message": one.status.error_message,
                },
            }
            for one in service.get_model_status(request).model_version_status
        ]
    }


def _metadata(service: ModelService, asked: Route) -> dict[str, object]:
    request = inference_pb2.GetModelMetadataRequest(metadata_field=[_FIELD])
    asked.fill(request.model_spec)
    response = service.get_model_metadata(request)
    signatures = signature_pb2.SignatureDefMap.FromString(response.metadata[_FIELD].value)
    return {
        "model_spec": _dict_of(response.model_spec),
        "metadata": {_FIELD: _dict_of(signatures)},
    }


def _dict_of(
    message: inference_pb2.ModelSpec | signature_pb2.SignatureDefMap,
) -> dict[str, object]:
    made: dict[str, object] = json_format.MessageToDict(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
    )
    return made
