"""The journal and the lock: what survives a kill, and who is kept out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from dualtower.errors import UsageError
from dualtower_serving.rollout.journal import Journal
from dualtower_serving.rollout.lock import held_alone
from dualtower_serving.rollout.state import State

HOLDER = """
import sys, time
from pathlib import Path
from dualtower_serving.rollout.lock import held_alone
with held_alone(Path(sys.argv[1]), "promote"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def journal(tmp_path) -> Journal:
    return Journal(tmp_path / "rollout" / "journal.jsonl")


def test_what_was_begun_is_unfinished_until_it_is_done_or_failed(journal: Journal) -> None:
    assert (journal.state, journal.unfinished) == (State(), None)
    journal.begin("load", version=2)
    again = Journal(journal.path)
    assert again.unfinished is not None
    assert (again.unfinished.step, again.unfinished.what) == ("load", {"version": 2})
    assert again.state == State()
    again.done("load", State(loaded=(2,), pairs={2: "bb"}), version=2)
    again.begin("promote", version=2)
    again.failed("promote", reasons={"a:1": ["no"]})
    last = Journal(journal.path)
    assert last.unfinished is None
    assert last.state == State(loaded=(2,), pairs={2: "bb"})
    assert [one.phase for one in last.entries] == ["begin", "done", "begin", "failed"]


def test_half_a_line_of_a_killed_writer_never_happened(journal: Journal) -> None:
    journal.done("load", State(loaded=(1,)))
    whole = journal.path.read_bytes()
    journal.begin("promote", version=2)
    both = journal.path.read_bytes()
    for cut in range(len(whole), len(both)):
        journal.path.write_bytes(both[:cut])
        again = Journal(journal.path)
        assert again.unfinished is None
        assert again.state.loaded == (1,)
    again.done("load", State(loaded=(1, 2)))
    lines = journal.path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["phase"] for line in lines] == ["done", "done"]


@pytest.mark.parametrize("line", ["{}", "no JSON", '{"step": 1}', "[]"])
def test_a_line_that_is_no_entry_is_named(journal: Journal, line: str) -> None:
    journal.begin("load")
    with journal.path.open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")
    with pytest.raises(UsageError, match=r"line 2 of .*journal\.jsonl is no entry"):
        Journal(journal.path)


def test_the_second_operator_is_told_who_the_first_is_until_that_one_dies(tmp_path) -> None:
    lock = tmp_path / "rollout" / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UsageError) as caught, held_alone(lock, "load"):
            pass
        for part in (f"process {holder.pid}", "`rollout promote` since 20", "@", str(tmp_path)):
            assert part in str(caught.value)
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with held_alone(lock, "load"):
        assert json.loads(lock.read_text(encoding="utf-8"))["step"] == "load"
