"""The three models of a bundle in this process, from its files for a phone. No server.

Question ─► item tower, user tower (LiteRT) ─► outputs, as of a server
            catalogue vectors, ranking (numpy)
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dualtower.bundle import Bundle
from dualtower.errors import BundleMismatch, UnavailableError, UsageError
from dualtower_clients import _given
from dualtower_clients._recommending import MODELS
from dualtower_clients.errors import CallCancelled, DeadlineExceeded
from dualtower_clients.results import Prediction, VersionStatus

try:
    from dualtower.edge.catalogue import FACTS, read_catalogue
    from dualtower.edge.runner import EdgeItemTower, EdgeUserTower, tower_path
except ImportError as error:
    raise UnavailableError(
        f"the files for a phone need the extra 'edge' ({error}): pip install 'dualtower[edge]'"
    ) from error

__all__ = ["EdgeModels"]

Outputs = dict[str, NDArray[Any]]


class EdgeModels:
    """The models of one bundle. Threads may share them; one at a time computes.

    Args:
        path: of what `dualtower export` wrote.
        variant: format of the towers; None takes the smallest of each that is there.
        threads: of an interpreter.

    Attributes:
        address: where the files are.

    Raises:
        UsageError: an argument is none.
        BundleError: it is no bundle.
    """

    def __init__(self, path: str | os.PathLike[str], *, variant: str | None, threads: int) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise UsageError(f"bundle must be the path of one, got {path!r}")
        if variant is not None and not isinstance(variant, str):
            raise UsageError(f"variant must be a text such as 'float32', or None, got {variant!r}")
        if _given.count(threads, "threads") < 1:
            raise UsageError(f"threads must be at least 1, got {threads}")
        bundle = Bundle.open(path)
        self.address = str(bundle.edge_path)
        self.status = (VersionStatus(bundle.version, "AVAILABLE", "OK", ""),)
        self._bundle, self._variant, self._threads = bundle, variant, threads
        self._computing = threading.Lock()

    def load(self) -> None:
        """Reads the files, which the first `ask` does otherwise.

        Raises:
            BundleError: a file is missing or damaged.
            BundleMismatch: a file belongs to another bundle.
        """
        with self._computing:
            self._models  # noqa: B018

    def ask(
        self, model: str, signature: str, inputs: Mapping[str, ArrayLike], *, timeout_s: float
    ) -> Prediction:
        """What a server would answer. A deadline ends the waiting for a turn; what runs, runs.

        Raises:
            DeadlineExceeded: others computed for so long.
        """
        begin_ns = time.monotonic_ns()
        if not self._computing.acquire(timeout=min(max(timeout_s, 0), threading.TIMEOUT_MAX)):
            raise self.too_late(model, timeout_s)
        try:
            outputs = self._models.signatures[model, signature](
                {alias: np.asarray(value) for alias, value in inputs.items()}
            )
        finally:
            self._computing.release()
        return Prediction(
            outputs=outputs,
            model=model,
            version=self._bundle.version,
            signature=signature,
            elapsed_ms=(time.monotonic_ns() - begin_ns) / 1e6,
            address=self.address,
            attempts=1,
            failures=0,
        )

    def too_late(self, model: str, timeout_s: float) -> DeadlineExceeded:
        """What a call ends with that had no answer in time."""
        return DeadlineExceeded(
            f"no answer of {model!r} within {timeout_s:g} s by the files in {self.address}, where "
            "calls take turns; raise timeout_s, or send smaller batches",
            address=self.address,
            model=model,
        )

    def closed_error(self, model: str) -> CallCancelled:
        """What a call of a closed client ends with."""
        return CallCancelled(
            f"the client of {self.address} is closed; open a new one",
            address=self.address,
            model=model,
        )

    @cached_property
    def _models(self) -> _Models:
        return _Models(self._bundle, self._variant, self._threads)


class _Models:
    """The signatures of the three models as functions, [batch, ...] in and out."""

    def __init__(self, bundle: Bundle, variant: str | None, threads: int) -> None:
        self._bundle, self._variant, self._threads = bundle, variant, threads
        self._catalogue = read_catalogue(bundle.edge_path)
        self._facts = self._catalogue.facts
        if self._facts["fingerprint"] != bundle.fingerprint:
            raise BundleMismatch(
                expected=f"{bundle.fingerprint} (the bundle's)",
                found=str(self._facts["fingerprint"]),
                where=str(bundle.edge_path / FACTS),
                repair="export the bundle again, or copy it anew",
            )
        self._row_of = {item_id: row for row, item_id in enumerate(self._catalogue.item_ids)}
        self._k_max = int(bundle.manifest.get("k_max", len(self._row_of)))
        self._user_tower = EdgeUserTower(self._path("user_tower"), threads=threads)
        self._user_tower.model.must_share("fingerprint", bundle.fingerprint, FACTS)
        self.signatures: Mapping[tuple[str, str], Callable[[Outputs], Outputs]] = {
            ("item_tower", "serving_default"): self._embed_items,
            ("user_tower", "serving_default"): self._embed_texts,
            ("user_tower", "from_item_ids"): self._embed_ids,
            ("recommender", "serving_default"): self._rank_texts,
            ("recommender", "from_item_ids"): self._rank_ids,
            **{(model, "describe"): self._describe for model in MODELS},
        }

    @cached_property
    def _item_tower(self) -> EdgeItemTower:
        """Loaded at the first text."""
        tower = EdgeItemTower(self._path("item_tower"), threads=self._threads)
        tower.model.must_share("fingerprint", self._bundle.fingerprint, FACTS)
        return tower

    @cached_property
    def _rows_of_text(self) -> dict[str, list[int]]:
        """Which rows have a text: a history that names it means these items, as at a server."""
        try:
            import pyarrow.parquet as pq
        except ImportError as error:
            raise UnavailableError(
                f"histories of texts are compared with {self._bundle.catalogue_path}, which needs "
                "pyarrow: pip install pyarrow; histories of item ids do not"
            ) from error
        table = pq.read_table(self._bundle.catalogue_path, columns=["item_id", "text"])
        found: dict[str, list[int]] = {}
        for one in table.to_pylist():
            if one["text"]:  # "" fills requests up
                found.setdefault(one["text"], []).append(self._row_of[one["item_id"]])
        return found

    def _path(self, part: str) -> Path:
        return tower_path(self._bundle.edge_path, part, self._variant)

    def _describe(self, inputs: Outputs) -> Outputs:
        facts = self._facts
        return {
            "fingerprint": np.array([facts["fingerprint"]], object),
            "bundle_version": np.array([facts["version"]], np.int64),
            "dim": np.array([facts["dim"]], np.int32),
            "history_items": np.array([facts["history_items"]], np.int32),
            "item_tokens": np.array([facts["item_tokens"]], np.int32),
            "k_max": np.array([self._k_max], np.int32),
        }

    def _embed_items(self, inputs: Outputs) -> Outputs:
        return {"embedding": self._item_tower.embed(inputs["text"].tolist())}

    def _embed_texts(self, inputs: Outputs) -> Outputs:
        return {"embedding": self._users_of_texts(inputs["history"])}

    def _embed_ids(self, inputs: Outputs) -> Outputs:
        return {"embedding": self._users_of_ids(inputs["item_ids"])}

    def _rank_texts(self, inputs: Outputs) -> Outputs:
        taken = [
            [row for text in _entries(history) for row in self._rows_of_text.get(text, ())]
            for history in inputs["history"]
        ]
        return self._ranked(self._users_of_texts(inputs["history"]), taken, inputs["exclude"])

    def _rank_ids(self, inputs: Outputs) -> Outputs:
        taken = [self._known(history) for history in inputs["item_ids"]]
        return self._ranked(self._users_of_ids(inputs["item_ids"]), taken, inputs["exclude"])

    def _users_of_texts(self, histories: NDArray[Any]) -> NDArray[np.float32]:
        return self._user_tower.embed(
            [self._vectors_of_texts(_entries(history)) for history in histories]
        )

    def _users_of_ids(self, histories: NDArray[Any]) -> NDArray[np.float32]:
        vectors = self._catalogue.vectors
        return self._user_tower.embed([vectors[self._known(history)] for history in histories])

    def _vectors_of_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Of the catalogue where it has the text, else by the item tower; [texts, dim]."""
        rows = [self._rows_of_text.get(text, [-1])[0] for text in texts]
        vectors = self._catalogue.vectors[rows]
        fresh = [place for place, row in enumerate(rows) if row < 0]
        if fresh:
            vectors[fresh] = self._item_tower.embed([texts[place] for place in fresh])
        return vectors

    def _known(self, item_ids: NDArray[Any]) -> list[int]:
        return [self._row_of[entry] for entry in _entries(item_ids) if entry in self._row_of]

    def _ranked(
        self, users: NDArray[np.float32], taken: list[list[int]], excluded: NDArray[Any]
    ) -> Outputs:
        """The best rows of each user, of equal scores the lower row first; "" and -inf behind."""
        ids = np.full((len(users), self._k_max), b"", object)
        scores = np.full((len(users), self._k_max), -np.inf, np.float32)
        for place, user in enumerate(users):
            mine = self._catalogue.vectors @ user
            mine[self._catalogue.blocked] = -np.inf
            mine[taken[place] + self._known(excluded[place])] = -np.inf
            best = np.argsort(-mine, kind="stable")[: self._k_max]
            best = best[mine[best] > -np.inf]
            ids[place, : len(best)] = [self._catalogue.item_ids[row].encode() for row in best]
            scores[place, : len(best)] = mine[best]
        return {"item_ids": ids, "scores": scores}


def _entries(history: NDArray[Any]) -> list[str]:
    """What a row holds, without the "" that fills it up."""
    return [entry for entry in history.tolist() if entry]
