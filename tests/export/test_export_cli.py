"""`dualtower export`: help, dry run, errors and their exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from dualtower_export.cli import export
from dualtower_export.config import DEFAULT_VARIANTS

MAIN = "import sys; from dualtower.cli import main; main(sys.argv[1:])"


def _main(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", MAIN, *arguments], capture_output=True, text=True, check=False
    )


def test_help_has_an_example_and_every_setting() -> None:
    from dataclasses import fields

    from dualtower_export import ExportConfig

    text = CliRunner().invoke(export, ["--help"]).output
    assert "Example:" in text
    assert "dualtower export run --out bundle" in text
    for field in fields(ExportConfig):
        assert field.name in text


def test_a_dry_run_writes_nothing(run: Path, plan, tmp_path: Path) -> None:
    arguments = [str(run), "--out", str(tmp_path / "b"), "--version", "4", "--dry-run"]
    result = CliRunner().invoke(export, [*arguments, "--json"])
    assert result.exit_code == 0
    intent = json.loads(result.stdout)
    assert intent["fingerprint"] == plan.fingerprint
    assert (intent["version"], intent["k_max"], intent["written"]) == (4, 60, False)
    assert intent["models"] == ["user_tower", "item_tower", "recommender"]
    assert "would write" in CliRunner().invoke(export, arguments).output
    assert list(tmp_path.iterdir()) == []


def test_a_tensorflow_newer_than_the_server_is_refused_unless_forced(
    run: Path, tmp_path: Path
) -> None:
    arguments = [str(run), "--out", str(tmp_path / "b"), "--set", "export.target_serving=2.20.0"]
    done = _main("export", *arguments)
    assert done.returncode == 2
    assert "is newer than TensorFlow Serving 2.20.0" in done.stderr
    assert "--force-newer" in done.stderr
    result = CliRunner().invoke(export, [*arguments, "--force-newer", "--dry-run"])
    assert result.exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_that_is_there_is_reported(bundle, run: Path) -> None:
    settings = ["--set", "export.k_max=20", "--set", "export.batch_sizes=[1, 2, 4]"]
    done = _main("export", str(run), "--out", str(bundle.path), *settings, "--json")
    assert done.returncode == 0, done.stderr
    assert "is already the bundle of" in done.stderr
    result = json.loads(done.stdout)
    assert result["fingerprint"] == bundle.fingerprint
    assert len(result["variants"]) == 2 * len(DEFAULT_VARIANTS)


def test_a_dry_run_sees_what_is_there(bundle, run: Path) -> None:
    settings = ["--set", "export.k_max=20", "--set", "export.batch_sizes=[1, 2, 4]"]
    result = CliRunner().invoke(
        export, [str(run), "--out", str(bundle.path), *settings, "--dry-run"]
    )
    assert result.exit_code == 0
    assert "nothing to do" in result.output


def test_wrong_use_is_exit_2_with_the_next_step(tmp_path: Path) -> None:
    done = _main("export", str(tmp_path / "none"), "--out", str(tmp_path / "b"))
    assert done.returncode == 2
    assert "dualtower train" in done.stderr
    assert done.stdout == ""
    done = _main("export", str(tmp_path), "--out", "b", "--set", "export.k_mx=3")
    assert done.returncode == 2
    assert "did you mean 'k_max'" in done.stderr
