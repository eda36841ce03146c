"""What a recommender asks, and what it makes of the answers. Pure: no channel, no lock, no await.

    recommend, embed ─► Need ─► Question ─► Need ─► results
                          │                   │
                          └── covered by a pair that is known, or check ─► Question × 3

Each plan is a generator of steps. Whoever runs it, by threads or for asyncio, puts a Question to
the server, answers a Need by `covering` or by running `check`, one at a time, and sends the outcome
back in, errors included.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dualtower.errors import BundleMismatch, UsageError
from dualtower_clients import _given, _requests, _responses
from dualtower_clients._calls import CallFacts
from dualtower_clients._pair import KnownPairs, Pair, check_pair
from dualtower_clients.errors import DeadlineExceeded, ModelNotFound, ServerUnreachable
from dualtower_clients.results import Description, Embeddings, Prediction, Recommendation

__all__ = [
    "BY_IDS",
    "BY_TEXTS",
    "MODELS",
    "Budget",
    "Histories",
    "Need",
    "Question",
    "Recommending",
    "Step",
    "Steps",
    "instance_of",
]

MODELS = ("user_tower", "item_tower", "recommender")
_SWAP_ATTEMPTS = 3
_FLEET_ATTEMPTS = 16  # to meet a server of a fleet that has a version
_FLEET_SCHEMES = ("dns:", "ipv4:", "ipv6:", "xds:")

T = TypeVar("T")


class Where(NamedTuple):
    """Who answered: an address, and which run of a server there, "" where it names none."""

    address: str
    instance: str


class Histories(NamedTuple):
    """How a history is given: the signature that reads it, and its input."""

    signature: str
    alias: str


BY_TEXTS = Histories("serving_default", "history")
BY_IDS = Histories("from_item_ids", "item_ids")


@dataclass(frozen=True)
class Question:
    """One Predict call.

    Attributes:
        model: which of MODELS.
        signature: which of its signatures.
        inputs: arrays by alias.
        version: in place of what the label or the server chooses.
        label: in place of what the server chooses.
        address: that has to answer; None: any of them.
    """

    model: str
    signature: str
    inputs: Mapping[str, ArrayLike] = field(default_factory=dict)
    version: int | None = None
    label: str | None = None
    address: str | None = None


@dataclass(frozen=True)
class Need:
    """A pair is needed: the one that an answer is of, or, before there is one, any that is known.

    Attributes:
        model: that answered; "" before there is an answer.
        version: of the model.
        address: where it answered.
        instance: the run of the server there, where it names one.
        anew: what is known does not do.
    """

    model: str = ""
    version: int = 0
    address: str = ""
    instance: str = ""
    anew: bool = False


Step = Question | Need
Steps = Generator["Question | Need", Any, T]


class Budget:
    """The time of one call of the user, which all that it needs has to share.

    Args:
        timeout_s: all of it.
        address: named in the error.
    """

    def __init__(self, timeout_s: float, address: str) -> None:
        self._timeout_s, self._address = _given.seconds(timeout_s, "timeout_s"), address
        self._deadline_s = time.monotonic() + self._timeout_s

    def left_s(self) -> float:
        """What is left of it.

        Raises:
            DeadlineExceeded: nothing.
        """
        left_s = self._deadline_s - time.monotonic()
        if left_s <= 0:
            raise self.is_over()
        return left_s

    def is_over(self) -> DeadlineExceeded:
        """The error that says so."""
        return DeadlineExceeded(
            f"no answer of {self._address} that could be checked within {self._timeout_s:g} s; "
            "raise timeout_s, or send smaller batches",
            address=self._address,
        )


class Recommending:
    """The plans of one recommender, and the pairs that it knows. Threads may share it.

    Args:
        expected: the fingerprint of the bundle or index that the caller holds, if any.
        label: of the versions that are asked for.
        version: that is asked for, of all three models.

    Raises:
        UsageError: a label and a version, or one that is none.
    """

    def __init__(self, *, expected: str | None, label: str | None, version: int | None) -> None:
        if label is not None and version is not None:
            raise UsageError(f"give the label {label!r} or the version {version}, not both")
        for name, said in (("label", label), ("expect_fingerprint", expected)):
            if said is not None and (not isinstance(said, str) or not said):
                raise UsageError(f"{name} must be a text that is not empty, or None, got {said!r}")
        if version is not None and _given.count(version, "version") < 0:
            raise UsageError(f"version must not be negative, got {version}")
        self._expected, self._label, self._version = expected, label, version
        self._known = KnownPairs()

    def recommend(
        self,
        source: Histories,
        histories: Sequence[Sequence[str]],
        *,
        k: int,
        exclude: Sequence[Sequence[str]] | None,
    ) -> Steps[list[Recommendation]]:
        """The best `k` items of each history."""
        k, given = _given.count(k, "k"), _given.histories(histories)
        excluded = _given.exclusions(exclude, len(given))
        pair: Pair = yield Need()
        pair.check_k(k)
        if not given:
            return []
        rows = _requests.history_rows(given, pair.history_items)
        if source is BY_IDS:  # what the models no longer read is still known
            excluded = [
                [*row, *_requests.beyond(history, pair.history_items)]
                for row, history in zip(excluded, given, strict=True)
            ]
        inputs = {
            source.alias: _strings(rows),
            "exclude": _strings(_requests.exclude_rows(excluded)),
        }
        question = Question("recommender", source.signature, inputs)
        answer, pair = yield from self._ask(question)
        pair.check_k(k)  # it may be another one than before
        facts = _facts(answer, question.model)
        return _responses.recommendations(
            answer, rows=len(rows), k=k, fingerprint=pair.fingerprint, facts=facts
        )

    def embed_histories(
        self, source: Histories, histories: Sequence[Sequence[str]]
    ) -> Steps[Embeddings]:
        """A vector for each history."""
        given = _given.histories(histories)
        pair: Pair = yield Need()
        rows = _requests.history_rows(given, pair.history_items)
        question = Question("user_tower", source.signature, {source.alias: _strings(rows)})
        return (yield from self._embed(question, len(rows)))

    def embed_items(self, texts: Sequence[str]) -> Steps[Embeddings]:
        """A vector for each item text."""
        given = _given.texts(texts, "embed_items")
        question = Question("item_tower", "serving_default", {"text": _strings(given)})
        return (yield from self._embed(question, len(given)))

    def describe(self) -> Steps[Mapping[str, Description]]:
        """What the three models of whoever answers say of themselves, asked anew."""
        pair: Pair = yield from self.answering()
        return pair.descriptions

    def answering(self) -> Steps[Pair]:
        """The pair of whoever answers, asked anew."""
        pair: Pair = yield Need(anew=True)
        return pair

    def connection_lost(self) -> None:
        """Whoever answers over the next connection may serve another bundle. Any thread."""
        self._known.forget()

    def covering(self, need: Need) -> Pair | None:
        """The pair that is known to meet this need."""
        if need.anew:
            return None
        if not need.model:
            return self._known.current
        return self._known.covering(need.address, need.model, need.version, need.instance)

    def check(self, need: Need) -> Steps[Pair]:
        """The pair, from its models' own words, unless somebody has asked for them meanwhile."""
        while True:
            if pair := self.covering(need):
                return pair
            era = self._known.era
            try:
                pair = yield from self._confirmed(need)
                if pair is None:
                    pair = yield from self._described_for(need)
            except BundleMismatch:
                if self._known.era == era:
                    raise
                continue  # a server was lost meanwhile: the words are of two that differ
            if self._known.add(pair, era):
                return pair

    def _ask(self, question: Question) -> Steps[tuple[Prediction, Pair]]:
        """One Predict call, and the checked pair that its answer belongs to."""
        question = self._chosen(question)
        losses = 0
        while True:
            era = self._known.era
            try:
                answer: Prediction = yield question
            except (ModelNotFound, ServerUnreachable):  # what is loaded next may be another bundle
                self._known.forget()
                raise
            if answer.failures:  # whoever answered now may serve another bundle than before
                era = self._known.forget()
            try:
                instance = instance_of(answer)
                pair: Pair = yield Need(question.model, answer.version, answer.address, instance)
            except (ModelNotFound, ServerUnreachable):
                # this version was unloaded, or its server lost, between the answer and the check
                self._known.forget()
                losses += 1
                if losses == _SWAP_ATTEMPTS:
                    raise
                continue
            if self._known.era == era and pair.instance == instance:
                return answer, pair
            # a server was lost meanwhile, or replaced, and it may have been this answer's

    def _embed(self, question: Question, rows: int) -> Steps[Embeddings]:
        if not rows:
            pair: Pair = yield Need()
            version = pair.descriptions[question.model].version
            empty = np.zeros((0, pair.dim), np.float32)
            return Embeddings(empty, version, pair.fingerprint, 0.0, pair.address, 0)
        answer, pair = yield from self._ask(question)
        facts = _facts(answer, question.model)
        vectors = _responses.vectors(answer, rows=rows, dim=pair.dim, facts=facts)
        return Embeddings(
            vectors,
            answer.version,
            pair.fingerprint,
            answer.elapsed_ms,
            answer.address,
            answer.attempts,
        )

    def _confirmed(self, need: Need) -> Steps[Pair | None]:
        """The pair that the answer would have been of before a silence, if it is there still."""
        pair = self._known.covered_once(need.address, need.model, need.version, need.instance)
        if pair is None:
            return None
        said, where = yield from self._description(need.model, need.version, need.address)
        same = said.fingerprint == pair.fingerprint and where.instance == pair.instance
        return pair if same else None

    def _described_for(self, need: Need) -> Steps[Pair]:
        if not need.model:
            return (yield from self._described_together())
        if self._label is None and not _is_fleet(need.address):
            return (yield from self._described({need.model: need.version}, need.address))
        # a pair has one version, and it answers also when the label has moved on, or when the next
        # server of a fleet has another one as its latest
        return (yield from self._described(dict.fromkeys(MODELS, need.version), need.address))

    def _described_together(self) -> Steps[Pair]:
        """Of whoever answers; asked again where a label moved between two of the models."""
        for _ in range(_SWAP_ATTEMPTS - 1 if self._label is not None else 0):
            try:
                return (yield from self._described({}, None))
            except BundleMismatch:
                continue
        return (yield from self._described({}, None))

    def _described(self, versions: Mapping[str, int], address: str | None) -> Steps[Pair]:
        """The three models at one address, that of the first answer unless one is given."""
        descriptions: dict[str, Description] = {}
        where = None
        for model in MODELS:
            version = versions.get(model)
            if descriptions and version is None and _is_fleet(address or ""):
                version = next(iter(descriptions.values())).version
            before = where
            said, where = yield from self._description(model, version, address)
            if before is not None and where.instance != before.instance:
                self._known.forget()  # it was replaced between two words: `check` asks again
            address, descriptions[model] = where.address, said
        assert where is not None
        return check_pair(
            descriptions,
            address=where.address,
            expected=self._expected,
            instance=where.instance,
        )

    def _description(
        self, model: str, version: int | None, address: str | None
    ) -> Steps[tuple[Description, Where]]:
        """What a model says of itself, and where it said so."""
        question = self._chosen(Question(model, "describe", version=version, address=address))
        is_fleet = question.version is not None and _is_fleet(address or "")
        for attempts_left in reversed(range(_FLEET_ATTEMPTS if is_fleet else 1)):
            try:
                answer: Prediction = yield question
                break
            except ModelNotFound:  # at this server of the fleet; the next one may have it
                if not attempts_left:
                    raise
        if answer.failures:
            self._known.forget()
        where = Where(answer.address, instance_of(answer))
        return _responses.description(answer, _facts(answer, model)), where

    def _chosen(self, question: Question) -> Question:
        """For the version or the label that this recommender stands for."""
        if question.version is not None:
            return question
        return replace(question, version=self._version, label=self._label)


def _is_fleet(address: str) -> bool:
    """Whether several servers may answer in turn under this one name."""
    return address.startswith(_FLEET_SCHEMES)


def instance_of(answer: Prediction) -> str:
    """The run of the server that answered; of a fleet none, whose next answer is another one's."""
    return "" if _is_fleet(answer.address) else answer.instance


def _facts(answer: Prediction, model: str) -> CallFacts:
    return CallFacts(answer.address, model, answer.elapsed_ms / 1e3, answer.attempts)


def _strings(rows: Sequence[str] | Sequence[Sequence[str]]) -> NDArray[np.object_]:
    """An object array of strings; numpy's own string arrays would drop trailing NULs."""
    return np.array(rows, dtype=object)
