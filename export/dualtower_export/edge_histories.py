"""Lists for histories of a file by the files of a phone: no data folder, no Parquet, no TensorFlow.

{"user_id": "ann", "history": ["item-17", {"text": "oat milk, barista edition"}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dualtower.edge.runner import EdgeRecommender, NewItem
from dualtower.errors import DataError, UsageError
from dualtower.files import atomic_file
from dualtower.progress import track

__all__ = ["read_histories_file", "recommend_histories"]

_FORM = 'a line is {"user_id": "ann", "history": ["item-17", {"text": "what is new"}]}'
History = list[str | NewItem]


def recommend_histories(
    edge: Path, histories: Path, out: Path, *, k: int, tower: str | None = None
) -> dict[str, Any]:
    """Writes a line `{"user_id": …, "items": [best, second, …]}` for each line of `histories`.

    Args:
        edge: the `edge` folder of a bundle.
        histories: JSON Lines.
        out: the JSON Lines file; it appears when it is whole.
        k: length of a list; cut to the size of the catalogue.
        tower: format of the towers; None takes the smallest that is there.

    Returns:
        Counts of what was read, skipped and written.

    Raises:
        DataError: `histories` cannot be used.
        UsageError: `k` is more than the file lists.
        BundleError: a file of `edge` is missing, damaged or of another pair.
    """
    if out.is_dir():
        raise UsageError(f"{out} is a folder; give the file to write, e.g. {out}/predictions.jsonl")
    people = list(read_histories_file(histories))
    if not people:
        raise DataError(f"{histories} holds no history; {_FORM}")
    recommender = EdgeRecommender(edge, tower=tower)
    known = frozenset(recommender.item_ids)
    shown = min(k, len(known)) if k > 0 else k
    lengths, empty, by_text, unknown = [], 0, 0, 0
    with atomic_file(out) as temporary, temporary.open("w", encoding="ascii") as stream:
        for user_id, history in track(people, "rank users"):
            found = recommender.recommend(history, shown)
            items = [one.item_id for one in found]
            stream.write(json.dumps({"user_id": user_id, "items": items}) + "\n")
            lengths.append(len(items))
            texts = sum(isinstance(entry, NewItem) for entry in history)
            ids = sum(isinstance(entry, str) and entry in known for entry in history)
            by_text += texts
            unknown += len(history) - texts - ids
            empty += texts + ids == 0
    return {
        "out": str(out),
        "k": k,
        "users": len(people),
        "users_without_history": empty,
        "history_by_text": by_text,
        "unknown_ids": unknown,
        "short_lists": sum(length < k for length in lengths),
    }


def read_histories_file(path: Path) -> Iterator[tuple[str, History]]:
    """User ids with their histories; blank lines do not count.

    Raises:
        DataError: the file cannot be read, or a line is of another form.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); {_FORM}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no UTF-8 ({error.reason}); {_FORM}") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _read(line, f"{path}, line {number}")


def _read(line: str, where: str) -> tuple[str, History]:
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where} is no JSON ({error}); {_FORM}") from error
    if not isinstance(fields, dict) or set(fields) != {"user_id", "history"}:
        raise DataError(f"{where} must have user_id and history and nothing else; {_FORM}")
    user_id, history = fields["user_id"], fields["history"]
    if not isinstance(user_id, str) or not isinstance(history, list):
        raise DataError(f"{where}: user_id must be a text and history a list; {_FORM}")
    return user_id, [_entry(entry, where) for entry in history]


def _entry(entry: object, where: str) -> str | NewItem:
    match entry:
        case str():
            return entry
        case {"text": str(text), **others} if not others:
            return NewItem(text)
    raise DataError(f"{where}: {json.dumps(entry)} is neither an id nor a text; {_FORM}")
