"""Targets with pushed pairs, and servers that read them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from dualtower.bundle import MODELS, Bundle
from dualtower_serving.rollout.load_step import load
from dualtower_serving.rollout.promote_step import promote
from dualtower_serving.rollout.records import write_configs
from dualtower_serving.rollout.rollback_step import rollback
from dualtower_serving.rollout.session import Outcome, Patience, opened
from dualtower_serving.rollout.state import State
from dualtower_serving.rollout.target import Target

sys.path.insert(0, str(Path(__file__).parent))  # label_hammer

BUILDER = Path(__file__).with_name("pair_bundles.py")
PAIRS = ("a1", "b2", "c3", "z4", "w5", "x6")
ANY_LABEL = "--allow_version_labels_for_unavailable_models"
COMMAND = [sys.executable, "-c", "from dualtower.cli import main; main()", "rollout"]


@pytest.fixture(scope="session")
def pairs(made_by_script) -> dict[int, Path]:
    """Bundles by version; see `pair_bundles`."""
    folder = made_by_script("pairs", BUILDER, *PAIRS)
    return {int(name[1:]): folder / name for name in PAIRS}


@pytest.fixture(scope="session")
def fingerprints(pairs) -> dict[int, str]:
    return {version: Bundle.open(path).fingerprint for version, path in pairs.items()}


@dataclass
class Place:
    """A target, and its steps with the patience of a test."""

    path: Path
    call_s: float = 10.0
    servers: list[Any] = field(default_factory=list)

    @property
    def hurried(self) -> Place:
        """The same, for steps that meet a server of which it is known that it is away."""
        return replace(self, call_s=1.0)

    @property
    def target(self) -> Target:
        return Target.at(str(self.path))

    def session(self, step: str, *, dry_run: bool = False):
        return opened(self.target, step, patience=Patience(30.0, self.call_s), dry_run=dry_run)

    def run(self, step: Callable[..., Outcome], *args, **kwargs) -> Outcome:
        with self.session(step.__name__) as session:
            return step(session, *args, **kwargs)

    def load(self, version: int, *servers: str) -> Outcome:
        return self.run(load, version=version, servers=servers, no_others=True)

    def promote(self, version: int, **kwargs) -> Outcome:
        return self.run(promote, version=version, skip_shadow="a test", **kwargs)

    def rollback(self, **kwargs) -> Outcome:
        return self.run(rollback, **kwargs)

    @property
    def state(self) -> State:
        with self.session("status", dry_run=True) as session:
            return session.state

    @property
    def unfinished(self):
        with self.session("status", dry_run=True) as session:
            return session.journal.unfinished

    def server_flags(self, version: int = 1) -> list[str]:
        """Of a server on the models.config, made for this version if there is none."""
        target = self.target
        if not target.config.exists():
            write_configs(target, State(root=target.place).with_loaded([version]))
        return [f"--model_config_file={target.config}", ANY_LABEL]

    def command(self, step: str, *args: str, target: bool = True) -> subprocess.Popen[str]:
        """Starts `dualtower rollout STEP TARGET ...`."""
        place = [str(self.path)] if target else []
        return subprocess.Popen(
            [*COMMAND, step, *place, *args],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip


def put_there(pairs: dict[int, Path], folder: Path, *versions: int) -> None:
    """Lays bundles out as a push does."""
    for version in versions:
        bundle = Bundle.open(pairs[version])
        for model in ("item_tower", "recommender", "user_tower"):
            source = bundle.path / "serving" / model / str(version)
            shutil.copytree(source, folder / model / str(version))
        rest = folder / "bundles" / bundle.fingerprint / str(version)
        rest.mkdir(parents=True)
        shutil.copy(bundle.path / "bundle.json", rest)


@pytest.fixture
def place(pairs, tmp_path) -> Callable[..., Place]:
    """Makes a target with these versions."""
    return _placing(pairs, tmp_path / "target")


@pytest.fixture(scope="module")
def shared_place(pairs, tmp_path_factory) -> Callable[..., Place]:
    """As `place`, for a target that the tests of a module share."""
    return _placing(pairs, tmp_path_factory.mktemp("shared") / "target")


def _placing(pairs: dict[int, Path], path: Path) -> Callable[..., Place]:
    def make(*versions: int) -> Place:
        put_there(pairs, path, *versions)
        return Place(path)

    return make


@pytest.fixture
def serve_target(model_server) -> Callable[..., str]:
    """Starts a server on a target's models.config, made for this version if there is none."""
    return _serving(model_server)


@pytest.fixture(scope="module")
def serve_shared_target(shared_server) -> Callable[..., str]:
    """As `serve_target`, for `shared_place`."""
    return _serving(shared_server)


def _serving(launch: Callable[..., Any]) -> Callable[..., str]:
    def start(place: Place, *flags: str, version: int = 1, port: int | None = None) -> str:
        server = launch(*place.server_flags(version), *flags, port=port)
        server.wait_ready(*MODELS)
        place.servers.append(server)
        return server.address

    return start
