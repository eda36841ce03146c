"""The models of a bundle in this process, asked as a `ServingClient` is asked.

So all that `Recommender` does with answers is one code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from numpy.typing import ArrayLike

from dualtower_clients._edge_models import EdgeModels
from dualtower_clients.results import Prediction, VersionStatus
from dualtower_clients.settings import Metadata

__all__ = ["EdgeClient"]


class EdgeClient:
    """Answers in the thread that asks. Threads may share it.

    Args:
        models: loaded; other clients may have them too.
        timeout_s: of a call that names none itself.
    """

    def __init__(self, models: EdgeModels, *, timeout_s: float) -> None:
        self.address = models.address
        self.addresses = (models.address,)
        self.timeout_s = timeout_s
        self._models = models
        self._is_closed = False

    def predict(
        self,
        model: str,
        inputs: Mapping[str, ArrayLike],
        *,
        signature: str = "serving_default",
        version: int | None = None,
        label: str | None = None,
        timeout_s: float | None = None,
        metadata: Metadata = (),
    ) -> Prediction:
        """As `ServingClient.predict`; what runs is not stopped by a deadline."""
        self._check_open(model)
        timeout_s = self.timeout_s if timeout_s is None else timeout_s
        return self._models.ask(model, signature, inputs, timeout_s=timeout_s)

    def watch_connections(self, on_lost: Callable[[], None]) -> None:
        """There is none that could be lost."""

    def status(
        self, model: str, *, timeout_s: float | None = None, metadata: Metadata = ()
    ) -> tuple[VersionStatus, ...]:
        """The version of the bundle, which is there."""
        self._check_open(model)
        return self._models.status

    def wait_until_available(self, models: Iterable[str], *, timeout_s: float) -> None:
        """It is there from the beginning."""

    def close(self) -> None:
        """No call begins from here on."""
        self._is_closed = True

    def _check_open(self, model: str) -> None:
        if self._is_closed:
            raise self._models.closed_error(model)
