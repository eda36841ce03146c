"""Kills promote and rollback at every step they take: TARGET ADDRESS; a line of JSON for each.

Every command is a fork of this process, which has opened no connection of its own. A step is each
thing that is done to a file of the target, and the moments before and behind each reload.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "dualtower"))

from file_events import watch

from dualtower_serving.rollout.promote_step import promote
from dualtower_serving.rollout.replica import Replica
from dualtower_serving.rollout.rollback_step import rollback
from dualtower_serving.rollout.session import Patience, opened
from dualtower_serving.rollout.target import Target


def main() -> None:
    """Goes through promote, then rollback, until one of them ends before it is killed."""
    target, address = Target.at(sys.argv[1]), sys.argv[2]
    for step, wanted in (("promote", 2), ("rollback", 1)):
        for kill_at in itertools.count(1):
            before = 3 - wanted
            killed = _forked(lambda: _step(target, step, kill_at)) == -signal.SIGKILL  # noqa: B023
            seen = Path(target.place, f"seen-{step}-{kill_at}")
            assert not _forked(lambda: seen.write_text(_labels(address)))  # noqa: B023
            assert not _forked(lambda: _step(target, step, 0))  # noqa: B023
            after = seen.with_suffix(".after")
            assert not _forked(lambda: after.write_text(_labels(address)))  # noqa: B023
            print(json.dumps({
                "step": step, "killed": killed, "before": before, "wanted": wanted,
                "between": json.loads(seen.read_text()), "after": json.loads(after.read_text()),
            }), flush=True)  # fmt: skip
            if not killed:
                break
            undo = "rollback" if step == "promote" else "promote"
            assert not _forked(lambda: _step(target, undo, 0))  # noqa: B023


def _forked(action) -> int:
    """The exit code of a fork; negative where a signal ended it."""
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        action()
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def _step(target: Target, step: str, kill_at: int) -> None:
    happen = watch(Path(target.place), kill_at=kill_at)
    reload = Replica.reload

    def watched(self, *args, **kwargs):
        happen("reload", target.place)
        said = reload(self, *args, **kwargs)
        happen("reloaded", target.place)
        return said

    Replica.reload = watched
    with opened(target, step, patience=Patience(30, 10)) as session:
        if step == "promote":
            promote(session, version=2, skip_shadow="a test")
        else:
            rollback(session)


def _labels(address: str) -> str:
    """The versions under the label, one for each model."""
    with Replica(address) as replica:
        return json.dumps([one and one.version for one in replica.label("stable").values()])


if __name__ == "__main__":
    main()
