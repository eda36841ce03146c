"""What cannot be is absent with its reason, before it is tried or at its limit; nothing is left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.index.build import build
from dualtower_benchmarks.index.case import IndexCase
from dualtower_benchmarks.index.catalogue import make_catalogue
from dualtower_benchmarks.index.engines import ENGINES
from dualtower_benchmarks.index.guards import (
    Build,
    available_bytes,
    build_bytes,
    build_reason,
    disk_reason,
    install_reason,
    memory_reason,
    search_bytes,
)


def test_memory_that_is_not_there() -> None:
    assert memory_reason("faiss_flat", 10_000_000, 64, 8_000_000_000) is None
    reason = memory_reason("faiss_flat", 10_000_000, 64, 2_000_000_000)
    assert reason is not None
    assert reason.startswith("a build takes about")
    assert "there are 2.0 GB" in reason
    # 10⁷ vectors of 64 float32 are 2.56 GB, and no engine's build can be below what it writes
    for name, engine in ENGINES.items():
        assert build_bytes(name, 10_000_000, 64) > engine.search_copies * 2_560_000_000 * 0.9
        assert search_bytes(name, 10_000_000, 64) > engine.search_copies * 2_560_000_000


def test_a_peak_is_of_the_process_alone() -> None:
    """Whoever starts it holds 300 MB, which Linux counts into its children's `ru_maxrss`."""
    held = np.ones(300_000_000, np.int8)
    code = (
        "import numpy; from dualtower_export.edge_memory import peak_resident_bytes; "
        "taken = numpy.ones({}, numpy.int8); print(peak_resident_bytes())"
    )
    without, taken = (
        int(subprocess.check_output([sys.executable, "-c", code.format(size)]))
        for size in (0, 100_000_000)
    )
    assert without < held.nbytes
    assert taken - without == pytest.approx(100_000_000, rel=0.1)


def test_memory_of_the_machine_or_of_the_setting() -> None:
    assert available_bytes(1.5) == 1_500_000_000
    assert available_bytes(0.0) > 100_000_000


def test_disk_that_is_not_there() -> None:
    assert disk_reason(5, 5) is None
    assert disk_reason(3_000_000_000, 10) == "its files take about 3.0 GB of disk, there are 0.0 GB"


def test_a_build_that_would_take_too_long() -> None:
    two = [Build(1_000, 3.0), Build(10_000, 12.0)]  # 1 ms an item, and 2 s of any build
    assert build_reason(100_000, two, max_build_s=102.0) is None
    reason = build_reason(100_000, two, max_build_s=101.0)
    assert reason is not None
    assert "at least 102 s by those of 1,000 and 10,000 items" in reason
    assert build_reason(100_000, two[:1], max_build_s=1.0) is None  # one tells no slope
    assert build_reason(5_000, two, max_build_s=1.0) is None  # nor do larger ones
    ended = [Build(1_000, 3.0), Build(10_000, None)]
    assert "of 10,000 items was ended" in str(build_reason(100_000, ended, max_build_s=9.0))


def test_an_engine_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert install_reason("item_index_numpy") is None
    monkeypatch.setitem(sys.modules, "faiss", None)  # as if it were not there
    assert install_reason("faiss_hnsw") == (
        "faiss is not installed: pip install 'dualtower[faiss]'"
    )


def test_a_build_at_its_limit_leaves_nothing(tmp_path: Path) -> None:
    make_catalogue(tmp_path / "catalogue", 200, 4, 8, seed=0)
    folder = tmp_path / "built"
    folder.mkdir()
    case = IndexCase(items=200, dim=4, k=5, users=8, engine="item_index_numpy", max_build_s=0.01)
    with pytest.raises(NotHere, match=r"ended at max_build_s = 0\.01 s"):
        build(case, folder, tmp_path / "catalogue", threads=1)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 0}, "rounds must be at least 1"),
        ({"items": 50}, "k must be below the 50 items, got 100"),
        ({"engine": "annoy"}, "engine is one of recommender_float32"),
        ({"effort": 4}, "recommender_float32 is exact and has no effort, got 4"),
        ({"engine": "faiss_hnsw"}, "needs an effort of at least 1"),
        ({"engine": "faiss_ivf_flat", "effort": 11, "lists": 10}, "must not exceed the 10 lists"),
        ({"batch": 300}, "a batch of 300 is more than 256 users"),
        ({"max_build_s": 0}, "max_build_s must be positive"),
        ({"memory_gb": -1}, "memory_gb must be positive, or 0"),
    ],
)
def test_settings_that_make_no_sense(options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IndexCase(**options)
