"""What a server needs for the models of a bundle: memory, disk, time to start.

A session holds constants several times over: the file's bytes, the graph, the constants that were
folded or laid out anew for oneDNN. Measured with the stock-equal sessions of the embedded server.
"""

from __future__ import annotations

from dataclasses import dataclass

from dualtower.bundle import MODELS, Bundle
from dualtower.errors import BundleError

__all__ = ["Needs", "needs_of"]

_MIB = 1 << 20
_BASE_MIB = 768  # TensorFlow itself, its threads, requests and batches
_COPIES = 5  # of a model's bytes in memory, while it loads
_STEP_MIB = 256
_START_BASE_S = 120
_START_BYTES_PER_S = 4 * _MIB  # a cold network disk, and warm-up after it


@dataclass(frozen=True)
class Needs:
    """Of one server.

    Attributes:
        model_bytes: what the three models take on disk.
        memory_mib: request and limit; with `versions` of the models loaded at a time.
        start_s: how long loading and warm-up may take.
        volume_gib: a volume for some versions.
    """

    model_bytes: int
    memory_mib: int
    start_s: int
    volume_gib: int


def needs_of(bundle: Bundle, *, versions: int) -> Needs:
    """Computes them from the sizes in the manifest.

    Args:
        bundle: what is served.
        versions: how many versions of each model are in memory at the worst moment: one where a
            server never changes its models, two where a new one loads before the old one goes.

    Raises:
        BundleError: the manifest lists no files of the models.
    """
    sizes = {
        model: sum(
            int(facts["size_bytes"])
            for name, facts in bundle.manifest["files"].items()
            if name.startswith(f"serving/{model}/{bundle.version}/")
        )
        for model in MODELS
    }
    if missing := [model for model, size in sizes.items() if not size]:
        raise BundleError(
            f"{bundle.path} lists no files of {', '.join(missing)} at version {bundle.version}; "
            f"see what else is wrong with `dualtower verify {bundle.path}`"
        )
    total = sum(sizes.values())
    memory = _BASE_MIB + versions * _COPIES * total / _MIB
    return Needs(
        model_bytes=total,
        memory_mib=_rounded_up(memory, _STEP_MIB),
        start_s=_rounded_up(_START_BASE_S + total / _START_BYTES_PER_S, 30),
        volume_gib=max(1, _rounded_up(5 * total / (1 << 30), 1)),
    )


def _rounded_up(value: float, step: int) -> int:
    return int(-(-value // step)) * step
