"""Clients that ask under a label without pause, and hold every answer against what it must be."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from dualtower.bundle import MODELS
from dualtower.errors import DualtowerError
from dualtower_clients import Recommender, ServingClient

HISTORIES = [[f"item number {number}" for number in range(first, 8, 3)] for first in range(6)]
TEXTS = ["item number 1", "something else"]
_PAUSE_S = 0.003  # so that server and rollout get a core of a small machine too


@dataclass(frozen=True)
class Expected:
    """What one pair answers, asked by its version before the hammering begins."""

    fingerprint: str
    lists: tuple[tuple[str, ...], ...]
    scores: np.ndarray  # [histories, texts]

    @classmethod
    def of(cls, address: str, version: int) -> Expected:
        with Recommender(address, version=version) as pair:
            lists = tuple(one.item_ids for one in pair.recommend_batch(HISTORIES, k=5))
            scores = pair.embed_users(HISTORIES).vectors @ pair.embed_items(TEXTS).vectors.T
            return cls(pair.recommend([], k=1).fingerprint, lists, scores)


@dataclass
class Hammer:
    """Threads that ask until `stop`.

    Attributes:
        wrong: answers that are of no pair, or of two.
        failed: calls that raised.
        asked: answers by version.
    """

    address: str
    expected: Mapping[int, Expected]
    label: str = "stable"
    wrong: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    asked: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(ask,))
            for ask in (self._recommend, self._recommend, self._pinned, self._between_two_calls)
        ]

    def __enter__(self) -> Hammer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, ask) -> None:
        with (
            Recommender(self.address, label=self.label) as recommender,
            ServingClient(self.address) as plain,
        ):
            while not self._ending.is_set():
                try:
                    ask(recommender, plain)
                except DualtowerError as error:
                    self.failed.append(f"{ask.__name__}: {type(error).__name__}: {error}")
                except Exception as error:  # a thread that dies must not pass for a good one
                    self.wrong.append(f"{ask.__name__}: {error!r}")
                self._ending.wait(_PAUSE_S)

    def _recommend(self, recommender: Recommender, plain: ServingClient) -> None:
        """One call: the list of the very pair that the answer names."""
        which = random.randrange(len(HISTORIES))
        answer = recommender.recommend(HISTORIES[which], k=5)
        expected = self.expected[answer.version]
        if (answer.fingerprint, answer.item_ids) != (expected.fingerprint, expected.lists[which]):
            self.wrong.append(f"recommend {which}: {answer}")
        self.asked[answer.version] = self.asked.get(answer.version, 0) + 1

    def _pinned(self, recommender: Recommender, plain: ServingClient) -> None:
        """Two calls whose results are brought together: of one pair, wherever the label is."""
        with recommender.pinned() as pair:
            users, items = pair.embed_users(HISTORIES), pair.embed_items(TEXTS)
        scores = users.vectors @ items.vectors.T
        same = users.fingerprint == items.fingerprint and users.version == items.version
        if not same or not np.allclose(scores, self.expected[users.version].scores, atol=1e-5):
            self.wrong.append(f"pinned: {users.version} with {items.version}")

    def _between_two_calls(self, recommender: Recommender, plain: ServingClient) -> None:
        """Where a model answers the same before and after the others, no swap came between."""
        first = self._describe(plain, MODELS[0])
        others = {self._describe(plain, model) for model in MODELS[1:]}
        if self._describe(plain, MODELS[0]) == first and others != {first}:
            self.wrong.append(f"under one label: {first} with {others}")

    def _describe(self, plain: ServingClient, model: str) -> tuple[int, bytes]:
        answer = plain.predict(model, {}, signature="describe", label=self.label)
        return answer.version, answer.outputs["fingerprint"][0]
