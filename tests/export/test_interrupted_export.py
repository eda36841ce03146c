"""An export, watched file by file, and killed at many of its steps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtower.bundle import MODELS, Bundle
from dualtower.bundle_verify import verify

pytestmark = pytest.mark.slow

CHILD = str(Path(__file__).with_name("export_child.py"))
EVENLY = 3  # kills spread over the whole; further ones are around the rename


def _export(run: Path, out: Path, trace: Path, temporary_files: Path, kill_at: int = 0) -> int:
    return subprocess.run(
        [sys.executable, CHILD, str(run), str(out), str(kill_at), str(trace)],
        env={**os.environ, "TMPDIR": str(temporary_files)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    ).returncode


@pytest.fixture(scope="module")
def watched(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[str]]]:
    """A bundle, and what its export did, a line each."""
    place = tmp_path_factory.mktemp("watched")
    for name in ("out", "tmp"):
        (place / name).mkdir()
    out, trace = place / "out" / "bundle", place / "trace"
    assert _export(run, out, trace, place / "tmp") == 0
    assert list((place / "tmp").iterdir()) == [], "left in TMPDIR"
    lines = [line.split(" ") for line in trace.read_text(encoding="utf-8").splitlines()]
    return out, lines


def test_saved_model_pb_is_the_last_of_its_version(watched: tuple[Path, list[list[str]]]) -> None:
    """TensorFlow writes it early; it is put aside until all else is there."""
    _, lines = watched
    for model in MODELS:
        version = f"/serving/{model}/1/"
        done = [line for line in lines if any(version in path for path in line[1:])]
        done = [line for line in done if line[0] in ("open", "mkdir", "rename")]
        assert done[-1][0] == "rename", done[-1]
        assert done[-1][2].endswith(f"{version}saved_model.pb")
        assert any("assets.extra" in " ".join(line) for line in done[:-1])


def test_the_manifest_is_the_last_file_and_all_is_flushed_before_the_name(
    watched: tuple[Path, list[list[str]]],
) -> None:
    out, lines = watched
    last = next(place for place, line in enumerate(lines) if line[-1] == str(out))
    assert lines[last][0] == "rename"
    temporary = lines[last][1]
    opened = [line[1] for line in lines[:last] if line[0] == "open"]
    assert opened[-1] == f"{temporary}/bundle.json"
    written = max(place for place, line in enumerate(lines[:last]) if line[0] == "open")
    flushed = {line[1] for line in lines[written:last] if line[0] == "fsync"}
    names = {path.relative_to(out).as_posix() for path in out.rglob("*")}
    assert {f"{temporary}/{name}" for name in names} | {temporary} <= flushed
    assert ["fsync", str(out.parent)] in lines[last:]


def test_killed_at_many_steps_it_leaves_nothing_or_a_whole_bundle(
    run: Path,
    watched: tuple[Path, list[list[str]]],
    tmp_path: Path,
    living_processes: Callable[[Path], list[str]],
) -> None:
    steps = len(watched[1])
    renamed = next(n for n, line in enumerate(watched[1], 1) if line[-1] == str(watched[0]))
    kills = {1 + place * renamed // EVENLY for place in range(EVENLY)}
    kills |= {renamed - 1, renamed, renamed + 1}
    temporary_files = tmp_path / "tmp"
    temporary_files.mkdir()
    found = {}
    for kill_at in sorted(kills):
        out = tmp_path / f"out-{kill_at}" / "bundle"  # leftovers would be steps of their own
        out.parent.mkdir()
        code = _export(run, out, tmp_path / "trace", temporary_files, kill_at)
        assert code == -signal.SIGKILL, f"step {kill_at} of {steps}"
        found[kill_at] = out.exists()
        if out.exists():
            assert verify(out) == []
        _wait_for_workers(out.parent, living_processes)
    assert found == {kill_at: kill_at > renamed for kill_at in kills}
    out = tmp_path / f"out-{renamed}" / "bundle"
    assert [path.name for path in out.parent.iterdir()] != [], "the kill left its temporary"
    assert _export(run, out, tmp_path / "trace", temporary_files) == 0
    assert verify(out) == []
    assert Bundle.open(out).fingerprint == Bundle.open(watched[0]).fingerprint
    assert list(out.parent.iterdir()) == [out], "what killed exports left was not removed"
    # TensorFlow's own: removed when Python ends, which a killed one does not
    left = {path.name for path in temporary_files.iterdir()}
    assert {name for name in left if not name.startswith("__autograph_generated_file")} == set()


def _wait_for_workers(
    folder: Path, living_processes: Callable[[Path], list[str]], limit_s: float = 60.0
) -> None:
    """A worker ends by itself when the export that started it is gone."""
    end = time.monotonic() + limit_s
    while living := living_processes(folder):
        assert time.monotonic() < end, f"orphans: {living}"
        time.sleep(0.05)
