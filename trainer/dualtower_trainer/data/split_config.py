"""Where a log is cut and which items are held out: the `[split]` section of a configuration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dualtower.errors import DataError
from dualtower_trainer.data.timestamps import iso_utc, parse_timestamp

__all__ = ["KINDS", "SplitConfig"]

KINDS = ("auto", "time", "last", "random")
_DAY_S = 86_400


@dataclass(frozen=True)
class SplitConfig:
    """How a log becomes train, validation and, where it is asked for, test.

    Attributes:
        kind: `time` cuts the whole log at two moments; `last` holds out each user's last item (test
            where it is asked for, else validation) and the one before; `random` holds out user-item
            pairs by hash; `auto` is `time` where the timestamps vary, else `random`.
        validation_days: length of the validation segment, which ends where test begins; 0 goes by
            `validation_share`.
        validation_share: share of the interactions before test that are validation.
        test_days: length of the test segment, which ends with the last day of the log.
        test_share: share of all interactions that are test. Neither days, share nor start: no test.
        cold_share: expected share of the items that are held out, with every kind.
        cold_salt: an item is cold when md5(salt + item_id) / 2^128 is below `cold_share`.
        min_history: history items that a held-out user needs.
        test_start: ISO date (UTC) that replaces `test_days`.
        validation_start: ISO date (UTC) that replaces `validation_days`.
    """

    kind: str = "auto"
    validation_days: float = 0.0
    validation_share: float = 0.15
    test_days: float = 0.0
    test_share: float = 0.0
    cold_share: float = 0.0
    cold_salt: str = "cold-v1"
    min_history: int = 1
    test_start: str | None = None
    validation_start: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        for name in ("validation_days", "test_days"):
            if not 0 <= getattr(self, name) < 100_000:
                raise ValueError(f"{name} must be 0 or above, got {getattr(self, name)}")
        if not 0 < self.validation_share < 1:
            raise ValueError(f"validation_share must be in (0, 1), got {self.validation_share}")
        for name in ("test_share", "cold_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        if self.test_days and self.test_share:
            raise ValueError(
                f"give test_days or test_share, got both: {self.test_days} and {self.test_share}"
            )
        if self.min_history < 1:
            raise ValueError(f"min_history must be at least 1, got {self.min_history}")
        for name in ("test_start", "validation_start"):
            if (date := getattr(self, name)) is not None:
                _seconds(date, name)

    @property
    def has_test(self) -> bool:
        """Whether a test segment is asked for."""
        return bool(self.test_days or self.test_share or self.test_start is not None)

    def kind_for(self, has_time: bool) -> str:
        """`time`, `last` or `random` for a log whose timestamps vary, or do not.

        Raises:
            DataError: the kind needs times and there are none, or days are asked of a random split.
        """
        kind = self.kind
        if kind == "auto":
            kind = "time" if has_time else "random"
        if kind != "random" and not has_time:
            raise DataError(
                f"split.kind is {kind!r}, and the log has no times to go by (all are the same); "
                "import it with a timestamp column, or give --set split.kind=random"
            )
        days = ("validation_days", "test_days", "validation_start", "test_start")
        if kind == "random" and (given := [name for name in days if getattr(self, name)]):
            raise DataError(
                f"a random split knows no time, so split.{' and split.'.join(given)} cannot be "
                "met; give split.validation_share and split.test_share instead"
            )
        return kind

    def boundaries_s(self, times_s: npt.NDArray[np.int64]) -> tuple[int, int]:
        """Where validation and test begin, seconds UTC, for the times of a log in any order.

        Without a test segment the second is one second after the end of the log. A share is met as
        nearly as it can be: interactions of one second stay together.

        Raises:
            DataError: the log does not reach over both boundaries.
        """
        first_s, last_s = int(times_s.min()), int(times_s.max())
        end_s = (last_s // _DAY_S + 1) * _DAY_S
        if self.test_start is not None:
            test_s = _seconds(self.test_start, "test_start")
        elif self.test_days:
            test_s = end_s - round(self.test_days * _DAY_S)
        elif self.test_share:
            test_s = _share_s(times_s, self.test_share)
        else:
            test_s = last_s + 1
        if self.validation_start is not None:
            validation_s = _seconds(self.validation_start, "validation_start")
        elif self.validation_days:
            validation_s = min(test_s, end_s) - round(self.validation_days * _DAY_S)
        else:
            validation_s = _share_s(times_s[times_s < test_s], self.validation_share)
        if not first_s < validation_s < test_s <= last_s + (not self.has_test):
            cuts = f"validation_start {iso_utc(validation_s)}"
            if self.has_test:
                cuts += f" and test_start {iso_utc(test_s)}"
            raise DataError(
                f"the log runs from {iso_utc(first_s)} to {iso_utc(last_s)}, so it cannot be cut "
                f"at {cuts}; give a shorter --set split.validation_days=… and "
                "--set split.test_days=…, or leave both to split.validation_share"
            )
        return validation_s, test_s


def _share_s(times_s: npt.NDArray[np.int64], share: float) -> int:
    """The time from which on about `share` of the interactions lie; the first time where none."""
    if not len(times_s):
        return 0
    moments, counts = np.unique(times_s, return_counts=True)
    from_there = 1 - (np.cumsum(counts) - counts) / len(times_s)
    place = int(np.argmin(np.abs(from_there[1:] - share))) + 1 if len(moments) > 1 else 0
    return int(moments[place])


def _seconds(date: str, name: str) -> int:
    try:
        return parse_timestamp(date)
    except ValueError as error:
        raise ValueError(f"{name} must be an ISO date such as 2017-12-01, got {date!r}") from error
