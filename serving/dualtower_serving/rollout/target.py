"""The folder that a rollout works on: pushed pairs, and its own files beside them.

TARGET/
  item_tower/N  recommender/N  user_tower/N  bundles/FINGERPRINT/N     see dualtower.pushed
  rollout/      unless --state names another folder
    journal.jsonl  lock
    models.config              what the servers hold: for their --model_config_file
    models-unlabelled.config   the same without labels, for a server that refuses them at start
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from dualtower.bundle import Bundle
from dualtower.errors import BundleError, UsageError
from dualtower.pushed import BUNDLES, PUSH_ORDER, bundle_place, model_place

__all__ = ["Target"]

_URL = re.compile(r"[a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True)
class Target:
    """A folder or URL with pushed bundles, and the folder of the rollout's state."""

    place: str
    state_folder: Path

    @classmethod
    def at(cls, place: str, state: Path | None = None) -> Target:
        """The target that an operator names.

        Raises:
            UsageError: a URL without a folder for the state; a file.
        """
        if not place.strip():
            raise UsageError("no target: give the folder that `dualtower rollout push` wrote")
        if _URL.match(place):
            if state is None:
                raise UsageError(
                    f"{place} is no folder of this machine and cannot hold a lock; add --state "
                    "FOLDER, the same for everybody who rolls out to it"
                )
            return cls(place.rstrip("/"), state.absolute())
        folder = os.path.abspath(place)
        if os.path.isfile(folder):
            raise UsageError(f"{folder} is a file; give a folder")
        return cls(folder, (state or Path(folder, "rollout")).absolute())

    @property
    def is_folder(self) -> bool:
        """Whether it can be looked at from here, without TensorFlow's file systems."""
        return not _URL.match(self.place)

    @property
    def journal(self) -> Path:
        return self.state_folder / "journal.jsonl"

    @property
    def lock(self) -> Path:
        return self.state_folder / "lock"

    @property
    def config(self) -> Path:
        return self.state_folder / "models.config"

    @property
    def unlabelled_config(self) -> Path:
        return self.state_folder / "models-unlabelled.config"

    def whole_pairs(self) -> dict[int, str]:
        """Fingerprints by version of the bundles that lie here whole, by their names alone."""
        found: dict[int, str] = {}
        for manifest in Path(self.place, BUNDLES).glob("*/*/bundle.json"):
            version, fingerprint = manifest.parent.name, manifest.parent.parent.name
            if version.isdecimal() and not self.missing_models(int(version)):
                found[int(version)] = fingerprint
        return dict(sorted(found.items()))

    def missing_models(self, version: int) -> list[str]:
        """Models whose version is not here whole."""
        return [
            model
            for model in PUSH_ORDER
            if not Path(self.place, model_place(model, version), "saved_model.pb").is_file()
        ]

    def fingerprint(self, version: int) -> str:
        """The fingerprint of a pushed version, by its manifest.

        Raises:
            BundleError: it is not here, or not whole.
        """
        found = sorted(Path(self.place, BUNDLES).glob(f"*/{version}/bundle.json"))
        missing = self.missing_models(version)
        if missing or not found:
            what = f"no whole {missing[0]}/{version}" if missing else f"no manifest of {version}"
            there = ", ".join(map(str, self.whole_pairs())) or "none"
            raise BundleError(
                f"{self.place} holds {what} (versions that are whole: {there}); copy it there with "
                f"`dualtower rollout push BUNDLE {self.place}`"
            )
        opened = Bundle.open(found[0].parent)
        if opened.fingerprint != found[0].parent.parent.name:
            raise BundleError(
                f"{found[0]} is of bundle {opened.fingerprint[:12]}…, which is not what its folder "
                "says; push the bundle again"
            )
        return opened.fingerprint

    def folders_of(self, version: int, fingerprint: str) -> list[Path]:
        """All folders of a version in the order in which they are removed: what answers first."""
        places = [model_place(model, version) for model in reversed(PUSH_ORDER)]
        return [Path(self.place, one) for one in (*places, bundle_place(fingerprint, version))]
