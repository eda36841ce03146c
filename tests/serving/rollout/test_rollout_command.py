"""The command line: what it prints, how it exits, and what it leaves alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from dualtower.cli import main
from dualtower.errors import UsageError
from dualtower_clients import Recommender
from dualtower_serving.rollout.journal import Journal
from dualtower_serving.rollout.prune_step import prune
from dualtower_serving.rollout.state import State


@dataclass
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def rollout(capsys) -> Callable[..., Said]:
    """Runs `dualtower rollout ...` in this process."""

    def run(*args: object) -> Said:
        code = 0
        try:
            main(["rollout", *map(str, args)])
        except SystemExit as end:
            code = end.code
        return Said(code, *capsys.readouterr())

    return run


def test_no_step_imports_tensorflow() -> None:
    code = (
        "import sys\nimport dualtower_serving.rollout.cli, dualtower_serving.watch.cli\n"
        "print([name for name in ('tensorflow', 'tf_keras', 'dualtower_export') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_wrong_use_exits_with_2_and_makes_nothing(rollout, tmp_path) -> None:
    nowhere = tmp_path / "typo"
    for step in ("load", "shadow", "promote", "rollback", "prune", "sync", "status"):
        done = rollout(step, nowhere)
        assert (done.code, done.out) == (2, ""), step
        assert "is not there; `dualtower rollout push BUNDLE TARGET` makes it" in done.err
    done = rollout("push", tmp_path / "no-bundle", nowhere)
    assert (done.code, done.out) == (2, "")
    assert "no-bundle is no bundle" in done.err
    assert not nowhere.exists()


def test_push_and_prune_by_command(rollout, pairs, fingerprints, tmp_path) -> None:
    target = tmp_path / "target"
    dry = rollout("push", pairs[1], target, "--dry-run", "--json")
    assert dry.code == 0, dry.err
    said = json.loads(dry.out)
    assert (said["dry_run"], said["changed"], said["version"]) == (True, True, 1)
    assert not target.exists()
    for version in (1, 2):
        done = rollout("push", pairs[version], target, "--json", "--no-other-models")
        assert done.code == 0, done.err
    assert json.loads(done.out)["pairs"] == {"1": fingerprints[1], "2": fingerprints[2]}
    config = (target / "rollout" / "models.config").read_text(encoding="utf-8")
    assert "versions: 1" in config, "what a server was started with stays"
    assert "versions: 2" not in config
    status = json.loads(rollout("status", target, "--json").out)
    assert [(one["version"], one["on_disk"]) for one in status["pairs"]] == [(1, True), (2, True)]
    removed = rollout("prune", target, "--keep", "1", "--json")
    assert json.loads(removed.out)["versions"] == [1]
    assert sorted(path.name for path in (target / "user_tower").iterdir()) == ["2"]
    assert rollout("prune", target, "--version", "9").code == 2


def test_a_promotion_that_was_begun_excuses_no_other(rollout, place) -> None:
    made = place(1, 2)
    state = State(pairs={1: "aa", 2: "bb"}, loaded=(1, 2), labels={"stable": 1, "canary": 1},
                  servers=("localhost:1",), others="")  # fmt: skip
    journal = Journal(made.target.journal)
    journal.done("load", state)
    journal.begin("promote", version=2, label="canary", skip_shadow=None)
    done = rollout("promote", made.path)
    assert done.code == 2
    assert "--version 2 --label canary`, or undo it" in done.err
    assert "promote of version 2 was begun" in rollout("load", made.path).err


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
