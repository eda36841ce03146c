"""The three models of a bundle without any learning: vectors are hashes of the words of a text.

The same text has the same vector on every machine, and texts that share words are near each other,
so that code which ranks has something sensible to rank.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dualtower.bundle import fingerprint_of
from dualtower_clients.results import TensorSpec
from dualtower_clients.testing.models import Arrays, FakeModel, FakeSignature, Refusal

__all__ = ["Rank", "bundle_models", "hash_vectors"]

Rank = Callable[[Sequence[str]], Sequence[str]]

_ITEM_TOKENS = 32
_STRINGS = TensorSpec("string", (-1, -1))


def hash_vectors(texts: Sequence[str | bytes], *, dim: int, salt: str = "") -> NDArray[np.float32]:
    """A vector of unit length for each text, float32 [texts, dim]: the sum over its words.

    Args:
        texts: of any language; words are what stands between spaces, in lower case.
        dim: length of a vector.
        salt: another one is another space.
    """
    rows = [_vector(_text(text), dim, salt) for text in texts]
    return np.array(rows, np.float32).reshape(len(rows), dim)


def bundle_models(
    items: Mapping[str, str],
    *,
    dim: int,
    version: int,
    history_items: int,
    k_max: int,
    salt: str,
    rank: Rank | None = None,
) -> dict[str, FakeModel]:
    """`user_tower`, `item_tower` and `recommender`, with the signatures of a bundle.

    Args:
        items: texts by id.
        dim: length of a vector.
        version: that `describe` says.
        history_items: entries of a history that count.
        k_max: the longest list.
        salt: another one is another space, with another fingerprint.
        rank: from a history to item ids, the best first; None ranks by the vectors.
    """
    space = _Space(items, dim, history_items, k_max, salt, rank)
    space_fields = {"dim": dim, "fake": True, "items": dict(items), "salt": salt}
    facts = {
        "fingerprint": fingerprint_of(space_fields),
        "bundle_version": np.int64(version),
        "dim": np.int32(dim),
        "history_items": np.int32(history_items),
        "item_tokens": np.int32(_ITEM_TOKENS),
        "k_max": np.int32(k_max),
    }
    embedding = {"embedding": TensorSpec("float32", (-1, dim))}
    ranking = {
        "item_ids": TensorSpec("string", (-1, k_max)),
        "scores": TensorSpec("float32", (-1, k_max)),
    }
    histories = {"history": _STRINGS}, {"item_ids": _STRINGS}
    excluding = {"exclude": _STRINGS}
    return {
        "user_tower": _model(
            "user_tower",
            facts,
            serving_default=FakeSignature(space.users_by_texts, histories[0], embedding),
            from_item_ids=FakeSignature(space.users_by_ids, histories[1], embedding),
        ),
        "item_tower": _model(
            "item_tower",
            facts,
            serving_default=FakeSignature(
                space.items, {"text": TensorSpec("string", (-1,))}, embedding
            ),
        ),
        "recommender": _model(
            "recommender",
            facts,
            serving_default=FakeSignature(
                space.rank_by_texts, {**histories[0], **excluding}, ranking
            ),
            from_item_ids=FakeSignature(space.rank_by_ids, {**histories[1], **excluding}, ranking),
        ),
    }


def _model(name: str, facts: Mapping[str, Any], **signatures: FakeSignature) -> FakeModel:
    def describe(inputs: Arrays) -> dict[str, NDArray[Any]]:
        rows = len(inputs["of"])
        said = {**facts, "model": name}
        return {
            alias: np.array([value] * rows, object if isinstance(value, str) else value.dtype)
            for alias, value in said.items()
        }

    described = FakeSignature(
        describe,
        inputs={"of": TensorSpec("string", (-1,))},
        defaults={"of": np.array([b""], object)},
    )
    return FakeModel({**signatures, "describe": described})


class _Space:
    """The functions of the three models over one catalogue."""

    def __init__(
        self,
        items: Mapping[str, str],
        dim: int,
        history_items: int,
        k_max: int,
        salt: str,
        rank: Rank | None,
    ) -> None:
        self._rank = rank
        self._dim, self._salt = dim, salt
        self._limit, self._k_max = history_items, k_max
        self._ids = list(items)
        self._row_of = {item_id: row for row, item_id in enumerate(items)}
        self._rows_of_text: dict[str, list[int]] = {}
        for row, text in enumerate(items.values()):
            self._rows_of_text.setdefault(text, []).append(row)
        self._catalogue = self._vectors(list(items.values()))

    def items(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        return {"embedding": self._vectors(inputs["text"].tolist())}

    def users_by_texts(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        return {"embedding": self._users_of_texts(inputs["history"])}

    def users_by_ids(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        return {"embedding": self._users_of_ids(inputs["item_ids"])}

    def rank_by_texts(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        taken = [
            [row for text in _entries(history) for row in self._rows_of_text.get(text, ())]
            for history in inputs["history"]
        ]
        return self._ranked(inputs["history"], self._users_of_texts, taken, inputs["exclude"])

    def rank_by_ids(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        taken = [self._known(history) for history in inputs["item_ids"]]
        return self._ranked(inputs["item_ids"], self._users_of_ids, taken, inputs["exclude"])

    def _vectors(self, texts: Sequence[str | bytes]) -> NDArray[np.float32]:
        return hash_vectors(texts, dim=self._dim, salt=self._salt)

    def _users_of_texts(self, histories: NDArray[Any]) -> NDArray[np.float32]:
        return self._pooled([self._vectors(_entries(row)[: self._limit]) for row in histories])

    def _users_of_ids(self, histories: NDArray[Any]) -> NDArray[np.float32]:
        return self._pooled([self._catalogue[self._known(row)[: self._limit]] for row in histories])

    def _pooled(self, histories: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """The direction of the sum; of nothing, that of the empty text."""
        fallback = self._vectors([""])[0]
        users = [vectors.sum(axis=0) if len(vectors) else fallback for vectors in histories]
        return _unit(np.array(users, np.float32).reshape(-1, self._dim))

    def _known(self, history: NDArray[Any]) -> list[int]:
        return [self._row_of[entry] for entry in _entries(history) if entry in self._row_of]

    def _ranked(
        self,
        histories: NDArray[Any],
        users_of: Callable[[NDArray[Any]], NDArray[np.float32]],
        taken: list[list[int]],
        excluded: NDArray[Any],
    ) -> dict[str, NDArray[Any]]:
        """The best of each user; of equal scores the one that comes first in the catalogue."""
        item_ids = np.full((len(histories), self._k_max), "", object)
        scores = np.full((len(histories), self._k_max), -np.inf, np.float32)
        if self._rank is None:
            found = [self._catalogue @ user for user in users_of(histories)]
        else:
            found = [self._told(self._rank(_entries(history))) for history in histories]
        for place, mine in enumerate(found):
            mine[taken[place] + self._known(excluded[place])] = -np.inf
            best = np.argsort(-mine, kind="stable")[: self._k_max]
            best = best[mine[best] > -np.inf]
            item_ids[place, : len(best)] = [self._ids[row] for row in best]
            scores[place, : len(best)] = mine[best]
        return {"item_ids": item_ids, "scores": scores}

    def _told(self, ranking: Sequence[str]) -> NDArray[np.float32]:
        """Scores of the whole catalogue for a list that a test has given."""
        unknown = [item_id for item_id in ranking if item_id not in self._row_of]
        if unknown:
            raise Refusal("INTERNAL", f"rank gave {unknown[0]!r}, which is no item of the bundle")
        scores = np.full(len(self._ids), -np.inf, np.float32)
        for place, item_id in enumerate(ranking, start=1):
            scores[self._row_of[item_id]] = 1 / place
        return scores


def _entries(history: NDArray[Any]) -> list[str]:
    """Each entry once, without the "" that fill a row up."""
    return [text for text in dict.fromkeys(map(_text, history.tolist())) if text]


def _text(text: str | bytes) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def _vector(text: str, dim: int, salt: str) -> NDArray[np.float64]:
    words = text.lower().split() or [""]
    total = np.sum([_hashed(word, dim, salt) for word in words], axis=0)
    return np.asarray(_unit(total), np.float64)


def _hashed(word: str, dim: int, salt: str) -> NDArray[np.float64]:
    """Numbers between -1 and 1, none of them 0."""
    seed = f"{salt}\0{word}".encode("utf-8", "surrogatepass")
    raw = hashlib.shake_256(seed).digest(4 * dim)
    return (np.frombuffer(raw, "<u4") + 0.5) / 2.0**31 - 1


def _unit(vectors: NDArray[Any]) -> NDArray[Any]:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / lengths)
