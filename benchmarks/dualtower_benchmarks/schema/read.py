"""Reads a results file and finds its requests beside it; what is not whole is refused.

The keys are held against the shipped schema, but for those that earlier files of schema 2 do not
have. Values are not: for that there is
`check-jsonschema --schemafile <(dualtower bench schema) results.json`.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtower.errors import UsageError
from dualtower_benchmarks.load.samples import Samples
from dualtower_benchmarks.schema.layout import SCHEMA, required_keys

__all__ = ["KEPT", "Results", "git_commits_of", "read_document", "read_results"]

KEPT = ".gz"  # of results that `bench keep` packed, without their requests
_COLUMNS = ("point", "due_ns", "sent_ns", "done_ns", "status")
_ADDED_TO_DOCUMENT = frozenset(
    {"git_commits", "devices", "copies", "gpu_against_cpu", "noise", "pace"}
)
_ADDED_TO_ROWS = frozenset(
    {
        "stationary", "trend_p", "trend_ratio", "effective_n", "block_s", "timeline", "not_known",
        "device_metered", "device_power_w", "energy_j", "energy_source",
        "energy_j_per_1000_queries", "energy_j_per_1000_rows", "gpu_utilisation",
        "gpu_memory_bytes", "gpu_sm_clock_mhz", "gpu_temperature_c", "gpu_throttle_reasons",
        "cpu_cores_server", "cpu_cores_generator", "cost_per_million",
    }
)  # fmt: skip
_MAKE = "make it with `dualtower bench run SCENARIO BUNDLE --out"


@dataclass(frozen=True)
class Results:
    """A results file of `dualtower bench run`, whole.

    Args:
        path: of the JSON file.
        document: what it holds, by the keys of `dualtower bench schema`.
    """

    path: Path
    document: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Of the scenario."""
        return str(self.document["scenario"]["name"])

    @property
    def points(self) -> list[dict[str, Any]]:
        """Rows in the order of measuring, void ones among them."""
        rows: list[dict[str, Any]] = self.document["points"]
        return rows

    @property
    def raw_path(self) -> Path:
        return self.path.with_name(str(self.document["raw_file"]))

    @property
    def has_requests(self) -> bool:
        """Whether a Parquet file belongs to it; not to what `bench keep` packed."""
        return self.path.suffix != KEPT

    def raw(self) -> dict[int, Samples]:
        """The requests by the number of their point; a point without any is left out.

        Those of the warm-up are marked: figures are made of `measured` alone. Files that were
        written before they were kept have none.

        Raises:
            UsageError: they are of another run than the rows.
        """
        from dualtower_benchmarks.load.raw_store import read_raw

        if not self.has_requests:
            return {}
        raw = read_raw(self.raw_path)
        for row in self.points:
            answers = len(raw.get(row["point"], Samples.none()).measured.latency_ns)
            if answers != row["n"]:
                raise UsageError(
                    f"{self.raw_path} has {answers} answers of point {row['point']} after the "
                    f"warm-up, {self.path} counts {row['n']}: they are of two runs; keep the files "
                    "of a run together, or measure again"
                )
        return raw


def read_results(path: Path | str, *, with_raw: bool = True) -> Results:
    """Results of an earlier run.

    Args:
        path: of a JSON file, or of what `bench keep` made of it.
        with_raw: whether the requests must be there, too; a table of the rows needs none.

    Raises:
        UsageError: the file is missing, cut off, of another schema or without its keys, or the
            file with its requests is missing or broken.
    """
    path = Path(path)
    document = read_document(path)
    if document.get("schema") != SCHEMA:
        raise UsageError(
            f"{path} has schema {document.get('schema')!r}, this reads {SCHEMA}; "
            f"{_MAKE} {path}`, or read it with the dualtower that wrote it"
        )
    _hold_keys(path, "the document", document, required_keys() - _ADDED_TO_DOCUMENT)
    for number, row in enumerate(document["points"]):
        _hold_keys(path, f"point {number}", row, required_keys("row") - _ADDED_TO_ROWS)
        if row["point"] != number:
            raise UsageError(f"{path}: point {number} calls itself {row['point']}; measure again")
    results = Results(path, document)
    if with_raw and results.has_requests:
        _hold_raw(results)
    return results


def read_document(path: Path) -> dict[str, Any]:
    """Any JSON object, packed or not.

    Raises:
        UsageError: the file is missing, cut off, or something else.
    """
    try:
        whole = path.read_bytes()
        if path.suffix == KEPT:
            whole = gzip.decompress(whole)
        document = json.loads(whole.decode("utf-8"))
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UsageError(f"{path} is no whole gzip file ({error}); copy it again") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); {_MAKE} {path}`") from error
    except ValueError as error:
        raise UsageError(
            f"{path} is no whole JSON ({error}); was it cut off in a copy? Copy it again, or "
            f"{_MAKE} {path}`"
        ) from error
    if not isinstance(document, dict):
        raise UsageError(f"{path} holds no JSON object; {_MAKE} {path}`")
    return document


def git_commits_of(document: Mapping[str, Any]) -> list[str]:
    """Of the code that measured the points, in order; a run that went on later may have several."""
    found = document.get("git_commits") or [document["machine"]["git_commit"]]
    return [str(commit or "not readable") for commit in found]


def _hold_keys(path: Path, where: str, found: Any, keys: frozenset[str]) -> None:
    missing = sorted(keys - set(found if isinstance(found, Mapping) else ()))
    if missing:
        raise UsageError(
            f"{path}: {where} has no {', '.join(missing[:3])}"
            f"{' …' if len(missing) > 3 else ''}; `dualtower bench schema` says what belongs "
            "there; measure again"
        )


def _hold_raw(results: Results) -> None:
    """The file with the requests is there, whole, and long enough for the rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    raw = results.raw_path
    if not raw.is_file():
        raise UsageError(
            f"{results.path} needs its requests in {raw}, which is not there; the two files "
            "belong together: copy both"
        )
    try:
        metadata = pq.read_metadata(raw)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(
            f"{raw} is no whole Parquet file ({error}); was it cut off in a copy? Copy it again"
        ) from error
    names = metadata.schema.to_arrow_schema().names
    if lacking := [name for name in _COLUMNS if name not in names]:
        raise UsageError(f"{raw} has no column {', '.join(lacking)}; it holds no requests of a run")
    counted = sum(row["n"] for row in results.points)
    if metadata.num_rows < counted:
        raise UsageError(
            f"{raw} has {metadata.num_rows} requests, {results.path} counts {counted}: they are "
            "of two runs; keep the files of a run together, or measure again"
        )
