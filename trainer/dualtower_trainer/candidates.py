"""Which items may be recommended, and their vectors."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dualtower.errors import DataError
from dualtower.progress import say
from dualtower_trainer.data.item_reader import ItemFile, read_items
from dualtower_trainer.data.quarantine import Quarantine
from dualtower_trainer.data.records import open_source
from dualtower_trainer.scoring_towers import Towers
from dualtower_trainer.user_histories import places_of

__all__ = ["Candidates", "choose_candidates", "read_item_texts"]


@dataclass(frozen=True, eq=False)
class Candidates:
    """The items among which is ranked: in the order of the catalogue, then those known by text.

    Attributes:
        item_ids: str [candidates].
        vectors: float32 [candidates, dim].
        by_text: how many of them the catalogue does not have.
        blocked: ids that were named, or are in the catalogue, and are never recommended.
        unknown: ids that neither the catalogue nor a text describes.
    """

    item_ids: np.ndarray
    vectors: np.ndarray
    by_text: int
    blocked: int
    unknown: tuple[str, ...]


def choose_candidates(
    towers: Towers,
    wanted: Sequence[str] | None,
    *,
    texts: ItemFile | None = None,
    blocked_ids: frozenset[str] = frozenset(),
) -> Candidates:
    """The candidates by id; None takes the whole catalogue and every item of `texts`.

    Args:
        texts: items that the catalogue may lack; they are embedded by their text alone.
        blocked_ids: ids that are blocked beside those of the catalogue.

    Raises:
        DataError: nothing is left to recommend.
    """
    described = texts or ItemFile()
    if wanted is None:
        wanted = [*towers.item_ids, *described.rows]
    wanted = list(dict.fromkeys(wanted))
    place = places_of(wanted, towers.item_ids)
    rows = np.sort(place[place >= 0])
    kept = np.array(
        [not towers.blocked[row] and towers.item_ids[row] not in blocked_ids for row in rows], bool
    )
    fresh, unknown, blocked = [], [], len(rows) - int(kept.sum())
    for item_id, row in zip(wanted, place, strict=True):
        at = described.rows.get(item_id)
        if row >= 0:
            continue
        if at is None:
            unknown.append(item_id)
        elif described.blocked[at] or item_id in blocked_ids:
            blocked += 1
        else:
            fresh.append(item_id)
    rows = rows[kept]
    if not len(rows) and not fresh:
        raise DataError(
            f"none of the {len(wanted)} candidates can be recommended: {len(unknown)} are not in "
            f"the catalogue and have no text, {blocked} are blocked; candidates are item ids, and "
            "--items FILE describes new ones"
        )
    vectors = towers.vectors[rows]
    if fresh:
        texts_of_fresh = [described.texts[described.rows[item_id]] for item_id in fresh]
        # a text is embedded once: in a batch, equal texts may differ in the last bit
        distinct = list(dict.fromkeys(texts_of_fresh))
        by_text = towers.embed_texts(distinct)[places_of(texts_of_fresh, distinct)]
        vectors = np.concatenate([vectors, by_text])
    item_ids = np.array([*towers.item_ids[rows], *fresh], object)
    return Candidates(item_ids, vectors, len(fresh), blocked, tuple(unknown))


def read_item_texts(path: Path) -> ItemFile:
    """Items of a CSV, TSV or Parquet file as `dualtower data import` reads them.

    Raises:
        DataError: the file cannot be read, or lacks a column.
    """
    source = open_source(path)
    with (
        tempfile.TemporaryDirectory(prefix="dualtower-items-") as folder,
        Quarantine(Path(folder) / "quarantine.csv") as quarantine,
    ):
        bad = quarantine.of(str(path))
        items = read_items(source, {}, bad)
    if bad.total:
        say(f"  {path}: {bad.total} rows cannot be used, e.g. {bad.examples[0]}")
    return items
