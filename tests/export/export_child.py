"""`dualtower export` in a fork, watched file by file, that may be killed. Small."""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "dualtower"))

from file_events import watch

SETTINGS = (
    'export.variants=["float32", "dynamic_int8"]', "export.variant_cosine_min=0.999995",
    "export.edge_recommenders=[]", "export.batch_sizes=[1]", "export.k_max=5",
)  # fmt: skip


def export(run: Path, out: Path, kill_at: int | str, place: Path) -> None:
    """Leaves in `place` what it did (trace), what it said (log) and its temporary files (tmp)."""
    from dualtower.cli import main

    # bytecode of the sources that TensorFlow generates there would outlive them
    sys.dont_write_bytecode = True
    os.environ.update(TMPDIR=str(place / "tmp"), PYTHONDONTWRITEBYTECODE="1")
    tempfile.tempdir = None
    log = os.open(place / "log", os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(log, stream)
    watch(out.parent, kill_at=kill_at, trace=place / "trace")
    sets = [word for setting in SETTINGS for word in ("--set", setting)]
    main(["export", str(run), "--out", str(out), *sets])
    atexit._run_exitfuncs()  # a fork ends without them, and TensorFlow's remove its temporaries
