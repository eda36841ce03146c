"""Where a log is cut and which items are held out: the `[split]` section of a configuration."""

from __future__ import annotations

from dataclasses import dataclass

from dualtower.errors import DataError
from dualtower_trainer.data.timestamps import iso_utc, parse_timestamp

__all__ = ["SplitConfig"]

_DAY_S = 86_400


@dataclass(frozen=True)
class SplitConfig:
    """Where the log is cut, and which items are held out.

    Attributes:
        validation_days: length of the validation segment, which ends where test begins.
        test_days: length of the test segment, which ends with the last day of the log.
        cold_share: expected share of the items that are held out.
        cold_salt: an item is cold when md5(salt + item_id) / 2^128 is below `cold_share`.
        min_history: history items that a held-out user needs.
        test_start: ISO date (UTC) that replaces `test_days`.
        validation_start: ISO date (UTC) that replaces `validation_days`.
    """

    validation_days: float = 28.0
    test_days: float = 28.0
    cold_share: float = 0.15
    cold_salt: str = "cold-v1"
    min_history: int = 1
    test_start: str | None = None
    validation_start: str | None = None

    def __post_init__(self) -> None:
        for name in ("validation_days", "test_days"):
            if not 0 < getattr(self, name) < 100_000:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if not 0 <= self.cold_share < 1:
            raise ValueError(f"cold_share must be in [0, 1), got {self.cold_share}")
        if self.min_history < 1:
            raise ValueError(f"min_history must be at least 1, got {self.min_history}")
        for name in ("test_start", "validation_start"):
            if (date := getattr(self, name)) is not None:
                _seconds(date, name)

    def boundaries_s(self, first_s: int, last_s: int) -> tuple[int, int]:
        """`validation_start` and `test_start` in seconds UTC for a log from first to last.

        Raises:
            DataError: the log does not reach over both boundaries.
        """
        end_s = (last_s // _DAY_S + 1) * _DAY_S
        if self.test_start is not None:
            test_s = _seconds(self.test_start, "test_start")
        else:
            test_s = end_s - round(self.test_days * _DAY_S)
        if self.validation_start is not None:
            validation_s = _seconds(self.validation_start, "validation_start")
        else:
            validation_s = test_s - round(self.validation_days * _DAY_S)
        if not first_s < validation_s < test_s <= last_s:
            raise DataError(
                f"the log runs from {iso_utc(first_s)} to {iso_utc(last_s)}, so it cannot be cut "
                f"at validation_start {iso_utc(validation_s)} and test_start {iso_utc(test_s)}; "
                "give a shorter --set split.validation_days=… and --set split.test_days=…"
            )
        return validation_s, test_s


def _seconds(date: str, name: str) -> int:
    try:
        return parse_timestamp(date)
    except ValueError as error:
        raise ValueError(f"{name} must be an ISO date such as 2017-12-01, got {date!r}") from error
