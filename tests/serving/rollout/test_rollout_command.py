"""The command line: what it prints, how it exits, and what it leaves alone."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from dualtower.errors import UsageError
from dualtower_clients import Recommender
from dualtower_serving.rollout.journal import Journal
from dualtower_serving.rollout.prune_step import prune
from dualtower_serving.rollout.state import State

MAIN = "from dualtower.cli import main; main()"


def _run(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", MAIN, "rollout", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_no_step_imports_tensorflow() -> None:
    code = (
        "import sys\nimport dualtower_serving.rollout.cli, dualtower_serving.watch.cli\n"
        "print([name for name in ('tensorflow', 'tf_keras', 'dualtower_export') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_wrong_use_exits_with_2_and_makes_nothing(tmp_path) -> None:
    nowhere = tmp_path / "typo"
    for step in ("load", "shadow", "promote", "rollback", "prune", "sync", "status"):
        done = _run(step, nowhere)
        assert (done.returncode, done.stdout) == (2, ""), step
        assert "is not there; `dualtower rollout push BUNDLE TARGET` makes it" in done.stderr
    assert not nowhere.exists()


def test_push_and_prune_by_command(pairs, fingerprints, tmp_path) -> None:
    target = tmp_path / "target"
    dry = _run("push", pairs[1], target, "--dry-run", "--json")
    assert dry.returncode == 0, dry.stderr
    said = json.loads(dry.stdout)
    assert (said["dry_run"], said["changed"], said["version"]) == (True, True, 1)
    assert not target.exists()
    for version in (1, 2):
        done = _run("push", pairs[version], target, "--json", "--no-other-models")
        assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pairs"] == {"1": fingerprints[1], "2": fingerprints[2]}
    config = (target / "rollout" / "models.config").read_text(encoding="utf-8")
    assert "versions: 1" in config, "what a server was started with stays"
    assert "versions: 2" not in config
    status = json.loads(_run("status", target, "--json").stdout)
    assert [(one["version"], one["on_disk"]) for one in status["pairs"]] == [(1, True), (2, True)]
    removed = _run("prune", target, "--keep", "1", "--json")
    assert json.loads(removed.stdout)["versions"] == [1]
    assert sorted(path.name for path in (target / "user_tower").iterdir()) == ["2"]
    assert _run("prune", target, "--version", "9").returncode == 2


def test_a_promotion_that_was_begun_excuses_no_other(place) -> None:
    made = place(1, 2)
    state = State(pairs={1: "aa", 2: "bb"}, loaded=(1, 2), labels={"stable": 1, "canary": 1},
                  servers=("localhost:1",), others="")  # fmt: skip
    journal = Journal(made.target.journal)
    journal.done("load", state)
    journal.begin("promote", version=2, label="canary", skip_shadow=None)
    done = _run("promote", made.path)
    assert done.returncode == 2
    assert "--version 2 --label canary`, or undo it" in done.stderr
    assert "promote of version 2 was begun" in _run("load", made.path).stderr


def test_a_prune_that_was_killed_goes_on(place, fingerprints) -> None:
    made = place(1, 2, 3)
    journal = Journal(made.target.journal)
    journal.done("push", State(pairs={one: fingerprints[one] for one in (1, 2, 3)}))
    journal.begin("prune", versions=[1])
    (made.path / "user_tower" / "1").rename(made.path / "user_tower" / "1.away")
    with pytest.raises(UsageError, match="prune was begun"), made.session("load") as session:
        session.check_unfinished(())
    assert made.run(prune, keep=2).facts["versions"] == [1]
    assert not (made.path / "recommender" / "1").exists()
    assert not (made.path / "bundles" / fingerprints[1]).exists()
    assert made.unfinished is None


def test_a_client_asks_for_a_label_or_for_a_version() -> None:
    with pytest.raises(UsageError, match="'stable' or the version 2, not both"):
        Recommender("localhost:1", label="stable", version=2)
