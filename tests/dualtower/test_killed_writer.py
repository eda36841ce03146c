"""A bundle's writer, killed at each of its steps in turn: nothing is there, or a whole bundle."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from dualtower import Bundle, verify
from dualtower.files import atomic_folder, remove_stale

_WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from file_events import watch
from dualtower.bundle import MODELS, write_manifest
from dualtower.files import atomic_folder, remove_stale

out, kill_at = Path(sys.argv[1]), int(sys.argv[2])
watch(out.parent.parent, kill_at=kill_at, trace=Path(sys.argv[3]))
remove_stale(out.parent)
with atomic_folder(out) as folder:
    for model in MODELS:
        version = folder / "serving" / model / "1"
        version.mkdir(parents=True)
        (version / "saved_model.pb").write_bytes(b"graph")
    write_manifest(folder, {{"version": 1, "space": {{"dim": 8}}}})
"""


def _write(out: Path, trace: Path, kill_at: int = 0) -> int:
    code = _WRITER.format(here=str(Path(__file__).parent))
    return subprocess.run(
        [sys.executable, "-c", code, str(out), str(kill_at), str(trace)], check=False
    ).returncode


def test_killed_at_every_step_it_leaves_nothing_or_a_whole_bundle(tmp_path: Path) -> None:
    """Parents are made on the way, and each run begins with what the last one left."""
    out, trace = tmp_path / "new" / "out" / "bundle", tmp_path / "trace"
    seen, steps = set(), 0
    while True:
        steps += 1
        code = _write(out, trace, kill_at=steps)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        seen.add(out.exists())
        if out.exists():
            assert verify(out) == []
            remove_stale(out.parent)
            assert list(out.parent.iterdir()) == [out]
            out.rename(tmp_path / f"whole-{steps}")
    assert seen == {False, True}, "no kill came before, or none after, the bundle was there"
    assert steps > 20
    assert Bundle.open(out).version == 1
    assert list(out.parent.iterdir()) == [out], "what killed writers left was not removed"


def test_everything_is_on_the_disk_before_it_has_its_name(tmp_path: Path) -> None:
    """Each file and folder is flushed before the rename, the new name after it."""
    out, trace = tmp_path / "new" / "bundle", tmp_path / "trace"
    assert _write(out, trace) == 0
    lines = [line.split() for line in trace.read_text(encoding="utf-8").splitlines()]
    (rename,) = [place for place, line in enumerate(lines) if line[0] == "rename"]
    temporary = lines[rename][1]
    assert lines[rename] == ["rename", temporary, str(out)]
    flushed = {line[1] for line in lines[:rename] if line[0] == "fsync"}
    entries = {path.relative_to(out).as_posix() for path in out.rglob("*")}
    assert {f"{temporary}/{name}" for name in entries} | {temporary} <= flushed
    assert ["fsync", str(out.parent)] in lines[rename:]
    assert ["fsync", str(tmp_path)] in lines[:rename], "the name of the new parent"
    first_flush = min(
        place
        for place, line in enumerate(lines)
        if line[1].startswith(temporary + "/") and line[0] == "fsync"
    )
    assert not [line for line in lines[first_flush:] if line[0] == "open"], "written after a flush"


def test_a_writer_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    """An exception, Ctrl-C included, takes the temporary with it."""
    for error in (RuntimeError, KeyboardInterrupt):
        try:
            with atomic_folder(tmp_path / "out") as folder:
                (folder / "a").write_text("1", encoding="utf-8")
                raise error
        except error:
            pass
        assert list(tmp_path.iterdir()) == []
