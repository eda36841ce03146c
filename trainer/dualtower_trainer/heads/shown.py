"""What the heads foresee, as rows of the table that `dualtower train` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["head_rows"]


def head_rows(training: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows of the content of training.json; none without heads."""
    judged: Mapping[str, Any] | None = training.get("heads")
    if not judged:
        return []
    if training["kept"] != "contrastive":
        return [("heads", "not kept: the closed form has none")]
    chosen, rows = training["chosen"], []
    if usual := judged.get("ratings"):
        rows.append(
            (
                "validation RMSE of ratings",
                f"{chosen['validation_rating_rmse']:.4f} (their mean {usual['mean_rmse']:.4f}, "
                f"biases of users and items {usual['biases_rmse']:.4f})",
            )
        )
    if usual := judged.get("events"):
        rows += [
            (
                "validation accuracy of events",
                f"{chosen['validation_event_accuracy']:.4f} "
                f"(the most frequent {usual['majority_accuracy']:.4f})",
            ),
            (
                "validation log loss of events",
                f"{chosen['validation_event_log_loss']:.4f} "
                f"(their shares {usual['shares_log_loss']:.4f})",
            ),
        ]
    return rows
