"""Results as the repository keeps them, and the numbers of its READMEs, which are theirs."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from dualtower.errors import UsageError
from dualtower_benchmarks.cli import bench
from dualtower_benchmarks.compare.baselines import read_baselines
from dualtower_benchmarks.compare.side import read_side
from dualtower_benchmarks.markdown.keep import without_folders
from dualtower_benchmarks.markdown.readme import rewritten
from dualtower_benchmarks.report.scenario.findings import findings_of
from dualtower_benchmarks.report.scenario.inputs import read_inputs
from dualtower_benchmarks.report.scenario.sections import sections_of
from dualtower_benchmarks.schema import read_results

REPOSITORY = Path(__file__).resolve().parents[3]
KEPT = REPOSITORY / "benchmarks" / "results"
READMES = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "benchmarks").rglob("*.md")]


def names_in(text: str) -> set[str]:
    """Scenarios of the markers outside of code."""
    text = re.sub(r"^```.*?^```|`[^`\n]+`", "", text, flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"<!--\s*bench:([^\s>]+)", text))


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_numbers_of_a_readme_are_those_of_a_kept_file(readme: Path) -> None:
    text = readme.read_text(encoding="utf-8")
    kept = {path.name.removesuffix(".json.gz"): path for path in KEPT.glob("*.json.gz")}
    names = names_in(text)
    assert names <= set(kept), "a marker without a kept file; see benchmarks/results/README.md"
    if names:
        results = [read_results(kept[name], with_raw=False) for name in sorted(names)]
        assert rewritten(text, results, where=readme.name) == text, "run `dualtower bench readme`"


def test_kept_files_are_small_and_say_nothing_of_their_machines_folders() -> None:
    kept = list(KEPT.iterdir())
    assert sum(path.stat().st_size for path in kept) < 2_000_000
    for path in kept:
        if path.name != "README.md":
            results = read_results(path)
            assert path.name == f"{results.name}.json.gz"
            assert without_folders(results.document) == results.document


@pytest.fixture
def packed(results, tmp_path: Path) -> Path:
    results.change(
        lambda d: d["servers"][0].update(
            command=[
                "/opt/a b/x y",
                "/home/me/bin/server",
                "--config=/srv/a/x.config",
                "http://h/p/q",
            ]
        )
    )
    done = CliRunner().invoke(
        bench, ["keep", str(results.path), "--to", str(tmp_path / "kept")], catch_exceptions=False
    )
    assert done.exit_code == 0
    return tmp_path / "kept" / "drawn.json.gz"


def test_packing_is_the_same_every_time_and_loses_no_row(packed: Path, results) -> None:
    first = packed.read_bytes()
    CliRunner().invoke(bench, ["keep", str(results.path), "--to", str(packed.parent)])
    assert packed.read_bytes() == first
    assert len(first) < 0.2 * results.path.stat().st_size
    document = json.loads(gzip.decompress(first))
    assert document["points"] == results.document["points"]
    assert document["servers"][0]["command"][1:] == [
        "…/server", "--config=…/x.config", "http://h/p/q",
    ]  # fmt: skip


def test_what_reads_results_reads_the_packed_file(packed: Path, results) -> None:
    table = CliRunner().invoke(bench, ["markdown", str(packed)])
    assert table.output == CliRunner().invoke(bench, ["markdown", str(results.path)]).output
    inputs = read_inputs([packed])
    findings = findings_of(inputs)
    assert len(findings) == 5
    assert "(no interval) times for gRPC" in findings[2]
    missing = {one.key: one.missing for one in sections_of(inputs) if one.missing}
    assert "the requests were not kept" in missing["distribution"]
    against = CliRunner().invoke(bench, ["compare", str(packed), str(results.path)])
    assert isinstance(against.exception, UsageError)
    assert "was kept without its requests" in str(against.exception)
    side = read_side(results.path)
    with pytest.raises(UsageError, match="no run there can be a baseline"):
        read_baselines([packed.parent], side, side)  # it is the same run
    document = json.loads(gzip.decompress(packed.read_bytes()))
    document["points"][0]["elapsed_s"] *= 1.01
    packed.write_bytes(gzip.compress(json.dumps(document).encode()))
    (baseline,) = read_baselines([packed.parent], side, side).results
    assert baseline.path == packed


def test_a_packed_file_that_was_cut_off_is_refused(packed: Path) -> None:
    whole = packed.read_bytes()
    for broken in (whole[:-20], b"", b"no gzip", whole[:100] + b"xx" + whole[102:]):
        packed.write_bytes(broken)
        with pytest.raises(UsageError, match=r"drawn\.json\.gz"):
            read_results(packed)
