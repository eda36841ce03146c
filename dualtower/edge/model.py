"""One `.tflite` file of a bundle, checked and ready to be asked. No TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from dualtower.edge.metadata import associated_files, check_whole, facts_of
from dualtower.errors import BundleError, BundleMismatch

__all__ = ["EdgeModel", "smallest"]

_REPAIR = "export the bundle again, or copy the file anew"


class EdgeModel:
    """A file by its signatures, with what its metadata says of it.

    Args:
        path: the file.
        part: what it must be: "item_tower", "user_tower", "recommender" or "catalogue".
        threads: of the interpreter.

    Attributes:
        facts: the custom entry: `fingerprint`, `towers`, `part`, sizes.

    Raises:
        BundleError: it is missing, damaged, or something else.
    """

    def __init__(self, path: Path, part: str, *, threads: int = 1) -> None:
        self.path = path
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            there = ", ".join(sorted(file.name for file in path.parent.glob("*.tflite")))
            raise BundleError(
                f"{path} is not there; {path.parent} holds {there or 'no .tflite file'}. What an "
                "export makes is said by export.variants and export.edge_recommenders"
            ) from error
        except OSError as error:
            raise BundleError(f"{path} cannot be read ({error.strerror}); {_REPAIR}") from error
        try:
            check_whole(content)
        except ValueError as error:
            raise BundleError(f"{path} is damaged: {error}; {_REPAIR}") from error
        self.facts: dict[str, Any] = facts_of(content)
        if self.facts.get("part") != part:
            raise BundleError(
                f"{path} says it is a {self.facts.get('part')}, expected a {part}; {_REPAIR}"
            )
        self.files = associated_files(content)
        try:
            self._interpreter = Interpreter(model_content=content, num_threads=threads)
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"LiteRT cannot read {path} ({error}); {_REPAIR}") from error

    def signature(self, name: str | None = None) -> Callable[..., dict[str, np.ndarray]]:
        """A signature as a function of arrays by name; without a name the only one."""
        runner: Callable[..., dict[str, np.ndarray]]
        runner = self._interpreter.get_signature_runner(name)
        return runner

    def item_ids(self) -> list[str]:
        """The associated file of ids, by catalogue row."""
        return list(json.loads(self.files["item_ids.json"]))

    def must_share(self, key: str, expected: str, where: str) -> None:
        """Compares a fingerprint with that of another part.

        Raises:
            BundleMismatch: they differ.
        """
        if self.facts[key] != expected:
            raise BundleMismatch(
                expected=expected,
                found=str(self.facts[key]),
                where=f"{self.path} ({key}, beside {where})",
                repair="take both files from one bundle",
            )


def smallest(folder: Path, part: str) -> str:
    """The variant of a part whose file is the smallest there.

    Files of another length than the run's, `PART.VARIANT.LENGTH.tflite`, are taken by name alone;
    full_int8, which a CPU runs more slowly than dynamic_int8 of the same size, only if it is alone.

    Raises:
        BundleError: none is.
    """
    sizes = {
        path.name.removeprefix(f"{part}.").removesuffix(".tflite"): path.stat().st_size
        for path in folder.glob(f"{part}.*.tflite")
    }
    whole = [variant for variant in sizes if "." not in variant]
    if not whole:
        raise BundleError(f"{folder} has no {part}.*.tflite; give the `edge` folder of a bundle")
    return min(whole, key=lambda variant: (variant == "full_int8", sizes[variant], variant))
