"""The fields of one interaction as values: ids, time, weight, event and rating."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dualtower_trainer.data.item_reader import MAX_ID_CHARS
from dualtower_trainer.data.timestamps import timestamp_parser

__all__ = ["Row", "row_decoder"]


@dataclass
class Row:
    """An interaction as it was read, or the problem that makes it none."""

    problem: str = ""
    user_id: str = ""
    item_id: str = ""
    seconds: int = 0
    weight: float = 1.0
    event: str = ""
    rating: float = math.nan


def row_decoder(
    places: Mapping[str, int], timestamp_format: str | None, min_rating: float | None
) -> Callable[[list[str]], Row]:
    """A function from the fields of a row to its values, or to what is wrong with them.

    Args:
        places: where the field of each role stands; user_id is the first and item_id the second.
        timestamp_format: a `strptime` pattern; None reads numbers and ISO 8601.
        min_rating: a rating is needed when it is given; else one that cannot be read is none.
    """
    parse_time = timestamp_parser(timestamp_format)
    time_at, event_at, weight_at, rating_at = map(
        places.get, ("timestamp", "event", "weight", "rating")
    )

    def decode(fields: list[str]) -> Row:
        user_id, item_id = fields[0].strip(), fields[1].strip()
        if not user_id:
            return Row("empty user id")
        if not item_id:
            return Row("empty item id")
        if len(user_id) > MAX_ID_CHARS or len(item_id) > MAX_ID_CHARS:
            return Row("id too long")
        row = Row("", user_id, item_id)
        if time_at is not None:
            try:
                row.seconds = parse_time(fields[time_at].strip())
            except (ValueError, OverflowError):
                return Row("bad timestamp")
        if weight_at is not None:
            row.weight = _weight(fields[weight_at])
            if not row.weight:
                return Row("bad weight")
        if event_at is not None:
            row.event = fields[event_at].strip()
        if rating_at is not None:
            row.rating = _rating(fields[rating_at])
            if min_rating is not None and math.isnan(row.rating):
                return Row("bad rating")
        return row

    return decode


def _weight(text: str) -> float:
    """A weight that float32 holds and that is above 0; 0 when the text is none."""
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 1e-30 < weight < 1e30 else 0.0


def _rating(text: str) -> float:
    """A rating that float32 holds; NaN when the text is none."""
    try:
        rating = float(text)
    except ValueError:
        return math.nan
    return rating if abs(rating) < 1e30 else math.nan
