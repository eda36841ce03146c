"""What to embed and how. A frozen value, checked; no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dualtower.errors import UsageError
from dualtower_clients import _given

__all__ = ["DEFAULT_TIMEOUT_S", "ITEM_TOWER", "USER_TOWER", "BulkOptions"]

ITEM_TOWER, USER_TOWER = "item_tower", "user_tower"
DEFAULT_TIMEOUT_S = 60.0  # nobody waits for a single answer, and a batch is long

_DUPLICATES = ("quarantine", "keep")


@dataclass(frozen=True)
class BulkOptions:
    """How a run reads, asks and writes.

    Attributes:
        model: "item_tower" embeds texts, "user_tower" histories of texts.
        id_column: the column of ids, which are strings.
        text_column: of the item tower.
        history_column: of the user tower, lists of strings, most recent first; the empty list is
            somebody of whom nothing is known. In CSV a cell holds a list in JSON.
        label, version: which version is asked; neither: the highest that the server has.
        expect_fingerprint: of the bundle or index that the vectors are for.
        duplicates: of an id that comes again the row is put aside ("quarantine") or embedded as
            well ("keep"), which needs no index of the ids.
        max_text_bytes: a longer text, in UTF-8, is put aside. A tower reads the first tokens only,
            so that such a text is an error of whoever made it more often than not.
        shard_rows: rows of the input for each shard; what a kill loses is at most one.
        batch_rows: rows of a request, at most; fewer where the server allows fewer.
        max_in_flight: requests under way, at most.
        timeout_s: the deadline of a request, its retries included.
        patience_s: a server that is lost or full is asked again for so long after its last answer.
    """

    model: Literal["item_tower", "user_tower"] = "item_tower"
    id_column: str = "item_id"
    text_column: str = "text"
    history_column: str = "history"
    label: str | None = None
    version: int | None = None
    expect_fingerprint: str | None = None
    duplicates: Literal["quarantine", "keep"] = "quarantine"
    max_text_bytes: int = 65_536
    shard_rows: int = 100_000
    batch_rows: int = 256
    max_in_flight: int = 64
    timeout_s: float = DEFAULT_TIMEOUT_S
    patience_s: float = 300.0

    def __post_init__(self) -> None:
        if self.model not in (ITEM_TOWER, USER_TOWER):
            raise UsageError(f"model must be {ITEM_TOWER} or {USER_TOWER}, got {self.model!r}")
        if self.duplicates not in _DUPLICATES:
            raise UsageError(
                f"duplicates must be {' or '.join(_DUPLICATES)}, got {self.duplicates!r}"
            )
        if self.label is not None and self.version is not None:
            raise UsageError(
                f"give the label {self.label!r} or the version {self.version}, not both"
            )
        if self.id_column == "embedding":
            raise UsageError("the column 'embedding' is the output's; rename that of the ids")
        for name in ("id_column", "text_column", "history_column"):
            _check_text(name, getattr(self, name))
        for name in ("label", "expect_fingerprint"):
            if getattr(self, name) is not None:
                _check_text(name, getattr(self, name))
        if self.version is not None and _given.count(self.version, "version") < 0:
            raise UsageError(f"version must not be negative, got {self.version}")
        for name in ("max_text_bytes", "shard_rows", "batch_rows", "max_in_flight"):
            if _given.count(getattr(self, name), name) < 1:
                raise UsageError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("timeout_s", "patience_s"):
            if _given.seconds(getattr(self, name), name) <= 0:
                raise UsageError(f"{name} must be more than 0, got {getattr(self, name)}")

    @property
    def is_of_users(self) -> bool:
        return self.model == USER_TOWER

    @property
    def content_column(self) -> str:
        """The column that is embedded."""
        return self.history_column if self.is_of_users else self.text_column

    def of_output(self) -> dict[str, str | int]:
        """The options that the output depends on, which a run that is resumed has to share."""
        return {
            "model": self.model,
            "id_column": self.id_column,
            "content_column": self.content_column,
            "duplicates": self.duplicates,
            "max_text_bytes": self.max_text_bytes,
            "shard_rows": self.shard_rows,
        }


def _check_text(name: str, given: object) -> None:
    if not isinstance(given, str) or not given:
        raise UsageError(f"{name} must be a text that is not empty, got {given!r}")
