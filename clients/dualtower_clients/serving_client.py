"""A client of any model on any server with TensorFlow Serving's gRPC: numpy in, numpy out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from types import TracebackType

from numpy.typing import ArrayLike

from dualtower_clients import _calls, _requests, _responses
from dualtower_clients._calls import CallFacts
from dualtower_clients._channel import DEFAULT_TIMEOUT_S, ByteChannel
from dualtower_clients.errors import DeadlineExceeded, ModelNotFound, RetryableError
from dualtower_clients.proto import management_pb2
from dualtower_clients.results import ModelMetadata, Prediction, VersionStatus

__all__ = ["ServingClient"]

_POLL_S = 0.1


class ServingClient:
    """Calls Predict, the models' metadata and status, and reload. Threads may share one client.

    It sends arrays as they are: the server does not cast, so give the dtype that the signature
    wants (`metadata` tells). It knows nothing of bundles; `Recommender` does.

    Args:
        address: "HOST:PORT", "unix:PATH" or any target that gRPC resolves.
        timeout_s: the deadline of a call that names none itself.

    Example:
        with ServingClient("localhost:8500") as client:
            answer = client.predict("half_plus_two", {"x": np.float32([1.0, 2.0])})
            answer.outputs["y"], answer.version
    """

    def __init__(self, address: str, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self._channel = ByteChannel(address)

    def predict(
        self,
        model: str,
        inputs: Mapping[str, ArrayLike],
        *,
        signature: str = "serving_default",
        outputs: Iterable[str] = (),
        version: int | None = None,
        label: str | None = None,
        timeout_s: float | None = None,
    ) -> Prediction:
        """Runs a signature.

        Args:
            model: its name at the server.
            inputs: arrays by alias; inputs with a default may be left out.
            signature: which of the model's signatures.
            outputs: aliases to compute and return; empty for all.
            version: this loaded version, in place of the latest.
            label: the version with this label, in place of the latest.
            timeout_s: the deadline, in place of the client's own.

        Raises:
            ClientError: see `dualtower_clients.errors`.
        """
        spec = _requests.model_spec(model, version=version, label=label, signature=signature)
        request = _requests.predict(spec, inputs, outputs)
        facts = self._facts(model, timeout_s)
        raw, elapsed_ms = self._channel.call(_calls.PREDICT, request, facts)
        return _responses.prediction(raw, facts, elapsed_ms)

    def metadata(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        timeout_s: float | None = None,
    ) -> ModelMetadata:
        """The signatures of a loaded version, with dtypes, shapes and defaults."""
        request = _requests.metadata(_requests.model_spec(model, version=version, label=label))
        facts = self._facts(model, timeout_s)
        raw, _ = self._channel.call(_calls.METADATA, request, facts)
        return _responses.metadata(raw, facts)

    def status(
        self, model: str, *, version: int | None = None, timeout_s: float | None = None
    ) -> tuple[VersionStatus, ...]:
        """Every version the server knows of, highest first, also those unloaded or failed."""
        request = _requests.status(_requests.model_spec(model, version=version))
        facts = self._facts(model, timeout_s)
        raw, _ = self._channel.call(_calls.STATUS, request, facts)
        return _responses.status(raw, facts)

    def reload(
        self, config: management_pb2.ModelServerConfig, *, timeout_s: float | None = None
    ) -> None:
        """Replaces the server's whole configuration: models, versions, labels.

        A model that the configuration does not name is unloaded. The call returns when each *new*
        model has a version that answers; versions of present models load afterwards.

        Raises:
            ClientError: the server refuses it. The stock server may have moved labels all the same.
        """
        request = management_pb2.ReloadConfigRequest(config=config).SerializeToString()
        self._channel.call(_calls.RELOAD, request, self._facts("all of them", timeout_s))

    def wait_until_available(self, models: Iterable[str], *, timeout_s: float) -> None:
        """Returns when every model has a version in the state AVAILABLE.

        Raises:
            DeadlineExceeded: one of them had none in `timeout_s`; the message says what was seen.
        """
        deadline = time.monotonic() + timeout_s
        for model in models:
            seen = "no answer"
            while True:
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise DeadlineExceeded(
                        f"{model!r} at {self.address} is not available after {timeout_s:g} s "
                        f"(last seen: {seen}); read the server's log",
                        address=self.address,
                        model=model,
                    )
                try:
                    versions = self.status(model, timeout_s=min(left_s, 2.0))
                except (RetryableError, ModelNotFound) as error:
                    seen = str(error)
                else:
                    if any(one.state == "AVAILABLE" for one in versions):
                        break
                    seen = ", ".join(f"{one.version} {one.state}" for one in versions)
                time.sleep(_POLL_S)

    def close(self) -> None:
        """Ends the connection; running calls end as CallCancelled."""
        self._channel.close()

    def __enter__(self) -> ServingClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _facts(self, model: str, timeout_s: float | None) -> CallFacts:
        return CallFacts(self.address, model, self.timeout_s if timeout_s is None else timeout_s)
