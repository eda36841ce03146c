"""`dualtower bench graph`."""

from __future__ import annotations

import json
from pathlib import Path

import click

__all__ = ["graph"]


@click.command(epilog="Example: dualtower bench graph run --reference-python onnx-env/bin/python")
@click.argument("source", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--reference-python",
    envvar="DUALTOWER_REFERENCE_PYTHON",
    metavar="PYTHON",
    help="A Python that has onnx and onnxruntime, for the ratios; they are no dependencies.",
)
@click.option("--batches", default="1,32", show_default=True, metavar="ROWS,…", help="Of a call.")
@click.option("--tokens", type=click.IntRange(3, 512), default=32, show_default=True)
@click.option("--threads", default="1,2", show_default=True, metavar="N,…", help="Of each engine.")
@click.option("--rounds", type=click.IntRange(1), default=9, show_default=True, help="Turns.")
@click.option("--calls", type=click.IntRange(1), default=30, show_default=True, help="In a turn.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
def graph(
    source: Path,
    reference_python: str | None,
    batches: str,
    tokens: int,
    threads: str,
    rounds: int,
    calls: int,
    as_json: bool,
) -> None:
    """The served encoder on a CPU, trick by trick, beside ONNX Runtime.

    SOURCE is a trained run, or the folder of a Hugging Face BERT. Rows begin with a graph as
    textbooks have it and end with the served one; a run's own texts show what padding costs.
    """
    from dualtower.errors import UsageError
    from dualtower.tables import show
    from dualtower_trainer.quiet_tensorflow import import_tensorflow

    import_tensorflow()
    from dualtower_benchmarks.graph.speed import GraphSpeed, measure_graphs, read_source
    from dualtower_benchmarks.graph.table import graph_tables

    try:
        speed = GraphSpeed(
            batches=tuple(int(rows) for rows in batches.split(",")),
            tokens=tokens,
            threads=tuple(int(count) for count in threads.split(",")),
            rounds=rounds,
            calls=calls,
            reference_python=reference_python,
        )
    except ValueError as error:
        raise UsageError(
            f"--batches {batches} --threads {threads} --rounds {rounds}: {error}"
        ) from error
    document = measure_graphs(speed, *read_source(source, tokens))
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        show(graph_tables(document))
