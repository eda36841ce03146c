"""An export that is watched or killed: RUN OUT KILL_AT TRACE. Small, so that it takes seconds."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "dualtower"))

from file_events import watch


def main() -> None:
    """Imports first, so that the first event is the export's own."""
    run, out, kill_at, trace = sys.argv[1:]
    from dualtower_export import ExportConfig, export_bundle

    config = ExportConfig(variants=("float32",), edge_recommenders=(), batch_sizes=(1,), k_max=5)
    watch(Path(out).parent, kill_at=int(kill_at), trace=Path(trace))
    export_bundle(Path(run), Path(out), config)


if __name__ == "__main__":
    main()
