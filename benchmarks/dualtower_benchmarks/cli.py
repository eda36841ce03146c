"""`dualtower bench` and `dualtower report`."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from dualtower.config import load_section
from dualtower_benchmarks.settings import PARTS, BenchConfig

__all__ = ["bench", "report"]


@click.group(
    epilog="Start with: dualtower bench all bundle --quick --out bench.json",
)
def bench() -> None:
    """Measure a bundle: a server under load, the model without one, the files for a phone.

    Every number comes with its interval, its count and the machine; raw nanoseconds are kept beside
    the results. Draw them with `dualtower report --bench bench.json`.
    """


_OPTIONS = (
    click.argument("bundle", type=click.Path(path_type=Path, file_okay=False)),
    click.option(
        "--out",
        type=click.Path(path_type=Path, dir_okay=False),
        default=Path("bench.json"),
        show_default=True,
        help="Results; raw samples go to a .samples.parquet beside it.",
    ),
    click.option("--quick", is_flag=True, help="Corners of the grid, under 20 s in all."),
    click.option(
        "--config",
        "config_path",
        type=click.Path(path_type=Path, dir_okay=False),
        help="TOML with a [bench] section.",
    ),
    click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="bench.KEY=VALUE",
        help="Override a setting; may be repeated.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print the results file instead."),
)
_ADDRESS = click.option(
    "--address",
    metavar="HOST:PORT",
    help="A running server of this bundle; without it one is started and stopped.",
)


def _measuring(name: str, parts: Sequence[str], *, help_text: str, example: str) -> None:
    """Adds a sub-command that measures `parts`."""

    def command(
        bundle: Path,
        out: Path,
        quick: bool,
        config_path: Path | None,
        overrides: Sequence[str],
        as_json: bool,
        address: str | None = None,
    ) -> None:
        from dualtower_benchmarks.bench_run import run_bench
        from dualtower_benchmarks.bench_table import bench_table

        config = load_section("bench", BenchConfig, path=config_path, overrides=overrides)
        document = run_bench(
            bundle,
            config=config.quick() if quick else config,
            out=out,
            parts=parts,
            address=address,
            command=shlex.join(["dualtower", *sys.argv[1:]]),
        )
        if as_json:
            click.echo(json.dumps(document, ensure_ascii=False))
        else:
            click.echo(bench_table(document))
            click.echo(f"\n{out}")

    for option in reversed([*_OPTIONS, *([_ADDRESS] if "server" in parts else [])]):
        option(command)
    bench.command(name, help=help_text, epilog=f"Example: dualtower bench {name} {example}")(
        command
    )


_measuring(
    "all",
    PARTS,
    help_text="Server, SavedModel in process and edge files: one run, one file.",
    example="bundle --out bench.json --set bench.point_s=5",
)
_measuring(
    "server",
    ["server"],
    help_text="Batch × concurrency in closed loops, then Poisson arrivals at half the capacity.",
    example="bundle --address localhost:8500 --set bench.concurrency=[1,8]",
)
_measuring(
    "in-process",
    ["in_process"],
    help_text="The item tower without a server, on the CPU and on a GPU where there is one.",
    example="bundle --set bench.batches=[1,8,32]",
)
_measuring(
    "edge",
    ["edge"],
    help_text="Every TFLite variant of both towers, run by LiteRT on this machine.",
    example="bundle --set bench.edge_threads=[1,4]",
)


@bench.command(epilog="Example: dualtower bench train --reference-python torch-env/bin/python")
@click.option(
    "--reference-python",
    envvar="DUALTOWER_REFERENCE_PYTHON",
    metavar="PYTHON",
    help="A Python that has sentence-transformers, for the comparison; it is no dependency.",
)
@click.option("--batch", type=click.IntRange(2), default=32, show_default=True, help="Pairs.")
@click.option(
    "--cached-batch",
    type=click.IntRange(0),
    default=256,
    show_default=True,
    help="Pairs of a second batch, by GradCache in chunks of --batch; 0 leaves it out.",
)
@click.option("--tokens", type=click.IntRange(3, 512), default=32, show_default=True)
@click.option("--threads", type=click.IntRange(1), help="Of every engine; default: usable cores.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Turns.")
@click.option("--steps", type=click.IntRange(1), default=2, show_default=True, help="In a turn.")
@click.option("--xla/--no-xla", default=True, show_default=True, help="Also compiled by XLA.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
def train(
    reference_python: str | None,
    batch: int,
    cached_batch: int,
    tokens: int,
    threads: int | None,
    rounds: int,
    steps: int,
    xla: bool,
    as_json: bool,
) -> None:
    """Training steps a second, beside sentence-transformers where it is installed.

    A step is the whole of it: both sides through a BERT of MiniLM's size, loss, gradients and
    AdamW on all weights, no dropout. Engines take turns in processes of their own. The last
    table is the training of the towers once BERT's encodings are cached, which has no counterpart.
    """
    import os

    from dualtower.errors import UsageError
    from dualtower.tables import show
    from dualtower_benchmarks.train_speed import TrainCase, TrainSpeed, measure_training
    from dualtower_benchmarks.train_table import train_tables

    cases = [TrainCase(batch), *([TrainCase(cached_batch, batch)] if cached_batch else [])]
    try:
        speed = TrainSpeed(
            cases=tuple(cases),
            tokens=tokens,
            threads=threads or len(os.sched_getaffinity(0)),
            rounds=rounds,
            steps=steps,
            xla=xla,
            reference_python=reference_python,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    document = measure_training(speed)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        show(train_tables(document))


@bench.command(epilog="Example: dualtower bench graph run --reference-python onnx-env/bin/python")
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
    from dualtower_benchmarks.graph_speed import GraphSpeed, measure_graphs, read_source
    from dualtower_benchmarks.graph_table import graph_tables

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


@bench.command(epilog="Example: dualtower bench noise --data data --set train.steps=200")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DATA",
    help="The data folder.",
)
@click.option(
    "--shares",
    default="0.05,0.1,0.2",
    show_default=True,
    metavar="SHARE,…",
    help="Of the pairs of user and item that are flipped; 0 is measured anyway.",
)
@click.option("--seeds", type=click.IntRange(1), default=1, show_default=True, help="Repeats.")
@click.option(
    "--attacks",
    default="fgm,pgd",
    show_default=True,
    metavar="KIND,…",
    help="Adversarial trainings beside none: fgm, pgd.",
)
@click.option(
    "--work",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("noise-bench"),
    show_default=True,
    help="Noisy folders and runs; what is there is reused.",
)
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="TOML of the trainings.",
)
@click.option(
    "--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Overrides one setting."
)
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
def noise(
    data: Path,
    shares: str,
    seeds: int,
    attacks: str,
    work: Path,
    config_path: Path | None,
    overrides: Sequence[str],
    as_json: bool,
) -> None:
    """What false interactions cost: trained on a noisy log, judged on what truly followed.

    A share of the pairs of user and item before the test segment (its last 15 % where the
    configuration has none) is replaced by items that the same people never took. Towers without
    and with adversarial training ([adversarial] holds its strength) stand beside EASE.
    """
    from dualtower.errors import UsageError
    from dualtower.tables import show
    from dualtower_trainer.quiet_tensorflow import import_tensorflow

    import_tensorflow()
    from dualtower_benchmarks.noise_robustness import NoiseBench, measure_noise
    from dualtower_benchmarks.noise_table import noise_tables
    from dualtower_trainer.cli import load_run_config

    try:
        measured = NoiseBench(
            data=data,
            work=work,
            shares=tuple(float(share) for share in shares.split(",")),
            seeds=seeds,
            attacks=tuple(attacks.split(",")),
            config=load_run_config(config_path, overrides),
        )
    except ValueError as error:
        raise UsageError(
            f"--shares {shares} --attacks {attacks}: {error}; give e.g. --shares 0.05,0.1 "
            "--attacks fgm"
        ) from error
    document = measure_noise(measured)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        show(noise_tables(document))


@bench.command(epilog="Example: dualtower bench topk --items 1000000 --dim 64 --out topk.json")
@click.option("--items", type=click.IntRange(2), default=100_000, show_default=True)
@click.option("--dim", type=click.IntRange(1), default=128, show_default=True, help="Of a taste.")
@click.option("--k", type=click.IntRange(1), default=100, show_default=True, help="Of a list.")
@click.option(
    "--lists",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Of the inverted files; 0: twice the root of the items.",
)
@click.option(
    "--probes", default="1,2,4,8,16,32,64,128", show_default=True, metavar="N,…", help="Lists read."
)
@click.option("--batches", default="1,32", show_default=True, metavar="N,…", help="Users a call.")
@click.option("--threads", default="1,2", show_default=True, metavar="N,…", help="Of each side.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, help="Turns.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--reference-python",
    envvar="DUALTOWER_REFERENCE_PYTHON",
    metavar="PYTHON",
    help="A Python that has faiss, for the comparison; it is no dependency.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Also write the result as JSON."
)
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
def topk(
    items: int,
    dim: int,
    k: int,
    lists: int,
    probes: str,
    batches: str,
    threads: str,
    rounds: int,
    seed: int,
    reference_python: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """The k best of a large made-up catalogue, beside faiss where it is installed.

    Exact search in float32, float16 and int8, and the inverted file over its probes, as the
    recommender of a bundle has them: one SavedModel, loaded and called. faiss' flat index is
    tuned, its inverted file has as many lists. Engines take turns in processes of their own.
    """
    from dualtower.errors import UsageError
    from dualtower.files import write_text
    from dualtower.tables import show
    from dualtower_benchmarks.topk_speed import TopkSpeed, measure_topk
    from dualtower_benchmarks.topk_table import topk_tables

    try:
        speed = TopkSpeed(
            items=items,
            dim=dim,
            k=k,
            lists=lists,
            probes=tuple(int(number) for number in probes.split(",")),
            batches=tuple(int(number) for number in batches.split(",")),
            threads=tuple(int(number) for number in threads.split(",")),
            rounds=rounds,
            seed=seed,
            reference_python=reference_python,
        )
    except ValueError as error:
        raise UsageError(f"{error}; see dualtower bench topk --help") from error
    document = measure_topk(speed)
    text = json.dumps(document, ensure_ascii=False)
    if out is not None:
        write_text(out, text + "\n")
    if as_json:
        click.echo(text)
    else:
        show(topk_tables(document))


@bench.command(epilog="Example: dualtower bench serving bundle --engine embedded")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--engine", default="auto", show_default=True, help="Which server, as for `dualtower serve`."
)
@click.option("--clients", type=click.IntRange(1), default=32, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True, help="Turns.")
@click.option(
    "--seconds", type=click.FloatRange(0.1), default=3.0, show_default=True, help="Of a turn."
)
@click.option("--flag", "flags", multiple=True, metavar="--NAME=VALUE", help="Of the server.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
def serving(
    bundle: Path,
    engine: str,
    clients: int,
    rounds: int,
    seconds: float,
    flags: tuple[str, ...],
    as_json: bool,
) -> None:
    """What a server costs over the same SavedModel in process.

    One client without batching, by the p50 of a text; many clients with batching, by rows a second
    against the best batch size in process. Both sides take turns in one run.
    """
    from dualtower.tables import show
    from dualtower_benchmarks.serving_speed import ServingSpeed, measure_serving
    from dualtower_benchmarks.serving_table import serving_tables

    speed = ServingSpeed(
        engine=engine, clients=clients, rounds=rounds, seconds=seconds, flags=flags
    )
    document = measure_serving(bundle, speed)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        show(serving_tables(document))


@bench.command(epilog="Example: dualtower bench clients --rounds 20")
@click.option("--rows", type=click.IntRange(1), default=1024, show_default=True, help="Of float32.")
@click.option("--dim", type=click.IntRange(1), default=384, show_default=True, help="Of a row.")
@click.option("--strings", type=click.IntRange(1), default=1000, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=9, show_default=True, help="Turns.")
@click.option("--calls", type=click.IntRange(1), default=40, show_default=True, help="In a turn.")
@click.option(
    "--starts", type=click.IntRange(1), default=7, show_default=True, help="Of interpreters."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--quick", is_flag=True, help="3 turns of 8 calls, 2 starts: about half a minute.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
def clients(
    rows: int,
    dim: int,
    strings: int,
    rounds: int,
    calls: int,
    starts: int,
    seed: int,
    quick: bool,
    as_json: bool,
) -> None:
    """The client beside the official way: codec, import, memory, size on the disk.

    TensorFlow's own functions and its serving API have to be installed. The codec takes turns with
    them in one process, imports are those of fresh interpreters.
    """
    from dualtower.tables import show
    from dualtower_benchmarks.client_speed import ClientSpeed, measure_clients
    from dualtower_benchmarks.client_table import client_tables

    speed = ClientSpeed(rows, dim, strings, rounds, calls, starts, seed)
    document = measure_clients(speed.quick() if quick else speed)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        show(client_tables(document))


@click.command(epilog="Example: dualtower report --run run --bundle bundle --bench bench.json")
@click.option("--run", type=click.Path(path_type=Path, file_okay=False), help="Of `train`.")
@click.option("--bundle", type=click.Path(path_type=Path, file_okay=False), help="Of `export`.")
@click.option("--bench", type=click.Path(path_type=Path, dir_okay=False), help="Of `bench`.")
@click.option("--topk", type=click.Path(path_type=Path, dir_okay=False), help="Of `bench topk`.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def report(
    run: Path | None,
    bundle: Path | None,
    bench: Path | None,
    topk: Path | None,
    out: Path,
    as_json: bool,
) -> None:
    """One self-contained HTML page of what was trained, exported and measured.

    Give what there is; the page says what is missing. It loads nothing from anywhere, needs no
    JavaScript, and follows the reader's light or dark setting.
    """
    from dualtower_benchmarks.report import write_report

    written = write_report(run=run, bundle=bundle, bench=bench, topk=topk, out=out)
    if as_json:
        click.echo(json.dumps(written.as_json(), ensure_ascii=False))
    else:
        for finding in written.findings:
            click.echo(f"- {finding}")
        click.echo(str(out))
