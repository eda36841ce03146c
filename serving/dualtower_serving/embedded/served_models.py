"""The models that a server holds: found on disk, loaded, leased to calls, unloaded.

One thread looks at the base paths and decides by the rules of `model_versions`; loads run in
threads of their own, so that a slow or a failing one holds up no other model. Nothing here knows
TensorFlow: `load` is given.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from dualtower_serving.embedded.model_config import ModelSettings
from dualtower_serving.embedded.model_versions import Model, State, Version, VersionState
from dualtower_serving.embedded.status import Code, StatusError
from dualtower_serving.embedded.versions import choose, on_disk

__all__ = ["Lease", "LoadRules", "ServedModels"]

_WAIT_S = 0.5  # how often a waiting caller looks whether it still has to wait
_REMIND_S = 10.0

_log = logging.getLogger(__name__)


class Closable(Protocol):
    """What `load` returns."""

    def close(self) -> None:
        """Frees what the version holds; no call uses it any more."""


S = TypeVar("S", bound=Closable)


@dataclass(frozen=True)
class LoadRules:
    """How loads are run.

    Attributes:
        retries: further attempts after a failed load.
        retry_pause_s: the time between them.
        threads: loads at a time.
    """

    retries: int = 5
    retry_pause_s: float = 60.0
    threads: int = 4


class Lease(Generic[S]):
    """A version that stays loaded while the lease is held. A context manager."""

    __slots__ = ("_models", "_version", "servable", "version")

    def __init__(self, models: ServedModels[S], version: Version[S], servable: S) -> None:
        self._models, self._version = models, version
        self.servable = servable
        self.version = version.number

    def __enter__(self) -> Lease[S]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._models._release(self._version)


class ServedModels(Generic[S]):
    """All models of a server, by name. Threads may share it.

    Args:
        load: makes a version ready to answer, warm-up included; called in a load thread with
            model name, version and path. Raises StatusError where it fails.
        rules: retries and threads.
        poll_s: how often base paths are looked at; 0 looks once after each new configuration,
            a negative value never.
    """

    def __init__(
        self,
        load: Callable[[str, int, str], S],
        *,
        rules: LoadRules | None = None,
        poll_s: float = 1.0,
    ) -> None:
        self._load_version = load
        self._rules = rules or LoadRules()
        self._poll_s = poll_s
        self._models: dict[str, Model[S]] = {}
        self._changed = threading.Condition()
        self._pending = False  # something changed since the deciding thread last looked
        self._scan_at_ns: int | None = None
        self._stopping = False
        self._loads = ThreadPoolExecutor(self._rules.threads, thread_name_prefix="load")
        self._thread = threading.Thread(target=self._decide, name="served-models", daemon=True)

    def start(self) -> None:
        """Begins to look at base paths and to load."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the deciding thread and closes what no call holds; loads that run are abandoned."""
        with self._changed:
            self._stopping = True
            self._notify()
        self._loads.shutdown(wait=False, cancel_futures=True)
        self._thread.join()
        with self._changed:
            versions = [one for model in self._models.values() for one in model.versions.values()]
            closing = [one.servable for one in versions if not one.leases]
        for servable in closing:
            if servable is not None:
                servable.close()

    def configure(self, settings: Mapping[str, ModelSettings]) -> None:
        """Replaces the whole configuration; models not named are unloaded. Returns at once."""
        with self._changed:
            for name in settings:
                self._models.setdefault(name, Model(name))
            for name, model in self._models.items():
                new = settings.get(name)
                if new != model.settings:
                    model.settings, model.scanned = new, False
                if new is None:
                    model.wanted = {}
            self._scan_at_ns = time.monotonic_ns() if self._poll_s >= 0 else None
            self._notify()

    def wait_for(self, names: Sequence[str], *, keep_waiting: Callable[[], bool]) -> list[str]:
        """Waits until each model has an AVAILABLE version or has failed for good.

        Args:
            names: configured models; one that is dropped meanwhile is no longer waited for.
            keep_waiting: asked twice a second; False ends the wait.

        Returns:
            What failed, one text for each version.
        """
        reminded = time.monotonic()
        with self._changed:
            models = [self._models[name] for name in names]
            while True:
                waiting = [model for model in models if not model.settled()]
                if not waiting or not keep_waiting():
                    return [text for model in models for text in model.failures()]
                if time.monotonic() - reminded >= _REMIND_S:
                    reminded = time.monotonic()
                    for model in waiting:
                        _log.info("still waiting for %s", model.why_waiting())
                self._changed.wait(_WAIT_S)

    def lease(self, name: str, version: int | None = None) -> Lease[S]:
        """The version asked for, or the highest one that is AVAILABLE.

        Raises:
            StatusError: NOT_FOUND.
        """
        with self._changed:
            found = self._find(name, version)
            if found is None or found.servable is None:
                asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
                raise StatusError(Code.NOT_FOUND, f"Servable not found for request: {asked}")
            found.leases += 1
            return Lease(self, found, found.servable)

    def is_available(self, name: str, version: int) -> bool:
        """Whether this very version could be leased now."""
        with self._changed:
            return self._find(name, version) is not None

    def states(self, name: str) -> list[VersionState]:
        """Every version that was ever wanted, highest first; empty for an unknown model."""
        with self._changed:
            model = self._models.get(name)
            versions = model.versions if model else {}
            return [versions[number].as_state() for number in sorted(versions, reverse=True)]

    def _find(self, name: str, version: int | None) -> Version[S] | None:
        model = self._models.get(name)
        return model.available(version) if model else None

    def _release(self, version: Version[S]) -> None:
        with self._changed:
            version.leases -= 1
            if not version.leases and version.state == State.UNLOADING:
                self._notify()

    # -- the deciding thread

    def _decide(self) -> None:
        while True:
            self._scan_if_due()
            with self._changed:
                if self._stopping:
                    return
                closing = self._act()
            for one, servable in closing:
                servable.close()
                _log.info("unloaded version %d from %s", one.number, one.path)
            with self._changed:
                for one, _ in closing:
                    one.state, one.servable = State.END, None
                if closing:
                    self._notify()
                self._changed.wait_for(lambda: self._pending, self._seconds_until_next())
                self._pending = False

    def _scan_if_due(self) -> None:
        with self._changed:
            if self._scan_at_ns is None or time.monotonic_ns() < self._scan_at_ns:
                return
            asked = {m.name: m.settings for m in self._models.values() if m.settings is not None}
            self._scan_at_ns = None
            if self._poll_s > 0:
                self._scan_at_ns = time.monotonic_ns() + int(self._poll_s * 1e9)
        found: dict[str, dict[int, str] | OSError] = {}
        for name, settings in asked.items():
            try:
                found[name] = choose(settings.policy, on_disk(settings.base_path))
            except OSError as error:  # one folder that cannot be listed stops no other model
                found[name] = error
        with self._changed:
            for name, result in found.items():
                model = self._models[name]
                if model.settings is not asked[name]:
                    continue  # configured anew while we looked
                if not isinstance(result, OSError):
                    model.wanted, model.scanned, model.scan_problem = result, True, ""
                    continue
                problem = f"model {name}: {result.filename} cannot be listed ({result.strerror})"
                if problem != model.scan_problem:
                    _log.warning(problem)
                model.scan_problem = problem

    def _act(self) -> list[tuple[Version[S], S]]:
        """Starts loads; returns what no call holds any more and has to be closed."""
        now_ns = time.monotonic_ns()
        closing = []
        for model in self._models.values():
            for one in model.to_load(now_ns):
                one.queued = True
                self._loads.submit(self._load, model, one)
            model.drop_unwanted()
            closing += [(one, one.servable) for one in model.to_close() if one.servable]
        return closing

    def _seconds_until_next(self) -> float | None:
        """Until the next look at the disk or the next attempt; None: until something changes."""
        times = [self._scan_at_ns] if self._scan_at_ns is not None else []
        times += [
            one.retry_at_ns
            for model in self._models.values()
            for one in model.versions.values()
            if one.waits_to_load
        ]
        return max(0.0, (min(times) - time.monotonic_ns()) / 1e9) if times else None

    # -- the load threads

    def _load(self, model: Model[S], one: Version[S]) -> None:
        with self._changed:
            if self._stopping or one.number not in model.wanted:
                one.queued = False
                self._notify()
                return
            one.state = State.LOADING
            one.attempts += 1
        _log.info("model %s: loading version %d from %s", model.name, one.number, one.path)
        servable, error, begin = None, None, time.monotonic()
        try:
            servable = self._load_version(model.name, one.number, one.path)
        except StatusError as failure:
            error = failure
        except Exception as failure:  # a load thread must never end without a state
            _log.exception("model %s: version %d: unexpected", model.name, one.number)
            error = StatusError(Code.INTERNAL, f"{type(failure).__name__}: {failure}")
        took_s = time.monotonic() - begin
        with self._changed:
            one.queued = False
            if error is None:
                one.servable, one.state = servable, State.AVAILABLE
                outcome = f"AVAILABLE after {took_s:.2f} s"
            elif one.attempts <= self._rules.retries:
                one.retry_at_ns = time.monotonic_ns() + int(self._rules.retry_pause_s * 1e9)
                outcome = f"failed, next attempt in {self._rules.retry_pause_s:g} s: {error}"
            else:
                one.state, one.error, one.gave_up = State.END, error, True
                outcome = f"failed: {error}"
            self._notify()
        level = logging.ERROR if error else logging.INFO
        _log.log(level, "model %s: version %d %s", model.name, one.number, outcome)

    def _notify(self) -> None:
        self._pending = True
        self._changed.notify_all()
