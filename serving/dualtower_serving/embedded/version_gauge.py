"""A metric of the loaded versions, which the stock server only tells model by model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dualtower_serving.embedded.metrics import Metrics
from dualtower_serving.embedded.model_versions import State, VersionState

__all__ = ["watch_versions"]


def watch_versions(
    metrics: Metrics,
    names: Callable[[], Iterable[str]],
    states: Callable[[str], Sequence[VersionState]],
) -> None:
    """Shows each version of the configured models that has not ended.

    Args:
        metrics: gets the gauge `:dualtower:model_version_available{model_name,version}`.
        names: of the configured models.
        states: of a model's versions.
    """

    def read() -> dict[tuple[str, ...], float]:
        return {
            (name, str(one.version)): float(one.state == State.AVAILABLE)
            for name in names()
            for one in states(name)
            if one.state != State.END
        }

    metrics.watch(
        "model_version_available",
        "1 for a version that answers, 0 for one that is loading or unloading.",
        ("model_name", "version"),
        read,
    )
