"""Do the models of a server belong together? Pure: what they say of themselves goes in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dualtower.errors import BundleMismatch, UsageError
from dualtower_clients.results import Description

__all__ = ["Pair", "check_pair"]


@dataclass(frozen=True)
class Pair:
    """Descriptions that agree, by model name; the versions are those that were asked."""

    descriptions: Mapping[str, Description]
    fingerprint: str
    dim: int
    history_items: int
    k_max: int

    def answers_for(self, model: str, version: int) -> bool:
        """Whether this version of this model is the one that was checked."""
        return self.descriptions[model].version == version

    def check_k(self, k: int) -> None:
        """Refuses a `k` that the recommender was not exported for."""
        if not 1 <= k <= self.k_max:
            raise UsageError(
                f"k must be between 1 and {self.k_max}, got {k}; "
                "for longer lists export the bundle with a larger k_max"
            )


def check_pair(
    descriptions: Mapping[str, Description], *, address: str, expected: str | None
) -> Pair:
    """The pair, if all models carry one fingerprint and it is the expected one.

    Args:
        descriptions: by model name, at least one.
        address: named in the error.
        expected: the fingerprint of the bundle or index that the caller holds, if any.

    Raises:
        BundleMismatch: two models differ, or the server differs from the caller.
    """
    first, *others = descriptions.values()
    for other in others:
        if other.fingerprint != first.fingerprint:
            raise BundleMismatch(
                expected=f"{first.fingerprint} ({first.model} version {first.version})",
                found=f"{other.fingerprint} ({other.model} version {other.version})",
                where=address,
                repair="if a rollout is under way, try again when it is done; "
                "else serve all three models from one bundle with `dualtower serve BUNDLE`",
            )
    if expected is not None and first.fingerprint != expected:
        raise BundleMismatch(
            expected=f"{expected} (the caller's)",
            found=f"{first.fingerprint} (version {first.version} at the server)",
            where=address,
            repair="serve the bundle that the caller holds with `dualtower serve BUNDLE`, "
            "or rebuild what the caller holds from the bundle that is served",
        )
    return Pair(
        descriptions, first.fingerprint, first.dim, first.history_items, _least_k_max(descriptions)
    )


def _least_k_max(descriptions: Mapping[str, Description]) -> int:
    return min(one.k_max for one in descriptions.values())
