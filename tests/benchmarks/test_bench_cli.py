"""`dualtower bench` and `dualtower report` as a user meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dualtower.cli import main


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command in this process."""
    code = 0
    try:
        main(arguments)
    except SystemExit as error:
        code = int(error.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize("command", ["all", "server", "in-process", "edge"])
def test_every_command_has_an_example(command: str, capsys) -> None:
    code, out, _ = run(["bench", command, "--help"], capsys)
    assert code == 0
    assert f"Example: dualtower bench {command} bundle" in out
    assert ("--address" in out) == (command in {"all", "server"})


def test_help_needs_no_heavy_package() -> None:
    script = (
        "import sys\n"
        "from dualtower.cli import main\n"
        "for command in (['bench', '--help'], ['bench', 'all', '--help'], ['report', '--help']):\n"
        "    main(command)\n"
        "heavy = {'tensorflow', 'matplotlib', 'pyarrow', 'jinja2', 'ai_edge_litert'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_bundle_is_wrong_use(tmp_path: Path, capsys) -> None:
    out_path = tmp_path / "bench.json"
    code, out, err = run(["bench", "all", str(tmp_path), "--out", str(out_path)], capsys)
    assert (code, out) == (2, "")
    assert "is no bundle" in err
    assert "dualtower export" in err
    assert not out_path.exists()


def test_a_wrong_setting_is_wrong_use(tmp_path: Path, capsys) -> None:
    code, _, err = run(["bench", "edge", str(tmp_path), "--set", "sweep.measured_s=0"], capsys)
    assert code == 2
    assert "measured_s" in err


def test_report_writes_a_page_and_says_its_findings(report_files, tmp_path: Path, capsys) -> None:
    page = tmp_path / "out" / "report.html"
    arguments = [
        "report", "--run", str(report_files.run), "--bundle", str(report_files.bundle),
        "--out", str(page),
    ]  # fmt: skip
    code, out, _ = run(arguments, capsys)
    assert code == 0
    assert out.splitlines()[-1] == str(page)
    assert out.startswith("- For 1,651 users")
    code, out, _ = run([*arguments, "--json"], capsys)
    document = json.loads(out)
    assert code == 0
    assert document["size_bytes"] == page.stat().st_size
    assert [one.partition(":")[0] for one in document["missing"]] == ["Measurements"]


def test_report_of_nothing_is_wrong_use(tmp_path: Path, capsys) -> None:
    code, out, err = run(["report", "--out", str(tmp_path / "report.html")], capsys)
    assert (code, out) == (2, "")
    assert "--run RUN or --bundle BUNDLE" in err


def test_report_into_a_place_that_cannot_be_written(report_files, tmp_path: Path, capsys) -> None:
    (tmp_path / "file").write_text("in the way")
    target = tmp_path / "file" / "report.html"
    code, _, err = run(["report", "--run", str(report_files.run), "--out", str(target)], capsys)
    assert code == 2
    assert "cannot be written" in err
