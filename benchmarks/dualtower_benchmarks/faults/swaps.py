"""Faults of versions: they change under load, whole or half."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dualtower_benchmarks.faults import versions_worker
from dualtower_benchmarks.faults.kinds import Kind, Load, Question, Stage
from dualtower_benchmarks.faults.load import fire
from dualtower_benchmarks.faults.question import SUM, answers_again, until
from dualtower_benchmarks.faults.row import Row
from dualtower_benchmarks.faults.server_worker import CATALOGUE, SALTS
from dualtower_benchmarks.faults.servers import ServerProcess, started
from dualtower_benchmarks.faults.sizes import Sizes
from dualtower_clients import Recommender, ServingClient
from dualtower_clients.testing import FakeServer, hash_vectors

__all__ = ["VersionedServer", "pair_replaced", "pair_swap", "version_swap"]

_TOWERS = ["user_tower", "item_tower"]
_TEXTS = list(CATALOGUE.values())[:2]
_DIM = 16
_WAIT_S = 60.0


class VersionedServer:
    """The embedded server with one model, whose next versions lie ready. TensorFlow starts slowly.

    Args:
        versions: how many there will be.
    """

    def __init__(self, versions: int) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="dualtower-faults-")
        self._models = Path(self._folder.name)
        job = {"folder": self._folder.name, "versions": versions}
        self._process = ServerProcess(job, versions_worker.main)
        self.latest = 1

    @property
    def address(self) -> str:
        """HOST:PORT, of a server that has its first version loaded."""
        if not self._process.facts:
            self._process.wait()
            with ServingClient(self._process.address) as client:
                client.wait_until_available(["m"], timeout_s=_WAIT_S)
        return self._process.address

    def publish(self) -> int:
        """The next version appears, complete, and takes over when it is loaded."""
        self.latest += 1
        staged = self._models / f"{self.latest}.tmp"
        staged.rename(self._models / str(self.latest))
        return self.latest

    def close(self) -> None:
        """Ends the process; what it served is deleted."""
        self._process.close()
        self._folder.cleanup()


def version_swap(kind: Kind, sizes: Sizes, server: VersionedServer) -> list[Row]:
    """A model's next version appears in its folder, and the one before it is unloaded."""
    seen: set[int] = set()
    address, first = server.address, server.latest

    def is_right(answer: Any, number: int) -> bool:
        seen.add(answer.version)
        return SUM.is_right(answer, number)

    def during(stage: Stage) -> None:
        for _ in range(sizes.rounds):
            time.sleep(sizes.steady_s)
            version = server.publish()
            until("answers of the new version", partial(seen.__contains__, version))
        answers_again(stage)

    row = fire(
        "version swap under load",
        kind,
        lambda: kind.serving(address),
        Question(SUM.ask, is_right),
        Load(callers=8, timeout_s=5.0),
        servers="the embedded server",
        during=during,
    )
    return [replace(row, proofs={"versions that took over": len(seen - {first})})]


def pair_swap(kind: Kind, sizes: Sizes) -> list[Row]:
    """A bundle's models change one after the other, into another space with the same shapes."""

    def is_right(answer: Any, number: int) -> bool:
        want = hash_vectors(_TEXTS, dim=_DIM, salt=SALTS[answer.version])
        return bool(np.allclose(answer.vectors, want, atol=1e-6))

    question = Question(
        lambda client, number, timeout_s: client.embed_items(_TEXTS, timeout_s=timeout_s), is_right
    )
    with ExitStack() as stack:
        (server,) = started(stack, {})
        everything = [*_TOWERS, "recommender"]
        server.do("add_bundle", version=1, models=everything)

        def during(stage: Stage) -> None:
            answers_again(stage)
            server.do("add_bundle", version=2, models=["item_tower"])
            failed = stage.tally.failed
            until("a mismatch that is noticed", lambda: failed["BundleMismatch"] > 5)
            server.do("add_bundle", version=2, models=["user_tower", "recommender"])
            answers_again(stage, 50)

        row = fire(
            "pair swapped by halves",
            kind,
            lambda: kind.recommender(server.address),
            question,
            Load(callers=8, timeout_s=5.0),
            servers="a fake bundle",
            during=during,
        )
    return [replace(row, proofs={"mismatches": row.failed.get("BundleMismatch", 0)})]


def pair_replaced(kind: Kind, sizes: Sizes) -> list[Row]:
    """The server is killed, and comes back at once with another bundle under the same version."""
    salts = ("replaced a", "replaced b")
    wanted = {_fingerprint_of(salt): hash_vectors(_TEXTS, dim=_DIM, salt=salt) for salt in salts}
    seen: set[str] = set()

    def is_right(answer: Any, number: int) -> bool:
        seen.add(answer.fingerprint)
        return bool(np.allclose(answer.vectors, wanted[answer.fingerprint], atol=1e-6))

    question = Question(
        lambda client, number, timeout_s: client.embed_items(_TEXTS, timeout_s=timeout_s), is_right
    )
    with ExitStack() as stack:
        (server,) = started(stack, {"salt": salts[0]})

        def during(stage: Stage) -> None:
            for number in range(2 * sizes.rounds):
                answers_again(stage)
                server.kill()
                server.restart(salt=salts[(number + 1) % 2])
                seen.clear()
                fingerprint = list(wanted)[(number + 1) % 2]
                until("answers of the other bundle", partial(seen.__contains__, fingerprint))
            answers_again(stage)

        row = fire(
            "server replaced by another bundle's",
            kind,
            lambda: kind.recommender(server.address),
            question,
            Load(callers=8, timeout_s=5.0),
            servers="a fake bundle",
            during=during,
        )
    return [replace(row, proofs={"replacements": 2 * sizes.rounds})]


def _fingerprint_of(salt: str) -> str:
    with (
        FakeServer.with_bundle(CATALOGUE, salt=salt) as server,
        Recommender(server.address) as recommender,
    ):
        return recommender.describe()["item_tower"].fingerprint
