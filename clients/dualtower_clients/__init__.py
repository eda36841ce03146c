"""Clients of a served bundle, and of any model behind TensorFlow Serving's gRPC. No TensorFlow.

    from dualtower_clients import Recommender

    with Recommender("localhost:8500") as recommender:
        for item_id in recommender.recommend(["salted butter 250 g"], k=10).item_ids:
            ...

`Recommender` knows the pair and checks that the models fit each other; `ServingClient` calls any
SavedModel, and `AsyncServingClient` does so for asyncio: numpy in, numpy out. How they connect and
what they do about slow and failed calls is in `dualtower_clients.settings`. `ItemIndex` searches
beside the server. The errors are drawn in `dualtower_clients.errors`.
"""

from typing import TYPE_CHECKING, Any

from dualtower_clients.async_recommender import AsyncRecommender
from dualtower_clients.async_serving_client import AsyncServingClient
from dualtower_clients.codec import decode, encode, encode_bytes, encode_values
from dualtower_clients.errors import (
    AccessDenied,
    BundleMismatch,
    CallCancelled,
    ClientError,
    DeadlineExceeded,
    ForkedClient,
    ModelNotFound,
    RequestError,
    ResponseError,
    RetryableError,
    ServerBusy,
    ServerFailure,
    ServerUnreachable,
    TensorError,
    TlsError,
)
from dualtower_clients.recommender import Recommender
from dualtower_clients.results import (
    Classification,
    Classifications,
    Description,
    Embeddings,
    ModelMetadata,
    Prediction,
    Recommendation,
    Regressions,
    Signature,
    TensorSpec,
    VersionStatus,
)
from dualtower_clients.serving_client import ServingClient
from dualtower_clients.settings import (
    BalancePolicy,
    CallPolicy,
    ChannelSettings,
    HedgePolicy,
    RetryPolicy,
    TlsSettings,
)

if TYPE_CHECKING:
    from dualtower_clients.index import ItemIndex

__all__ = [
    "AccessDenied",
    "AsyncRecommender",
    "AsyncServingClient",
    "BalancePolicy",
    "BundleMismatch",
    "CallCancelled",
    "CallPolicy",
    "ChannelSettings",
    "Classification",
    "Classifications",
    "ClientError",
    "DeadlineExceeded",
    "Description",
    "Embeddings",
    "ForkedClient",
    "HedgePolicy",
    "ItemIndex",
    "ModelMetadata",
    "ModelNotFound",
    "Prediction",
    "Recommendation",
    "Recommender",
    "Regressions",
    "RequestError",
    "ResponseError",
    "RetryPolicy",
    "RetryableError",
    "ServerBusy",
    "ServerFailure",
    "ServerUnreachable",
    "ServingClient",
    "Signature",
    "TensorError",
    "TensorSpec",
    "TlsError",
    "TlsSettings",
    "VersionStatus",
    "decode",
    "encode",
    "encode_bytes",
    "encode_values",
]


def __getattr__(name: str) -> Any:
    """What not every client needs is imported when it is asked for."""
    if name == "ItemIndex":
        from dualtower_clients.index import ItemIndex

        return ItemIndex
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
