"""Numbers of a README come from a results file by a command, between markers and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from dualtower.cli import main
from dualtower.errors import GateFailed, UsageError
from dualtower_benchmarks.cli import bench
from dualtower_benchmarks.markdown.readme import update_readme
from dualtower_benchmarks.schema import Results, read_results

ONE = "driver=grpc batch_rows=1 loop=closed concurrency=4"


@pytest.fixture
def measured(drawn) -> Results:
    return read_results(drawn.path)


def written(readme: Path, text: str, measured: Results) -> str:
    readme.write_text(text, encoding="utf-8")
    update_readme(readme, [measured])
    return readme.read_text(encoding="utf-8")


def test_the_table_has_every_case_with_its_load_and_count(drawn) -> None:
    drawn.raw_path.stat()
    done = CliRunner().invoke(bench, ["markdown", str(drawn.path)])
    assert done.exit_code == 0
    lines = done.output.splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 2 + len(drawn.document["scenario"]["cases"])
    assert {line.count("|") for line in table} == {11}
    assert "| closed, 4 clients |" in done.output
    assert "| open, Poisson 150/s (void 3 of 3) |" in done.output
    assert "no GPU here" in table[-1]
    row = next(line for line in table if "| 16 | open, Poisson 100/s |" in line)
    counted = sum(
        r["n"] for r in drawn.document["points"]
        if (r["rate_qps"], r["batch_rows"]) == (100, 16)
    )  # fmt: skip
    assert f"| {counted:,} |" in row
    assert lines[-1].startswith("Measured on Some CPU, ")
    assert "seed 7" in lines[-1]


def test_text_of_the_run_is_no_markup(results) -> None:
    evil = "A | B <script> `x` \\ \n new"
    results.change(lambda d: d["machine"].update(cpu_model=evil))
    results.change(lambda d: [row.update(model=evil) for row in d["points"]])
    done = CliRunner().invoke(bench, ["markdown", str(results.path)])
    for line in done.output.splitlines():
        if line.startswith("|") and "---" not in line:
            assert line.replace("\\|", "").count("|") == 11
    assert "<script>" not in done.output


def test_only_what_is_between_markers_changes(measured: Results, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    before, after = "# Title — “quoted”\r\n\r\ntext\n", "\n\nThe end, without a newline"
    text = f"{before}<!-- bench:drawn -->\nold\n<!-- /bench -->{after}"
    readme.write_bytes(text.encode())
    assert update_readme(readme, [measured], check=True)
    assert readme.read_bytes() == text.encode(), "--check writes nothing"
    assert update_readme(readme, [measured])
    new = readme.read_bytes().decode()
    assert new.startswith(before + "<!-- bench:drawn -->\n| what |")
    assert new.endswith("<!-- /bench -->" + after)
    assert "old" not in new
    assert not update_readme(readme, [measured], check=True), "twice is once"
    assert not update_readme(readme, [measured])
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_one_number_in_a_sentence(drawn, measured: Results, tmp_path: Path) -> None:
    text = f"It makes <!-- bench:drawn rows_per_s {ONE} -->?<!-- /bench --> rows a second."
    new = written(tmp_path / "README.md", text, measured)
    rates = sorted(
        row["rows_per_s"] for row in drawn.document["points"]
        if (row["driver"], row["batch_rows"], row["loop"], row["concurrency"])
        == ("grpc", 1, "closed", 4)
    )  # fmt: skip
    assert new == text.replace("?", f"{rates[1]:.0f}")


def test_blocks_by_name_and_by_case(measured: Results, tmp_path: Path) -> None:
    text = "".join(
        f"<!-- bench:drawn {part} --><!-- /bench -->\n"
        for part in ("machine", "command", "table driver=litert threads=2", f"n {ONE}")
    )
    new = written(tmp_path / "README.md", text, measured)
    assert "```sh\ndualtower bench run drawn.toml bundle\n```" in new
    assert new.count("| LiteRT item_tower") == 2
    assert "gRPC" not in new
    assert "no GPU here" not in new
    assert new.splitlines()[-1].partition("-->")[2].startswith("2,6")


def test_other_results_keep_what_they_have(measured: Results, tmp_path: Path) -> None:
    other = "<!-- bench:another n -->12<!-- /bench -->"
    new = written(tmp_path / "R.md", other + "<!--bench:drawn machine--><!--/bench-->", measured)
    assert new.startswith(other)
    assert "Measured on" in new


def test_markers_in_code_are_text(measured: Results, tmp_path: Path) -> None:
    shown = (
        "Write `<!-- bench:drawn -->` and `<!-- /bench -->`, or\n\n```md\n"
        "<!-- bench:NAME -->\n<!-- /bench -->\n```\n\n"
    )
    new = written(tmp_path / "R.md", shown + "<!-- bench:drawn --><!-- /bench -->", measured)
    assert new.startswith(shown)
    assert new.count("| what |") == 1


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("nothing", "no marker <!-- bench:drawn"),
        ("<!-- bench:x --><!-- /bench -->", "it has x"),
        ("a\n<!-- bench:drawn -->\n", r"R.md:2: .* has no <!-- /bench --> behind it"),
        ("<!-- /bench -->", "ends nothing"),
        ("<!-- bench:drawn --><!-- bench:drawn --><!-- /bench -->", "stands before"),
        ("<!-- bench:drawn p99_ms --><!-- /bench -->", r"fits 18 cases; add driver=…"),
        ("<!-- bench:drawn p99_ms size=1 --><!-- /bench -->", "asks for size=1; cases have"),
        ("<!-- bench:drawn p99_ms threads=9 --><!-- /bench -->", "no case of .* has threads=9"),
        (f"<!-- bench:drawn p98 {ONE} --><!-- /bench -->", "asks for 'p98'"),
        (f"<!-- bench:drawn driver {ONE} --><!-- /bench -->", "asks for 'driver'"),
        (f"<!-- bench:drawn p99_99_ms {ONE} --><!-- /bench -->", "too few samples, or void"),
        ("<!-- bench:drawn n fast --><!-- /bench -->", "takes PART and KEY=VALUE, got 'fast'"),
    ],
)
def test_wrong_markers_are_named_and_nothing_is_written(
    measured: Results, tmp_path: Path, text: str, match: str
) -> None:
    readme = tmp_path / "R.md"
    with pytest.raises(UsageError, match=match):
        written(readme, text, measured)
    assert readme.read_text() == text


def test_two_results_of_one_scenario(measured: Results, tmp_path: Path) -> None:
    readme = tmp_path / "R.md"
    readme.write_text("<!-- bench:drawn --><!-- /bench -->")
    with pytest.raises(UsageError, match="both of scenario drawn"):
        update_readme(readme, [measured, measured])


def exit_code(*arguments: str) -> int:
    try:
        main(["bench", "readme", *arguments])
    except SystemExit as end:
        return int(str(end.code))
    return 0


def test_the_command_and_its_exit_codes(results, tmp_path: Path, capsys) -> None:
    readme = tmp_path / "R.md"
    readme.write_text("<!-- bench:drawn --><!-- /bench -->")
    results.raw_path.unlink()  # a repository may hold the rows alone
    given = [str(readme), str(results.path)]
    assert exit_code(*given, "--check") == GateFailed.exit_code == 1
    assert f"run `dualtower bench readme {readme}" in capsys.readouterr().err
    assert exit_code(*given) == 0
    assert exit_code(*given, "--check") == 0
    results.change(lambda d: d["points"][0].update(n=d["points"][0]["n"] + 1))
    assert exit_code(*given, "--check") == 1
    assert exit_code(str(tmp_path / "none.md"), str(results.path)) == 2
