"""What can go wrong between a client and a model server. Whether to try again is part of the type.

    dualtower.DualtowerError
    ├─ ClientError
    │  ├─ TensorError              an array that cannot travel, or a tensor that cannot be read
    │  ├─ RequestError             the server refuses this request; sent again it fails again
    │  │  └─ ModelNotFound         no such model or version is loaded
    │  ├─ AccessDenied             the server wants other credentials
    │  ├─ TlsError                 the two ends do not agree on TLS or on a certificate
    │  ├─ ServerFailure            the server failed inside while it worked on the request
    │  ├─ ResponseError            the answer cannot be understood
    │  ├─ CallCancelled            the client was closed
    │  ├─ ForkedClient             the client was made before os.fork(), and is used after it
    │  └─ RetryableError           .retryable is True
    │     ├─ ServerUnreachable     nobody answers, or the connection broke during the call
    │     ├─ ServerBusy            the server has no room for another request now
    │     └─ DeadlineExceeded      no answer in the time given
    ├─ UsageError                  an argument or a setting that cannot be; nothing was sent
    ├─ UnavailableError            a package of an extra, Milvus, or space on the disk is missing
    └─ BundleError                 a folder or a file that is no whole bundle or index
       └─ BundleMismatch           the models, or the caller and the models, are of two bundles

Each `ClientError` says at which address and of which model, after how many attempts, keeps the
server's own words in `.server_message`, and what to do next. The last four are those of
`dualtower.errors`.
"""

from __future__ import annotations

from typing import ClassVar

from dualtower.errors import BundleMismatch, DualtowerError

__all__ = [
    "AccessDenied",
    "BundleMismatch",
    "CallCancelled",
    "ClientError",
    "DeadlineExceeded",
    "ForkedClient",
    "ModelNotFound",
    "RequestError",
    "ResponseError",
    "RetryableError",
    "ServerBusy",
    "ServerFailure",
    "ServerUnreachable",
    "TensorError",
    "TlsError",
]


class ClientError(DualtowerError):
    """The root of what the clients raise.

    Attributes:
        retryable: whether the same call may succeed later.
        address: the server that was asked, of several the last one; "" where none was involved.
        model: the model that was asked for, "" where none was.
        server_message: the server's or the transport's own words.
        attempts: how many times the call was sent, retries and hedges included; 0 if never.
    """

    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        address: str = "",
        model: str = "",
        server_message: str = "",
        attempts: int = 0,
    ) -> None:
        super().__init__(message)
        self.address = address
        self.model = model
        self.server_message = server_message
        self.attempts = attempts


class TensorError(ClientError):
    """An array that cannot be sent, or a tensor that cannot be read."""


class RequestError(ClientError):
    """The server refuses this request; sent again as it is, it fails again."""


class ModelNotFound(RequestError):
    """The server has no such model, or not this version of it."""


class AccessDenied(ClientError):
    """The server does not accept the caller's credentials."""


class TlsError(ClientError):
    """One end speaks TLS and the other does not, or one does not accept the other's certificate."""


class ServerFailure(ClientError):
    """The server failed inside; its log says more than its answer."""


class ResponseError(ClientError):
    """The answer cannot be understood, or lacks what was asked for."""


class CallCancelled(ClientError):
    """The client was closed, before the call or while it ran."""


class ForkedClient(ClientError):
    """gRPC's connections do not survive os.fork(): the child process needs a client of its own."""


class RetryableError(ClientError):
    """The same call may succeed later, or at another replica."""

    retryable: ClassVar[bool] = True


class ServerUnreachable(RetryableError):
    """Nobody listens at the address, the connection broke, or the server gave the call up."""


class ServerBusy(RetryableError):
    """The server's threads or its batching queue are full."""


class DeadlineExceeded(RetryableError):
    """No answer came in the time given."""
