"""One model server, as a rollout sees it: what answers, under which labels, of which bundle."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType

from dualtower.bundle import MODELS
from dualtower_clients import (
    AccessDenied,
    DeadlineExceeded,
    ModelNotFound,
    RequestError,
    ResponseError,
    RetryableError,
    ServerFailure,
    ServerUnreachable,
    ServingClient,
    VersionStatus,
)
from dualtower_clients.proto import management_pb2
from dualtower_clients.settings import DEFAULT_SETTINGS, ChannelSettings

__all__ = ["DEAD", "Failed", "Labelled", "Replica"]

DEAD = 0  # the version of a label that points to nothing that is loaded, where it is not said
_NOT_LOADED = re.compile(r"Specific\(.*, (-?\d+)\)")
_NEVER_SET = "does not init yet"  # the stock server before its first labels
_POLL_S = 0.05
_STALE_S = 5.0  # an old failure may be shown until the server has looked at the disk again


@dataclass(frozen=True)
class Failed:
    """A version of a model that did not load, and the server's own words."""

    model: str
    version: int
    reason: str

    def __str__(self) -> str:
        return f"{self.model} version {self.version}: {self.reason}"


@dataclass(frozen=True)
class Labelled:
    """What one model answers under a label: a version and its fingerprint."""

    version: int
    fingerprint: str

    @property
    def is_dead(self) -> bool:
        """Whether the label points to a version that is not loaded."""
        return not self.fingerprint


class Replica:
    """A server at an address. A context manager.

    Args:
        address: as `ServingClient` takes it.
        timeout_s: of a single call.
        settings: of the connection.
    """

    def __init__(
        self,
        address: str,
        *,
        timeout_s: float = 10.0,
        settings: ChannelSettings = DEFAULT_SETTINGS,
    ) -> None:
        self.address = address
        self.client = ServingClient(address, timeout_s=timeout_s, settings=settings)

    def __enter__(self) -> Replica:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.client.close()

    def wait_for_answer(self, *, timeout_s: float) -> None:
        """Returns when the server answers anything at all.

        Raises:
            ServerUnreachable: it did not within the time.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self.client.status(MODELS[0])
                return
            except ModelNotFound:
                return
            except RetryableError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_POLL_S)

    def statuses(self, model: str) -> dict[int, VersionStatus]:
        """All versions of a model that the server knows of."""
        try:
            return {one.version: one for one in self.client.status(model)}
        except ModelNotFound:
            return {}

    def available(self) -> dict[str, frozenset[int]]:
        """The versions that answer, by model."""
        return {
            model: frozenset(
                one.version for one in self.statuses(model).values() if one.state == "AVAILABLE"
            )
            for model in MODELS
        }

    def whole_versions(self) -> frozenset[int]:
        """Versions that answer in all three models."""
        return frozenset.intersection(*self.available().values())

    def fingerprints(self, version: int) -> dict[str, str]:
        """What each model of a version says it is of; "" where that version does not answer."""
        return {model: self.fingerprint_of(model, version) for model in MODELS}

    def label(self, label: str) -> dict[str, Labelled | None]:
        """What each model answers under a label; None where it does not know the label."""
        return {model: self._labelled(model, label) for model in MODELS}

    def reload(self, config: management_pb2.ModelServerConfig, *, timeout_s: float) -> str:
        """Gives the server a configuration; returns why it refuses it, "" if it does not.

        The server itself waits for a new model. Neither the end of its patience nor of ours is a
        verdict: who asks for versions looks at their states afterwards.

        Raises:
            ServerUnreachable: nobody answers.
        """
        try:
            self.client.reload(config, timeout_s=timeout_s)
        except (RequestError, AccessDenied) as error:
            return error.server_message or str(error)
        except (DeadlineExceeded, ServerFailure):
            pass
        return ""

    def failures(self, versions: Collection[int]) -> list[Failed]:
        """Versions that have failed to load, as the server shows it now."""
        return [
            Failed(model, version, f"{one.error_code} {one.error_message}".strip())
            for model in MODELS
            for version, one in self.statuses(model).items()
            if version in versions and one.state == "END" and one.error_code != "OK"
        ]

    def wait_loaded(
        self, versions: Collection[int], *, timeout_s: float, known_failures: Iterable[Failed] = ()
    ) -> list[Failed]:
        """Waits until the versions answer in all models; returns those that will not.

        Args:
            versions: all of them have to answer.
            timeout_s: how long the slowest may take.
            known_failures: shown before the servers were asked to load; they may be old news.
        """
        known = set(known_failures)
        begin = time.monotonic()
        while True:
            waited_s = time.monotonic() - begin
            missing = self._missing(versions)
            if not missing:
                return []
            failed = [one for one in self.failures(versions) if not self._loaded(one)]
            if failed := [one for one in failed if one not in known or waited_s > _STALE_S]:
                return failed
            if waited_s > timeout_s:
                return [
                    Failed(model, version, self._why_not(model, version, timeout_s))
                    for model, version in missing
                ]
            time.sleep(_POLL_S)

    def _missing(self, versions: Collection[int]) -> list[tuple[str, int]]:
        there = self.available()
        return [
            (model, version)
            for model in MODELS
            for version in sorted(versions)
            if version not in there[model]
        ]

    def _loaded(self, failed: Failed) -> bool:
        one = self.statuses(failed.model).get(failed.version)
        return one is not None and one.state == "AVAILABLE"

    def _why_not(self, model: str, version: int, timeout_s: float) -> str:
        one = self.statuses(model).get(version)
        if one is None:
            return (
                f"the server has not seen it within {timeout_s:g} s; does it read the folder that "
                "it was pushed to? (--server-root names it, as the servers see it)"
            )
        return (
            f"still {one.state} after {timeout_s:g} s; the server tries a failed load again after "
            "--load_retry_interval_micros, its log says more"
        )

    def fingerprint_of(self, model: str, version: int) -> str:
        """What one model of a version says it is of; "" where that version does not answer."""
        try:
            answer = self.client.predict(
                model, {}, signature="describe", outputs=["fingerprint"], version=version
            )
        except ModelNotFound:
            return ""
        return _text(answer.outputs)

    def _labelled(self, model: str, label: str) -> Labelled | None:
        try:
            answer = self.client.predict(
                model, {}, signature="describe", outputs=["fingerprint"], label=label
            )
        except ModelNotFound as error:
            found = _NOT_LOADED.search(error.server_message)
            return Labelled(int(found[1]) if found else DEAD, "")
        except RequestError as error:
            if "label" in error.server_message:
                return None
            raise
        except ServerUnreachable as error:
            if _NEVER_SET in error.server_message:
                return None
            raise
        return Labelled(answer.version, _text(answer.outputs))


def _text(outputs: Mapping[str, object]) -> str:
    value = outputs.get("fingerprint")
    first = getattr(value, "flat", [None])[0]
    if not isinstance(first, bytes):
        raise ResponseError("a model's description has no fingerprint; is it a model of a bundle?")
    return first.decode("utf-8", "replace")
