"""Version labels: names such as `stable` for versions of a model, replaced as a whole. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["Labels", "check_labels", "resolve"]

Labels = Mapping[str, Mapping[str, int]]  # {model: {label: version}}


def check_labels(
    new: Labels,
    current: Labels,
    *,
    is_available: Callable[[str, int], bool],
    allow_unavailable: bool,
) -> None:
    """Refuses a label on a version that cannot answer.

    With `allow_unavailable` a *new* label may point anywhere, so that labels can be set when a
    server starts; a label that exists may still not be moved to a version that is not available.

    Raises:
        StatusError: FAILED_PRECONDITION.
    """
    for model, labels in new.items():
        known = current.get(model, {})
        for label, version in labels.items():
            if is_available(model, version):
                continue
            if allow_unavailable and known.get(label, version) == version:
                continue
            raise StatusError(
                Code.FAILED_PRECONDITION,
                f"Request to assign label to version {version} of model {model}, "
                "which is not currently available for inference",
            )


def resolve(labels: Labels, model: str, label: str) -> int:
    """The version that a label stands for.

    Raises:
        StatusError: INVALID_ARGUMENT, also where the model does not exist.
    """
    version = labels.get(model, {}).get(label)
    if version is None:
        raise StatusError(Code.INVALID_ARGUMENT, f"Unrecognized servable version label: {label}")
    return version
