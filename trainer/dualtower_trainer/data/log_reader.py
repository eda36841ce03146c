"""Reads a file of interactions, row by row, into coded columns."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dualtower.errors import DataError
from dualtower_trainer.data.columns import INTERACTION_ROLES, choose_columns
from dualtower_trainer.data.log_row import Row, row_decoder
from dualtower_trainer.data.quarantine import BadRows
from dualtower_trainer.data.record import RowSource

__all__ = ["UNKNOWN_ITEM", "LogFile", "read_log"]

UNKNOWN_ITEM = "unknown item"


@dataclass(frozen=True, eq=False)
class LogFile:
    """The good interactions of a file by time, and counts of the rest.

    The arrays have one entry per interaction: int32 codes into `user_ids` and `events`, int32 rows
    of the items, int64 seconds UTC, float32 weights. `events` is empty when the file has none;
    `ratings` are float32, NaN where there is none, and None when the file has none at all. Of
    `lost_users` no row could be used.
    """

    users: npt.NDArray[np.int32]
    items: npt.NDArray[np.int32]
    times_s: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    event_codes: npt.NDArray[np.int32]
    ratings: npt.NDArray[np.float32] | None
    user_ids: list[str]
    events: list[str]
    timed: bool
    rows_read: int
    lost_users: int
    repeated: int

    def __len__(self) -> int:
        return len(self.users)


def read_log(
    source: RowSource,
    chosen: Mapping[str, str],
    item_rows: Mapping[str, int],
    bad: BadRows,
    *,
    left_out: Counter[str],
    timestamp_format: str | None = None,
    min_rating: float | None = None,
    option: str | None = "--map",
) -> LogFile:
    """Reads all interactions; a row that cannot be used goes to `bad`.

    A good row whose rating is below `min_rating` is no interaction; it is counted in `left_out`,
    which a source of another format adds to as well.

    A row that equals an earlier one in every column we read is counted and dropped. Without a
    timestamp column all times are 0, and two equal rows are two interactions. `option` is what a
    message tells to name a column with.

    Raises:
        DataError: a column is missing, the file has no rows or is damaged, or none of its items is
            in `item_rows`.
    """
    columns = choose_columns(source, INTERACTION_ROLES, chosen, option)
    if min_rating is not None and "rating" not in columns:
        raise DataError(
            f"{source.path} has no column 'rating' that --min-rating could go by; name the right "
            "one with --map rating=COLUMN"
        )
    decode = row_decoder(
        {role: place for place, role in enumerate(columns)}, timestamp_format, min_rating
    )
    too_low = f"rating below {min_rating:g}" if min_rating is not None else ""
    rows_read, kept = 0, _Growing()
    lost: set[str] = set()  # users of bad rows, as far as these can be read
    strangers: list[str] = []  # a few ids that are not in the catalogue, for the message
    for line, fields, problem, raw in source.records(list(columns.values())):
        rows_read += 1
        if not problem:
            row = decode(fields)
            problem = row.problem
        if problem:
            bad.add(line, problem, raw)
            lost.update(fields[:1])
            continue
        if min_rating is not None and row.rating < min_rating:
            left_out[too_low] += 1
            continue
        item = item_rows.get(row.item_id)
        if item is None:
            bad.add(line, UNKNOWN_ITEM, raw)
            lost.add(fields[0])
            if len(strangers) < 3 and row.item_id not in strangers:
                strangers.append(row.item_id)
            continue
        kept.add(row, item)
    if not rows_read and not left_out:
        raise DataError(f"{source.path} has a header and no rows")
    if not kept.users and strangers:
        raise DataError(
            f"no item of {source.path} is in the catalogue: the interactions have "
            f"{', '.join(map(repr, strangers))} …, the items have "
            f"{', '.join(map(repr, list(item_rows)[:3]))} …; "
            "check the columns with --map item_id=… and --item-map item_id=…"
        )
    if not kept.users and left_out:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in left_out.most_common())
        raise DataError(f"no row of {source.path} is an interaction ({reasons})")
    lost_users = {user_id.strip() for user_id in lost} - {*kept.user_codes, ""}
    return kept.log(columns, rows_read, len(lost_users))


@dataclass
class _Growing:
    """Columns that grow row by row, four or eight bytes to a value."""

    users: array[int] = field(default_factory=lambda: array("i"))
    items: array[int] = field(default_factory=lambda: array("i"))
    times_s: array[int] = field(default_factory=lambda: array("q"))
    weights: array[float] = field(default_factory=lambda: array("f"))
    event_codes: array[int] = field(default_factory=lambda: array("i"))
    ratings: array[float] = field(default_factory=lambda: array("f"))
    user_codes: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)

    def add(self, row: Row, item: int) -> None:
        self.users.append(self.user_codes.setdefault(row.user_id, len(self.user_codes)))
        self.items.append(item)
        self.times_s.append(row.seconds)
        self.weights.append(row.weight)
        self.event_codes.append(self.events.setdefault(row.event, len(self.events)))
        self.ratings.append(row.rating)

    def log(self, columns: Mapping[str, str], rows_read: int, lost_users: int) -> LogFile:
        """The columns by time, equal rows once."""
        timed = "timestamp" in columns
        users, items = np.array(self.users, np.int32), np.array(self.items, np.int32)
        times_s = np.array(self.times_s, np.int64)
        weights = np.array(self.weights, np.float32)
        event_codes = np.array(self.event_codes, np.int32)
        ratings = np.array(self.ratings, np.float32)
        order = np.arange(len(users))
        if timed:
            comparable = np.nan_to_num(ratings, nan=-math.inf)  # NaN differs from itself
            order = _distinct_by_time(times_s, users, items, weights, event_codes, comparable)
        return LogFile(
            users[order],
            items[order],
            times_s[order],
            weights[order],
            event_codes[order],
            ratings[order] if "rating" in columns else None,
            user_ids=list(self.user_codes),
            events=list(self.events) if "event" in columns else [],
            timed=timed,
            rows_read=rows_read,
            lost_users=lost_users,
            repeated=len(users) - len(order),
        )


def _distinct_by_time(
    times_s: npt.NDArray[np.int64], *others: npt.NDArray[np.generic]
) -> npt.NDArray[np.int64]:
    """Rows that differ from every earlier one, by time and then in their own order."""
    order = np.lexsort((*others, times_s))
    new = np.zeros(len(order), bool)
    new[:1] = True
    for column in (times_s, *others):
        ordered = column[order]
        new[1:] |= ordered[1:] != ordered[:-1]
    kept = np.sort(order[new])  # lexsort is stable: the first of equal rows is the earliest
    return kept[np.argsort(times_s[kept], kind="stable")]
