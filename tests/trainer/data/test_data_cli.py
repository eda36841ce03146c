"""`dualtower data` as a user runs it: exit codes, stdout for results, stderr for the rest."""

from __future__ import annotations

import csv
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from dualtower.cli import main
from dualtower_trainer.data.cli import data

Files = tuple[Path, Path]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """80 days of three users; one bad row and one bad item."""
    with (tmp_path / "log.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["CustomerID", "item_id", "timestamp"])
        for day in range(80):
            for user in range(3):
                item, time_s = f"i{(day * 7 + user * 3) % 40}", 1_480_550_400 + day * 86_400
                writer.writerow([f"u{user}", item, time_s])
        writer.writerow(["u1", "i1", "yesterday"])
    with (tmp_path / "items.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["item_id", "title", "category"])
        writer.writerows([f"i{n}", f"thing number {n}", f"kind {n % 3}"] for n in range(40))
        writer.writerow(["i40", "", "kind 0"])
    return tmp_path / "log.csv", tmp_path / "items.csv"


def _import(files: Files, out: Path, *more: str) -> list[str]:
    log, items = files
    base = ["data", "import", "--interactions", str(log), "--items", str(items), "--out", str(out)]
    return [*base, "--map", "user_id=CustomerID", *more]


def _run(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    try:
        main(args)
        code = 0
    except SystemExit as stop:
        code = int(str(stop.code or 0))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_import_then_describe(
    files: Files,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "data"
    code, stdout, stderr = _run(capsys, *_import(files, out, "--json"))
    assert code == 0
    report = json.loads(stdout)
    assert report == json.loads((out / "import_report.json").read_text())
    assert report["interactions_file"]["quarantined"] == {"bad timestamp": 1}
    assert report["items_file"]["quarantined"] == {"empty text": 1}
    assert "2 rows could not be used" in stderr
    assert f"wrote {out}" in stderr

    sizes = ("--set", "split.validation_days=14", "--set", "split.test_days=14")
    monkeypatch.setenv("DUALTOWER_CACHE", str(tmp_path / "no-encoder"))
    code, stdout, _ = _run(capsys, "data", "describe", str(out), "--json", *sizes)
    assert code == 0
    facts = json.loads(stdout)
    assert (facts["interactions"], facts["users"], facts["items"]) == (240, 3, 40)
    assert facts["user_item_pairs"] == 120
    assert facts["density"] == 1.0
    assert facts["repeat_share"] == 0.5
    assert facts["items_per_user"]["50%"] == 40
    assert facts["users_per_item"] == dict.fromkeys(facts["users_per_item"], 3)
    assert facts["text_length"]["100%"] == 3
    assert facts["text_length_unit"] == "words"
    assert facts["categories"]["largest"][0] == {"category": "kind 0", "items": 14}
    assert facts["first"] == "2016-12-01T00:00:00Z"
    assert facts["days"] == 79
    assert facts["split"]["test_start"] == "2017-02-05T00:00:00Z"
    assert all(check["passed"] for check in facts["leakage"])

    code, stdout, _ = _run(capsys, "data", "describe", str(out), *sizes)
    assert code == 0
    assert "no target in its history" in stdout
    assert "\x1b" not in stdout


def test_import_says_the_counts(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, stdout, _ = _run(capsys, *_import(files, tmp_path / "data"))
    assert code == 0
    assert "bad timestamp" in stdout
    assert "empty text" in stdout


def test_the_same_import_again(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "data"
    assert _run(capsys, *_import(files, out))[0] == 0
    before = (out / "interactions.parquet").read_bytes()
    code, stdout, stderr = _run(capsys, *_import(files, out))
    assert (code, stdout) == (2, "")
    assert "--overwrite" in stderr
    assert _run(capsys, *_import(files, out, "--overwrite"))[0] == 0
    assert (out / "interactions.parquet").read_bytes() == before


def test_dry_run(files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, stdout, stderr = _run(capsys, *_import(files, tmp_path / "data", "--dry-run", "--json"))
    assert code == 0
    assert json.loads(stdout)["interactions"] == 240
    assert "nothing was written" in stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("import --out x", "give --interactions FILE and --items FILE, or --from"),
        ("import --out x --items i.csv", "give --interactions FILE"),
        ("import --out x --from complete-journey --items i.csv", "--items does not go with"),
        ("import --out x --from complete-journey --no-quotes", "--no-quotes does not go with"),
        ("import --out x --interactions a.csv --items b.csv --max-users 5", "goes with --from"),
        ("import --out x --interactions a.csv --items b.csv", "a.csv cannot be read"),
        ("import --out x --interactions a.csv --items b.csv --map user_id", "takes ROLE=COLUMN"),
        ("import --out x --from wikipedia", "complete-journey"),
        ("import --out x --from complete-journey --min-rating 0", "--min-rating does not go with"),
        ("import --out x --interactions a.csv --format mind", "give --items FILE too"),
        ("import --out x --interactions a.csv --items b.csv --text-template {a}", "its text is"),
        ("import --out x --interactions a --items b --format imdb", "movielens"),
        ("import --interactions a.csv --items b.csv", "--out"),
        ("import --out x --from complete-journey --min-users 0", "--min-users"),
        ("describe nowhere", "make a data folder"),
        ("describe nowhere --set split.tset_days=3", "did you mean 'test_days'"),
        ("describe nowhere --set split.cold_share=2", "cold_share must be in [0, 1), got 2"),
        ("describe nowhere --config none.toml", "none.toml"),
        ("describe nowhere --set filter.z_treshold=3", "did you mean 'z_threshold'"),
        ("imprt", "imprt"),
    ],
)
def test_wrong_use_is_2_and_says_why(
    args: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code, stdout, stderr = _run(capsys, "data", *args.split())
    assert (code, stdout) == (2, "")
    assert message in stderr
    assert "Traceback" not in stderr


def test_a_log_that_cannot_be_split_is_described(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "data"
    _run(capsys, *_import(files, out))
    wrong = ("--set", "split.test_start=2020-01-01")
    code, stdout, _ = _run(capsys, "data", "describe", str(out), "--json", *wrong)
    assert code == 0
    facts = json.loads(stdout)
    assert facts["split"] is None
    assert "cannot be cut" in facts["split_problem"]
    assert "cannot be cut" in _run(capsys, "data", "describe", str(out), *wrong)[1]


def test_the_report_as_a_file_with_filters(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three people who take one item a day are clocks, all of them."""
    out, path = tmp_path / "data", tmp_path / "reports" / "data_report.json"
    _run(capsys, *_import(files, out))
    args = ("data", "describe", str(out), "--json", "--out", str(path))
    code, stdout, stderr = _run(capsys, *args)
    assert code == 0
    assert json.loads(path.read_text()) == json.loads(stdout)
    assert f"wrote {path}" in stderr
    code, stdout, _ = _run(capsys, *args, "--set", "filter.clock_variation=0.1")
    assert code == 0
    assert "or milder filters" in json.loads(stdout)["split_problem"]
    code, stdout, _ = _run(capsys, *args, "--set", "filter.burst_per_minute=1")
    found = json.loads(stdout)["split"]["filter"]["train"]
    assert found["removed"] == {"burst": {"users": 0, "interactions": 0, "examples": []}}


def test_a_published_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "u.data").write_text("1\t7\t5\t881250949\n2\t7\t3\t881250950\n")
    flags = "|".join("1" if place in (1, 8) else "0" for place in range(19))
    (tmp_path / "u.item").write_text(f"7|Heat (1995)|||http://x|{flags}\n")
    args = ["--interactions", str(tmp_path / "u.data"), "--items", str(tmp_path / "u.item")]
    base = ("data", "import", "--format", "movielens", *args, "--out", str(tmp_path / "data"))
    code, stdout, _ = _run(capsys, *base, "--min-rating", "4", "--text-template", "{genres}")
    assert code == 0
    assert "rating below 4" in stdout
    text = "Action, Drama"
    assert pq.read_table(tmp_path / "data" / "items.parquet")["text"].to_pylist() == [text]


def test_the_configuration_file(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, config = tmp_path / "data", tmp_path / "run.toml"
    _run(capsys, *_import(files, out))
    config.write_text("[split]\ntest_start = 2017-02-10\nvalidation_days = 10\n")
    code, stdout, _ = _run(capsys, "data", "describe", str(out), "--json", "--config", str(config))
    assert code == 0
    assert json.loads(stdout)["split"]["test_start"] == "2017-02-10T00:00:00Z"
    assert json.loads(stdout)["split"]["validation_start"] == "2017-01-31T00:00:00Z"


@pytest.mark.parametrize("command", [(), ("import",), ("describe",)])
def test_help_has_an_example(command: tuple[str, ...]) -> None:
    done = CliRunner().invoke(data, [*command, "--help"])
    assert done.exit_code == 0
    if command:
        assert f"dualtower data {command[0]}" in done.output.partition("Options:")[0]


def test_on_a_terminal_it_draws_tables(files: Files, tmp_path: Path) -> None:
    """A real terminal for stdout; a category in brackets is text, not mark-up."""
    items = files[1]
    items.write_text(items.read_text().replace("kind 1", "[red]kind 1"))
    command = [sys.executable, "-c", "from dualtower.cli import main; main()"]
    out = tmp_path / "data"
    env = {**os.environ, "COLUMNS": "100", "TERM": "xterm"}
    subprocess.run([*command, *_import(files, out)], check=True, env=env, capture_output=True)
    sizes = ("--set", "split.test_days=10", "--set", "split.validation_days=10")
    master, slave = pty.openpty()
    done = subprocess.run(
        [*command, "data", "describe", str(out), *sizes],
        stdout=slave,
        stderr=subprocess.PIPE,
        env=env,
        check=False,
    )
    os.close(slave)
    shown = b""
    try:
        while block := os.read(master, 1 << 16):
            shown += block
    except OSError:  # Linux says EIO at the end of a pseudo-terminal
        pass
    os.close(master)
    assert done.returncode == 0, done.stderr
    text = shown.decode()
    assert "│" in text
    assert "[red]kind 1" in text


def test_data_brings_no_tensorflow() -> None:
    code = "import sys, dualtower_trainer.data.cli; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_public_names() -> None:
    import dualtower_trainer.data as package

    assert package.__all__ == sorted(package.__all__)
    assert all(hasattr(package, name) for name in package.__all__)
    assert callable(package.split)
    assert callable(package.describe)
