"""From a subject to the process that loads it: the driver's job, and the server that it needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtower.bundle import Bundle
from dualtower.errors import UsageError
from dualtower_benchmarks.scenario.settings import ScenarioSettings
from dualtower_benchmarks.scenario.subject import GPU, Subject

__all__ = [
    "SERVED",
    "Engine",
    "batching_flags",
    "job_of",
    "process_key",
    "server_key",
    "serving",
]

SERVED = ("grpc", "rest", "clients")  # drivers that ask a server


@dataclass(frozen=True)
class Engine:
    """A server that runs.

    Args:
        engine: binary, docker or embedded; "" where an address was given.
        pid: of the server; None where it was not started for this run.
    """

    address: str
    rest_address: str
    engine: str
    pid: int | None = None
    command: tuple[str, ...] = ()

    @property
    def process_id(self) -> int | None:
        """Of the server itself, to read its CPU time; None: another's, or in a container."""
        return self.pid if self.engine != "docker" else None

    def as_json(self, subject: Subject) -> dict[str, Any]:
        """What the results say of it, `subject` being the first that it serves."""
        return {
            "engine": self.engine,
            "address": self.address,
            "batching": subject.batching,
            "flags": subject.flags,
            "command": list(self.command),
            "started_for_this_run": self.pid is not None,
        }


def server_key(subject: Subject) -> tuple[str, str, str] | None:
    """Subjects with equal keys share one server; None: this one needs none."""
    if subject.driver not in SERVED:
        return None
    return (subject.engine, subject.batching, subject.flags)


def process_key(subject: Subject) -> tuple[Any, ...]:
    """Subjects with equal keys may be loaded by one process, one after the other.

    What TensorFlow decides on its first import is the same for them. On a card each subject has a
    process of its own, since one that lives on gives no memory back.
    """
    decided = subject.driver, subject.device, subject.threads, subject.xla, subject.precision
    return (*decided, subject.subject_key) if subject.device == GPU else decided


@contextmanager
def serving(
    subject: Subject, bundle: Bundle, *, address: str | None, rest_address: str | None
) -> Iterator[Engine]:
    """The server at `address`, or one started as the subject wants it and stopped afterwards.

    Raises:
        UnavailableError: no engine can be started.
        UsageError: the batching file of the subject is not there.
    """
    if address is not None or rest_address is not None:
        yield Engine(address or "", rest_address or "", engine="")
        return
    from dualtower_serving import start

    with start(
        bundle,
        engine=subject.engine,
        rest_port=0,
        flags=[*batching_flags(subject.batching), *subject.flags.split()],
        batching=None if subject.batching == "bundle" else False,
    ) as server:
        host = server.address.rpartition(":")[0]
        yield Engine(
            server.address,
            f"{host}:{server.rest_port}",
            engine=server.engine,
            pid=server.pid,
            command=tuple(server.command),
        )


def job_of(
    subject: Subject, bundle: Bundle, settings: ScenarioSettings, engine: Engine | None
) -> Mapping[str, Any]:
    """What the driver's process is told."""
    job: dict[str, Any] = {
        **subject.subject,
        "bundle": str(bundle.path),
        "seed": settings.seed,
        "history_texts": settings.history_texts,
        "deadline_s": settings.deadline_s,
    }
    if engine is not None:
        job |= {"address": engine.address, "rest_address": engine.rest_address}
    return job


def batching_flags(batching: str) -> list[str]:
    """Of the server, for what a subject says of batching.

    Raises:
        UsageError: it names a file that is not there.
    """
    if batching in ("off", "bundle"):
        return []
    path = Path(batching)
    if not path.is_file():
        raise UsageError(f"batching is off, bundle or a file; there is no file {path}")
    return ["--enable_batching", f"--batching_parameters_file={path.resolve()}"]
