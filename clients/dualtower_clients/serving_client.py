"""A client of any model on any server with TensorFlow Serving's gRPC: numpy in, numpy out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TypeVar

from google.protobuf.message import Message

from dualtower_clients import _checks, _connection, _given, _operations, _requests
from dualtower_clients._channel import ChannelPool
from dualtower_clients._examples import Example, Task
from dualtower_clients._operations import Operation
from dualtower_clients._predict_bytes import Input
from dualtower_clients._waiting import POLL_S, Waiting
from dualtower_clients.errors import ModelNotFound, RetryableError, TlsError
from dualtower_clients.results import (
    Classifications,
    ModelMetadata,
    Prediction,
    Regressions,
    VersionStatus,
)
from dualtower_clients.settings import (
    DEFAULT_POLICY,
    DEFAULT_SETTINGS,
    DEFAULT_TIMEOUT_S,
    CallPolicy,
    ChannelSettings,
    Metadata,
    check_metadata,
)

__all__ = ["ServingClient"]

_T = TypeVar("_T")


class ServingClient:
    """Calls any model. Threads may share one client; a process that was forked needs its own.

    It sends arrays as they are: the server does not cast, so give the dtype that the signature
    wants (`metadata` tells). It knows nothing of bundles; `Recommender` does.

    Args:
        address: "HOST:PORT", "unix:PATH" or any target that gRPC resolves. "dns:///NAME:PORT" is
            called at all addresses of the name in turn. A list of addresses is balanced by the
            policy, and one that fails is left alone for a while.
        timeout_s: the deadline of a call that names none itself: the whole time, over retries,
            hedges and pauses.
        settings: TLS, token, metadata, compression, keep-alive, limits, interceptors.
        policy: retries, hedges, balancing.

    Raises:
        UsageError: the address is none, or another argument is not what it has to be.
        ForkedClient: gRPC cannot be used in this process, since it was forked.

    Example:
        with ServingClient("localhost:8500") as client:
            answer = client.predict("half_plus_two", {"x": np.float32([1.0, 2.0])})
            answer.outputs["y"], answer.version
    """

    def __init__(
        self,
        address: str | Sequence[str],
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        settings: ChannelSettings = DEFAULT_SETTINGS,
        policy: CallPolicy = DEFAULT_POLICY,
    ) -> None:
        _checks.kind_of("settings", settings, ChannelSettings)
        _checks.kind_of("policy", policy, CallPolicy)
        self.addresses = _connection.targets_of(address)
        self.timeout_s = _given.above_zero(timeout_s, "timeout_s")
        self._pool = ChannelPool(self.addresses, settings, policy)

    @property
    def address(self) -> str:
        """Where it asks, in words."""
        return ", ".join(self.addresses)

    def watch_connections(self, on_lost: Callable[[], None]) -> None:
        """Has `on_lost` called before the first request after a connection was lost.

        Whoever answers that request may be another server, with other models.

        Args:
            on_lost: called by the thread or task that is about to ask; it must not wait.
        """
        self._pool.watch(on_lost)

    def predict(
        self,
        model: str,
        inputs: Mapping[str, Input],
        *,
        signature: str = "serving_default",
        outputs: Iterable[str] = (),
        version: int | None = None,
        label: str | None = None,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> Prediction:
        """Runs a signature.

        Args:
            model: its name at the server.
            inputs: arrays by alias; inputs with a default may be left out. A TensorProto goes as
                it is: what `encode(value, dtype="bfloat16")` returns, or TensorFlow's own.
            signature: which of the model's signatures.
            outputs: aliases to compute and return; empty for all.
            version: this loaded version, in place of the latest.
            label: the version with this label, in place of the latest.
            timeout_s: the deadline, in place of the client's own.
            metadata: pairs that go with this call, beside those of the settings.

        Raises:
            ClientError: see `dualtower_clients.errors`.
        """
        operation = _operations.predict(
            model, inputs, signature=signature, outputs=outputs, version=version, label=label
        )
        return self._call(operation, timeout_s, metadata)

    def classify(
        self,
        model: str,
        examples: Sequence[Example],
        *,
        context: Example | None = None,
        signature: str = "serving_default",
        version: int | None = None,
        label: str | None = None,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> Classifications:
        """Labels and scores of each example, from a model that takes examples.

        Args:
            model: its name at the server.
            examples: features by name: an int, a float, a text or bytes, or a list of one of them.
                Whole numbers are sent as int64, which a model that wants float32 refuses. A
                tf.train.Example and its bytes are sent as they are.
            context: features that all examples share; an example's own win.
            signature: which of the model's signatures.
            version: this loaded version, in place of the latest.
            label: the version with this label, in place of the latest.
            timeout_s: the deadline, in place of the client's own.
            metadata: pairs that go with this call, beside those of the settings.

        Raises:
            ClientError: see `dualtower_clients.errors`.
        """
        operation = _operations.classify(
            model, examples, context=context, signature=signature, version=version, label=label
        )
        return self._call(operation, timeout_s, metadata)

    def regress(
        self,
        model: str,
        examples: Sequence[Example],
        *,
        context: Example | None = None,
        signature: str = "serving_default",
        version: int | None = None,
        label: str | None = None,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> Regressions:
        """A number for each example; arguments as `classify`."""
        operation = _operations.regress(
            model, examples, context=context, signature=signature, version=version, label=label
        )
        return self._call(operation, timeout_s, metadata)

    def multi_inference(
        self,
        model: str,
        tasks: Mapping[str, Task],
        examples: Sequence[Example],
        *,
        context: Example | None = None,
        version: int | None = None,
        label: str | None = None,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> Mapping[str, Classifications | Regressions]:
        """Several signatures over the same examples, in one run; results by signature.

        Args:
            model: its name at the server.
            tasks: "classify" or "regress", by signature.
            examples: the rest as in `classify`.
        """
        operation = _operations.multi_inference(
            model, tasks, examples, context=context, version=version, label=label
        )
        return self._call(operation, timeout_s, metadata)

    def metadata(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> ModelMetadata:
        """The signatures of a loaded version, with dtypes, shapes and defaults."""
        operation = _operations.metadata(model, version=version, label=label)
        return self._call(operation, timeout_s, metadata)

    def status(
        self,
        model: str,
        *,
        version: int | None = None,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> tuple[VersionStatus, ...]:
        """Every version the server knows of, highest first, also those unloaded or failed."""
        return self._call(_operations.status(model, version=version), timeout_s, metadata)

    def reload(
        self,
        config: Message | bytes,
        *,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> None:
        """Replaces the server's whole configuration: models, versions, labels. Sent once only.

        A model that the configuration does not name is unloaded. The call returns when each *new*
        model has a version that answers; versions of present models load afterwards.

        Args:
            config: a ModelServerConfig, of `dualtower_clients.proto.management_pb2` or TensorFlow
                Serving's own, or its bytes.
            timeout_s: the deadline, in place of the client's own.
            metadata: pairs that go with this call, beside those of the settings.

        Raises:
            ClientError: the server refuses it. The stock server may have moved labels all the same.
            UsageError: the client has several addresses, of which one would get it.
        """
        _operations.check_single(self.addresses)
        operation = _operations.reload(_requests.server_config(config))
        self._call(operation, timeout_s, metadata)

    def wait_until_available(
        self, models: Iterable[str], *, timeout_s: float, metadata: Metadata = ()
    ) -> None:
        """Returns when every model has a version in the state AVAILABLE, at whoever answers.

        Raises:
            DeadlineExceeded: one of them had none in `timeout_s`; the message says what was seen.
        """
        check_metadata(metadata)
        waiting = Waiting(models, address=self.address, timeout_s=timeout_s)
        while not waiting.is_over:
            operation, ask_s = waiting.question()
            try:
                found = self._pool.call(operation, ask_s, metadata=metadata, retry=False)
                if waiting.saw(found):
                    continue
            except TlsError as error:
                waiting.named_tls(error)
            except (RetryableError, ModelNotFound) as error:
                waiting.failed(error)
            time.sleep(POLL_S)

    def close(self) -> None:
        """Ends the connections; running calls end as CallCancelled."""
        self._pool.close()

    def __enter__(self) -> ServingClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _call(
        self, operation: Operation[_T], timeout_s: float | None, metadata: Metadata = ()
    ) -> _T:
        check_metadata(metadata)
        left_s = self.timeout_s if timeout_s is None else _given.seconds(timeout_s, "timeout_s")
        return self._pool.call(operation, left_s, metadata=metadata)
