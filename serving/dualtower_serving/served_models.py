"""The life of the models that a server holds: found on disk, loaded, leased to calls, unloaded.

    START ──► LOADING ──► AVAILABLE ──► UNLOADING ──► END
                │  ▲
          fails │  │ after a pause, up to `retries` times
                ▼  │
              (waits) ──► END with an error

One thread looks at the base paths and decides; loads run in threads of their own, so that a slow or
a failing one holds up no other model. A version is unloaded only when a wanted one is AVAILABLE (or
none is wanted any more), and only when no call holds it. A version that failed for good is tried
again only after it left the wanted ones. Nothing here knows TensorFlow: `load` is given.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Generic, Protocol, TypeVar

from dualtower_clients.proto import management_pb2

from dualtower_serving.model_config import ModelSettings
from dualtower_serving.status import Code, StatusError
from dualtower_serving.versions import choose, on_disk

__all__ = ["Lease", "LoadRules", "ServedModels", "VersionState"]

_STATE = management_pb2.ModelVersionStatus
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


@dataclass(frozen=True)
class VersionState:
    """What GetModelStatus says of one version."""

    version: int
    state: int  # of ModelVersionStatus.State
    code: int = Code.OK
    message: str = ""


@dataclass
class _Version(Generic[S]):
    number: int
    path: str
    state: int = _STATE.START
    error: StatusError | None = None
    servable: S | None = None
    leases: int = 0
    attempts: int = 0
    queued: bool = False  # handed to the load threads
    retry_at_ns: int = 0
    gave_up: bool = False  # failed for good since it was last wanted


@dataclass
class _Model(Generic[S]):
    name: str
    settings: ModelSettings | None = None  # None: no longer configured
    wanted: dict[int, str] = field(default_factory=dict)
    scanned: bool = False
    versions: dict[int, _Version[S]] = field(default_factory=dict)
    scan_error: str = ""

    def available(self) -> list[_Version[S]]:
        return [one for one in self.versions.values() if one.state == _STATE.AVAILABLE]


class Lease(Generic[S]):
    """A version that stays loaded while the lease is held. A context manager."""

    __slots__ = ("_models", "_version", "servable", "version")

    def __init__(self, models: ServedModels[S], version: _Version[S], servable: S) -> None:
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
    """All models of a server, by name.

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
        self._models: dict[str, _Model[S]] = {}
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
            closing = [
                one.servable
                for model in self._models.values()
                for one in model.versions.values()
                if one.servable is not None and not one.leases
            ]
        for servable in closing:
            servable.close()

    def configure(self, settings: Mapping[str, ModelSettings]) -> None:
        """Replaces the whole configuration; models not named are unloaded. Returns at once."""
        with self._changed:
            for name in settings:
                self._models.setdefault(name, _Model(name))
            for name, model in self._models.items():
                new = settings.get(name)
                if new != model.settings:
                    model.settings = new
                    model.scanned = False
                    if new is None:
                        model.wanted = {}
            self._scan_at_ns = time.monotonic_ns() if self._poll_s >= 0 else None
            self._notify()

    def wait_for(self, names: Iterable[str], *, keep_waiting: Callable[[], bool]) -> list[str]:
        """Waits until each model has an AVAILABLE version or has failed for good.

        Args:
            names: configured models; one that is dropped meanwhile is no longer waited for.
            keep_waiting: asked twice a second; False ends the wait.

        Returns:
            What failed, one text for each version.
        """
        begin = time.monotonic()
        reminded = begin
        with self._changed:
            while True:
                waiting = [name for name in names if not self._settled(name)]
                if not waiting or not keep_waiting():
                    return [text for name in names for text in self._failures(name)]
                if time.monotonic() - reminded >= _REMIND_S:
                    reminded = time.monotonic()
                    for name in waiting:
                        _log.info("still waiting for %s", self._why_waiting(name))
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
            return [_state_of(versions[number]) for number in sorted(versions, reverse=True)]

    # -- below: the deciding thread, and what it shares with the load threads

    def _decide(self) -> None:
        while True:
            self._scan_if_due()
            with self._changed:
                if self._stopping:
                    return
                closing = self._act()
            for version, servable in closing:
                servable.close()
                _log.info("unloaded version %d (%s)", version.number, version.path)
            with self._changed:
                for version, _ in closing:
                    version.state = _STATE.END
                    version.servable = None
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
                    model.wanted, model.scanned, model.scan_error = result, True, ""
                    continue
                problem = f"model {name}: {result.filename} cannot be listed ({result.strerror})"
                if problem != model.scan_error:
                    _log.warning(problem)
                model.scan_error = problem

    def _act(self) -> list[tuple[_Version[S], S]]:
        """Starts loads and unloads; returns what no call holds any more and has to be closed."""
        closing = []
        for model in self._models.values():
            self._want(model)
            if model.wanted:
                replaced = any(one.number in model.wanted for one in model.available())
            else:
                replaced = model.settings is None or model.scanned
            for one in model.versions.values():
                if one.state == _STATE.AVAILABLE and one.number not in model.wanted and replaced:
                    one.state = _STATE.UNLOADING
                if one.state == _STATE.UNLOADING and not one.leases and one.servable is not None:
                    closing.append((one, one.servable))
        return closing

    def _want(self, model: _Model[S]) -> None:
        now_ns = time.monotonic_ns()
        for number, path in sorted(model.wanted.items(), reverse=True):
            one = model.versions.get(number)
            if one is None or (one.state == _STATE.END and not one.gave_up):
                one = model.versions[number] = _Version(number, path)
            waits = one.state in (_STATE.START, _STATE.LOADING) and not one.queued
            if waits and now_ns >= one.retry_at_ns:
                one.queued = True
                self._loads.submit(self._load, model, one)
        for one in model.versions.values():
            if one.number in model.wanted:
                continue
            one.gave_up = False
            if one.state in (_STATE.START, _STATE.LOADING) and not one.queued:
                one.state = _STATE.END

    def _load(self, model: _Model[S], one: _Version[S]) -> None:
        with self._changed:
            if self._stopping or one.number not in model.wanted:
                one.queued = False
                self._notify()
                return
            one.state = _STATE.LOADING
            one.attempts += 1
        _log.info("loading version %d of model %s from %s", one.number, model.name, one.path)
        servable, error, begin = None, None, time.monotonic()
        try:
            servable = self._load_version(model.name, one.number, one.path)
        except StatusError as failure:
            error = failure
        except Exception as failure:  # a load thread must never end without a state
            _log.exception("version %d of model %s: unexpected", one.number, model.name)
            error = StatusError(Code.INTERNAL, f"{type(failure).__name__}: {failure}")
        took_s = time.monotonic() - begin
        with self._changed:
            one.queued = False
            if error is None:
                one.servable, one.state = servable, _STATE.AVAILABLE
                _log.info("version %d of model %s is AVAILABLE after %.2f s", one.number,
                          model.name, took_s)  # fmt: skip
            elif one.attempts <= self._rules.retries:
                one.retry_at_ns = time.monotonic_ns() + int(self._rules.retry_pause_s * 1e9)
                _log.error("version %d of model %s failed, tried again in %g s: %s", one.number,
                           model.name, self._rules.retry_pause_s, error)  # fmt: skip
            else:
                one.state, one.error, one.gave_up = _STATE.END, error, True
                _log.error("version %d of model %s failed: %s", one.number, model.name, error)
            self._notify()

    def _release(self, version: _Version[S]) -> None:
        with self._changed:
            version.leases -= 1
            if not version.leases and version.state == _STATE.UNLOADING:
                self._notify()

    def _find(self, name: str, version: int | None) -> _Version[S] | None:
        model = self._models.get(name)
        if model is None:
            return None
        if version is None:
            return max(model.available(), key=lambda one: one.number, default=None)
        one = model.versions.get(version)
        return one if one is not None and one.state == _STATE.AVAILABLE else None

    def _settled(self, name: str) -> bool:
        model = self._models.get(name)
        if model is None or model.settings is None:
            return True
        wanted = [model.versions.get(number) for number in model.wanted]
        if any(one is not None and one.state == _STATE.AVAILABLE for one in wanted):
            return True
        return bool(wanted) and model.scanned and all(one and one.gave_up for one in wanted)

    def _failures(self, name: str) -> list[str]:
        model = self._models.get(name)
        if model is None or any(one.number in model.wanted for one in model.available()):
            return []
        return [
            f"{{name: {name} version: {number}}} due to error: {one.error}"
            for number in model.wanted
            if (one := model.versions.get(number)) is not None and one.gave_up
        ]

    def _why_waiting(self, name: str) -> str:
        model = self._models[name]
        if model.settings is None or model.wanted:
            return f"model {name}, which is loading"
        return model.scan_error or f"a first version of model {name} in {model.settings.base_path}"

    def _seconds_until_next(self) -> float | None:
        """Until the next look at the disk or the next retry; None: until something changes."""
        times = [self._scan_at_ns] if self._scan_at_ns is not None else []
        times += [
            one.retry_at_ns
            for model in self._models.values()
            for one in model.versions.values()
            if one.retry_at_ns and not one.queued and one.state == _STATE.LOADING
        ]
        if not times:
            return None
        return max(0.0, (min(times) - time.monotonic_ns()) / 1e9)

    def _notify(self) -> None:
        self._pending = True
        self._changed.notify_all()


def _state_of(one: _Version[S]) -> VersionState:
    if one.error is None:
        return VersionState(one.number, one.state)
    return VersionState(one.number, one.state, one.error.code, one.error.message)
