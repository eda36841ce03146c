"""A mixed pair is at no moment reachable under a label: clients hammer while pairs are swapped."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from label_hammer import Expected, Hammer

SEED = 20261129


@pytest.fixture(scope="module")
def running(shared_place, serve_shared_target):
    """A target with versions 1 and 2, both loaded, 1 stable; and a server. Each test ends so."""
    made = shared_place(1, 2)
    address = serve_shared_target(made)
    made.load(1, address)
    made.load(2)
    expected = {version: Expected.of(address, version) for version in (1, 2)}
    assert expected[1].lists != expected[2].lists, "a mixed answer could not be told"
    return made, address, expected


def _all_is_well(hammer: Hammer) -> None:
    assert hammer.wrong == []
    assert hammer.failed == []
    assert set(hammer.asked) == {1, 2}


def test_fifty_swaps_under_load(running) -> None:
    made, address, expected = running
    with Hammer(address, expected) as hammer:
        for _ in range(25):
            made.promote(2)
            made.rollback()
    _all_is_well(hammer)
    assert made.state.stable == 1
    assert made.unfinished is None


@pytest.mark.slow
def test_swaps_that_are_killed_anywhere_are_gone_on_with(running) -> None:
    """`kill -9` of the command some ms after its first line in the journal; then it is rerun."""
    made, address, expected = running
    chosen = random.Random(SEED)
    journal = made.target.journal
    unfinished = 0
    with Hammer(address, expected) as hammer:
        for step, args, stable in [
            ("promote", ("--version", "2", "--skip-shadow", "a test"), 2),
            ("rollback", (), 1),
        ] * 3:
            begin_bytes = journal.stat().st_size
            process = made.command(step, *args)
            while journal.stat().st_size == begin_bytes and process.poll() is None:
                time.sleep(0.001)
            time.sleep(chosen.uniform(0, 0.03))
            process.kill()
            process.communicate()
            unfinished += made.unfinished is not None
            again = made.command(step, *args)
            said = again.communicate(timeout=60)
            assert again.returncode == 0, said
            assert made.state.stable == stable
            assert made.unfinished is None
    _all_is_well(hammer)
    assert unfinished > 0, "nothing was killed in time"


@pytest.mark.slow
def test_killed_at_every_single_step(running) -> None:
    made, address, _ = running
    child = Path(__file__).with_name("rollout_child.py")
    done = subprocess.run(
        [sys.executable, child, made.path, address], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    for step in ("promote", "rollback"):
        ours = [run for run in runs if run["step"] == step]
        assert [run["killed"] for run in ours] == [True] * (len(ours) - 1) + [False]
        assert len(ours) > 10
        for run in ours:
            assert len(set(run["between"])) == 1, "a mixed pair"
            assert run["between"][0] in (run["before"], run["wanted"])
            assert set(run["after"]) == {run["wanted"]}
        seen = {run["between"][0] for run in ours}
        assert seen == {1, 2}, "killed on both sides of the reload"
