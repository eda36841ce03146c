"""Quality on the page: the gain over each rival, whom the lists show, how much history it takes."""

from __future__ import annotations

import json
from typing import Any

from dualtower_benchmarks.report.road.quality_figure import quality_panels
from dualtower_benchmarks.report.road.quality_tables import (
    Cell,
    Table,
    history_lengths,
    quality_tables,
)


def evaluation_of(report_files: Any) -> dict[str, Any]:
    return json.loads((report_files.run / "evaluation.json").read_text(encoding="utf-8"))


def named(tables: list[Table], start: str) -> Table:
    return next(table for table in tables if table.caption.startswith(start))


def column(table: Table, name: str) -> dict[str, Any]:
    place = list(table.head).index(name)
    return {str(row[0]): row[place] for row in table.rows}


def test_each_rival_has_the_gain_over_it_and_what_it_stands_for(report_files: Any) -> None:
    table = named(quality_tables(evaluation_of(report_files)), "Known items: n")
    assert table.caption.endswith("1,651 users, 3,545 candidates, ± one standard error")
    gains = column(table, "gain of dualtower, 95 %")
    assert gains["EASE"] == Cell("+0.0060", "+0.0000 to +0.0120")
    assert gains["dualtower"] == ""
    assert column(table, "stands for")["EASE"] == "SimReco"
    assert column(table, "Recall@20")["popularity"].text == "0.0510"
    assert table.marked == {0}


def test_lists_are_described_where_known_items_can_stand_in_them(report_files: Any) -> None:
    tables = quality_tables(evaluation_of(report_files))
    shown = [table.caption for table in tables if "whom the 20 best show" in table.caption]
    assert shown == [
        "Known items: whom the 20 best show",
        "New items in the full catalogue: whom the 20 best show",
    ]
    full = named(tables, shown[1])
    assert column(full, "new items")["dualtower"] == "15.2\xa0%"
    assert column(full, "Gini")["dualtower"] == "0.820"


def test_history_lengths_without_anybody_are_left_out(report_files: Any) -> None:
    evaluation = evaluation_of(report_files)
    assert history_lengths(evaluation) == ["1", "2", "3–5"]
    table = named(quality_tables(evaluation), "Known items, Recall@20 by")
    assert table.rows[0] == ["users", "7", "44", "1,600"]
    assert [cell.text for cell in table.rows[1][1:]] == ["0.067", "0.107", "0.134"]
    panel = quality_panels(evaluation)[-1]
    assert "3–5 items: dualtower" in panel.svg
    assert "1 items" not in panel.svg  # 7 people are no point


def test_a_question_that_nobody_was_asked_has_no_table(report_files: Any) -> None:
    evaluation = evaluation_of(report_files)
    for scope in ("cold", "cold_in_full"):
        evaluation[scope] = {"users": 0, "candidates": 114, "methods": []}
    captions = [table.caption for table in quality_tables(evaluation)]
    assert len(captions) == 3
    assert all(caption.startswith("Known items") for caption in captions)
