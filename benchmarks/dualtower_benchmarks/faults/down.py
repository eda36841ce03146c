"""Faults of whole servers: killed, frozen, silent, moved."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from dualtower_benchmarks.faults.kinds import Kind, Load, Stage
from dualtower_benchmarks.faults.load import fire
from dualtower_benchmarks.faults.question import SUM, answers_again, until
from dualtower_benchmarks.faults.row import Row
from dualtower_benchmarks.faults.servers import ServerProcess, started
from dualtower_benchmarks.faults.sizes import Sizes
from dualtower_clients import BalancePolicy, CallPolicy

__all__ = ["dns_change", "half_open", "killed_and_restarted", "one_of_two_killed"]

_LOAD = Load(callers=8, timeout_s=2.0, pause_s=0.01)
# kills that follow each other would keep a replica ejected for twice as long each time, up to 60 s
_SOON_ASKED_AGAIN = CallPolicy(balance=BalancePolicy(max_eject_s=2.0))
_MOVED_TO = "127.0.0.2"


def killed_and_restarted(kind: Kind, sizes: Sizes) -> list[Row]:
    """SIGKILL in the middle of calls; another process comes at the same port."""
    with ExitStack() as stack:
        (server,) = started(stack, {})
        row = fire(
            "server killed and restarted",
            kind,
            lambda: kind.serving(server.address),
            SUM,
            _LOAD,
            servers="a fake",
            during=_killing(server, sizes),
        )
        proofs = {"failures": sum(row.failed.values()), "calls after it": server.do("count")}
    return [replace(row, proofs={"kills": sizes.rounds, **proofs})]


def one_of_two_killed(kind: Kind, sizes: Sizes) -> list[Row]:
    """As above, while another replica goes on: callers should not notice."""
    with ExitStack() as stack:
        steady, leaving = started(stack, {}, {})
        row = fire(
            "one of two replicas killed",
            kind,
            lambda: kind.serving([steady.address, leaving.address], policy=_SOON_ASKED_AGAIN),
            SUM,
            _LOAD,
            servers="2 fakes",
            during=_killing(leaving, sizes),
        )
        proofs = {"kills": sizes.rounds, "calls after it": leaving.do("count")}
    return [replace(row, proofs=proofs)]


def _killing(server: ServerProcess, sizes: Sizes) -> Callable[[Stage], None]:
    def during(stage: Stage) -> None:
        for _ in range(sizes.rounds):
            time.sleep(sizes.steady_s)
            server.kill()
            time.sleep(sizes.steady_s)
            server.restart()
            until("calls of the server that came back", lambda: server.do("count") > 5)
            answers_again(stage)

    return during


def half_open(kind: Kind, sizes: Sizes) -> list[Row]:
    """A connection that stays open and silent: from the beginning, and in the middle of calls."""
    with ExitStack() as stack:
        silent, server = started(stack, {"kind": "silent"}, {})
        mute = fire(
            "half-open from the first byte",
            kind,
            lambda: kind.serving(silent.address),
            SUM,
            Load(callers=8, timeout_s=0.3, calls=1 + sizes.rounds),
            servers="a silent socket",
        )
        mute = replace(mute, proofs={"connections": silent.do("count")})

        def during(stage: Stage) -> None:
            for _ in range(sizes.rounds):
                answers_again(stage)
                time.sleep(sizes.steady_s)
                server.freeze()
                time.sleep(0.3 + sizes.steady_s)
                server.thaw()
            answers_again(stage)

        frozen = fire(
            "half-open under load",
            kind,
            lambda: kind.serving(server.address),
            SUM,
            Load(callers=8, timeout_s=0.3),
            servers="a fake, frozen",
            during=during,
        )
    return [mute, replace(frozen, proofs={"deadlines": frozen.failed.get("DeadlineExceeded", 0)})]


def dns_change(kind: Kind, sizes: Sizes) -> list[Row]:
    """The name points to another address, and the server at the old one dies."""
    with ExitStack() as stack:
        names, old = started(stack, {"kind": "name_server"}, {})
        (new,) = started(stack, {"relay": [_MOVED_TO, old.facts["port"]]})
        address = f"dns://{names.address}/models.test:{old.facts['port']}"

        def during(stage: Stage) -> None:
            answers_again(stage)
            time.sleep(sizes.steady_s)
            names.do("point", host=_MOVED_TO)
            old.kill()
            until("calls at the new address", lambda: new.do("count") > 20)
            time.sleep(sizes.steady_s)

        row = fire(
            "DNS change",
            kind,
            lambda: kind.serving(address),
            SUM,
            _LOAD,
            servers="2 fakes, a name",
            during=during,
        )
        proofs = {"new questions": names.do("count"), "calls at the new address": new.do("count")}
    return [replace(row, proofs=proofs)]
