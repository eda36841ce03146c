"""Clients of a served bundle, and of any model behind TensorFlow Serving's gRPC. No TensorFlow.

    from dualtower_clients import Recommender

    with Recommender("localhost:8500") as recommender:
        for item_id in recommender.recommend(["salted butter 250 g"], k=10).item_ids:
            ...

`Recommender` knows the pair and checks that the models fit each other; `ServingClient` calls any
SavedModel: numpy in, numpy out. The errors are drawn in `dualtower_clients.errors`.
"""

from dualtower_clients.codec import decode, encode, encode_values
from dualtower_clients.errors import (
    AccessDenied,
    BundleMismatch,
    CallCancelled,
    ClientError,
    DeadlineExceeded,
    ModelNotFound,
    RequestError,
    ResponseError,
    RetryableError,
    ServerBusy,
    ServerFailure,
    ServerUnreachable,
    TensorError,
)
from dualtower_clients.recommender import Recommender
from dualtower_clients.results import (
    Description,
    Embeddings,
    ModelMetadata,
    Prediction,
    Recommendation,
    Signature,
    TensorSpec,
    VersionStatus,
)
from dualtower_clients.serving_client import ServingClient

__all__ = [
    "AccessDenied",
    "BundleMismatch",
    "CallCancelled",
    "ClientError",
    "DeadlineExceeded",
    "Description",
    "Embeddings",
    "ModelMetadata",
    "ModelNotFound",
    "Prediction",
    "Recommendation",
    "Recommender",
    "RequestError",
    "ResponseError",
    "RetryableError",
    "ServerBusy",
    "ServerFailure",
    "ServerUnreachable",
    "ServingClient",
    "Signature",
    "TensorError",
    "TensorSpec",
    "VersionStatus",
    "decode",
    "encode",
    "encode_values",
]
