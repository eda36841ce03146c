"""`dualtower demo`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from dualtower.tables import Table, show

__all__ = ["demo"]

_HERE = Path(__file__).parent


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR",
    help="Where everything goes. [default: demo, or demo-quick]",
)  # fmt: skip
@click.option("--quick", is_flag=True, help="600 households, a tiny encoder: under two minutes.")
@click.option(
    "--engine", type=click.Choice(["auto", "binary", "docker", "embedded"]), default="auto",
    show_default=True, help="What serves; auto takes the first that is there.",
)  # fmt: skip
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE",
    help="TOML in place of the packaged one.",
)  # fmt: skip
@click.option(
    "--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Overrides one setting."
)
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
def demo(
    out: Path | None,
    quick: bool,
    engine: str,
    config: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Walk the whole road on real grocery data.

    Fetches the Complete Journey log and a pretrained BERT, trains, evaluates beside four
    baselines, exports a gated bundle, serves it, asks for three real households, measures
    server and edge, and writes one report. A second run reuses what is still valid; after
    Ctrl-C or a crash, run it again.

    \b
    Example:
      dualtower demo --quick --out /tmp/dualtower-demo
    """
    from dualtower_trainer.quiet_tensorflow import import_tensorflow

    import_tensorflow()
    from dualtower_benchmarks.demo.road import Walk, walk

    options = Walk(
        work=out or Path("demo-quick" if quick else "demo"),
        config=config or _HERE / ("quick.toml" if quick else "demo.toml"),
        overrides=overrides,
        quick=quick,
        engine=engine,
        command=shlex.join(["dualtower", *sys.argv[1:]]),
    )
    result = walk(options, (lambda name, facts: None) if as_json else _tell)
    if as_json:
        click.echo(json.dumps(result, ensure_ascii=False))
        return
    rows = [(name, f"{elapsed_s:.1f} s") for name, elapsed_s in result["timings_s"].items()]
    rows.append(("all", f"{sum(result['timings_s'].values()):.1f} s"))
    rows.append(("peak memory of one process", f"{result['peak_memory_bytes'] / 2**30:.2f} GiB"))
    show([Table("Time", rows)])
    click.echo("\n".join(f"- {finding}" for finding in result["findings"]))
    click.echo(f"\nReport: {result['report']}")


def _tell(name: str, facts: Mapping[str, Any]) -> None:
    """Shows one step's result on stdout."""
    if name == "data":
        from dualtower_trainer.data.report_tables import counts_table, import_tables

        show([*import_tables(facts["import"]), counts_table("Split", facts["split"])])
    elif name == "train":
        start, chosen = (facts[key]["validation_recall_at_20"] for key in ("start", "chosen"))
        click.echo(
            f"trained in {facts['elapsed_s']:.1f} s ({facts['stopped']}); kept: {facts['kept']} "
            f"with validation Recall@20 {chosen or 0:.4f} (at the start {start or 0:.4f})"
            + ("; reused" if facts["reused"] else "")
        )
    elif name == "evaluate":
        from dualtower_trainer.evaluation_tables import evaluation_tables

        show(evaluation_tables(facts))
    elif name == "export":
        from dualtower_export.cli import bundle_text

        click.echo(bundle_text(facts["bundle"]))
    elif name == "ask":
        show([_household(household) for household in facts["households"]])
        loaded = "is" if facts["tensorflow_loaded"] else "is not"
        click.echo(f"TensorFlow {loaded} loaded in the client; ★ was bought in the test period\n")
    elif name == "measure":
        from dualtower_benchmarks.scenario.table import results_text

        click.echo(results_text(facts))


def _household(facts: Mapping[str, Any]) -> Table:
    rows = [("bought", text, "") for text in facts["bought"]]
    rows += [
        (
            "★ recommended" if item["bought_later"] else "  recommended",
            item["text"],
            f"{item['score']:.3f}",
        )
        for item in facts["recommended"]
    ]
    hits = sum(item["bought_later"] for item in facts["recommended"])
    title = (
        f"Household {facts['user_id']}: {hits} of {len(facts['recommended'])} recommended items "
        f"are among the {facts['later_count']} that were new in their baskets of the test period "
        f"({facts['elapsed_ms']:.1f} ms)"
    )
    return Table(title, rows)
