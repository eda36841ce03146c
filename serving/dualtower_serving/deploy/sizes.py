"""What a server needs for the models of a bundle: memory, disk, time to start.

A session holds constants several times over: the file's bytes, the graph, and what was folded or
laid out anew for oneDNN. Measured with a session of TensorFlow 2.21 that multiplies by 96 MB: as
constants in saved_model.pb they took 0.79 GB once loaded and 1.48 GB meanwhile, as variables
0.11 GB.
"""

from __future__ import annotations

from dataclasses import dataclass

from dualtower.bundle import MODELS, Bundle
from dualtower.errors import BundleError

__all__ = ["Needs", "needs_of"]

_MIB = 1 << 20
_BASE_MIB = 768  # TensorFlow itself, its threads, requests and batches
_COPIES_OF_GRAPH = 9  # of saved_model.pb, once loaded
_COPIES_OF_VARIABLES = 2
_COPIES_LOADING = 7  # of the largest model's graph, on top while it loads
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
    sizes = dict.fromkeys(MODELS, 0)
    graphs = dict.fromkeys(MODELS, 0)
    for name, facts in bundle.manifest["files"].items():
        for model in MODELS:
            if name.startswith(f"serving/{model}/{bundle.version}/"):
                sizes[model] += int(facts["size_bytes"])
                if name.endswith("/saved_model.pb"):
                    graphs[model] = int(facts["size_bytes"])
    if missing := [model for model, size in sizes.items() if not size]:
        raise BundleError(
            f"{bundle.path} lists no files of {', '.join(missing)} at version {bundle.version}; "
            f"see what else is wrong with `dualtower verify {bundle.path}`"
        )
    total, graph = sum(sizes.values()), sum(graphs.values())
    loaded = _COPIES_OF_GRAPH * graph + _COPIES_OF_VARIABLES * (total - graph)
    loading = _COPIES_LOADING * max(graphs.values())
    memory = _BASE_MIB + (versions * loaded + loading) / _MIB
    return Needs(
        model_bytes=total,
        memory_mib=_rounded_up(memory, _STEP_MIB),
        start_s=_rounded_up(_START_BASE_S + total / _START_BYTES_PER_S, 30),
        volume_gib=max(1, _rounded_up(5 * total / (1 << 30), 1)),
    )


def _rounded_up(value: float, step: int) -> int:
    return int(-(-value // step)) * step
