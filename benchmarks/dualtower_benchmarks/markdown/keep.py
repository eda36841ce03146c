"""Results as a repository keeps them: a small file a scenario, the same bytes for the same results.

The requests stay behind, they are a hundred times as large; percentiles with their intervals, the
time series and all facts are in the rows.
"""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

from dualtower.files import atomic_file, make_folder
from dualtower_benchmarks.schema import Results

__all__ = ["keep_results", "without_folders"]

_FOLDERS = re.compile(r"(?<![\w.:/])/(?:[^/\s:,;'\"]+/)+")  # of an absolute path; no URL's


def keep_results(results: Results, folder: Path) -> Path:
    """Writes `<scenario>.json.gz` into the folder; an earlier one is replaced."""
    make_folder(folder)
    path = folder / f"{results.name}.json.gz"
    text = json.dumps(without_folders(results.document), ensure_ascii=False) + "\n"
    with atomic_file(path) as temporary:
        temporary.write_bytes(gzip.compress(text.encode("utf-8"), mtime=0))
    return path


def without_folders(value: Any) -> Any:
    """The same, where absolute paths have lost the folders: "/home/me/x.config" is "…/x.config"."""
    if isinstance(value, str):
        return _FOLDERS.sub("…/", value)
    if isinstance(value, dict):
        return {key: without_folders(one) for key, one in value.items()}
    return [without_folders(one) for one in value] if isinstance(value, list) else value
