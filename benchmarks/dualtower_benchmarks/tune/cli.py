"""`dualtower bench tune`."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import click

__all__ = ["tune"]

_MODELS = ("recommender", "item_tower", "user_tower")


@click.command(epilog="Example: dualtower bench tune bundle --slo-ms 50 --out tuned")
@click.argument("bundle", type=click.Path(path_type=Path, file_okay=False))
@click.option("--slo-ms", type=float, required=True, help="What the percentile may take.")
@click.option("--percentile", type=float, default=0.99, show_default=True, help="Of the SLO.")
@click.option(
    "--max-errors",
    type=float,
    default=0.0,
    show_default=True,
    help="Share of requests that may fail or be skipped.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="The new bundle; rounds and evidence go to a folder .tune beside it.",
)
@click.option(
    "--model",
    type=click.Choice(_MODELS),
    default=_MODELS[0],
    show_default=True,
    help="That is loaded; the settings are those of the whole server.",
)
@click.option("--batch", type=int, default=1, show_default=True, help="Rows of a request.")
@click.option(
    "--driver",
    type=click.Choice(("grpc", "rest")),
    default="grpc",
    show_default=True,
    help="How the server is asked.",
)
@click.option("--engine", default="auto", show_default=True, help="Of the server.")
@click.option("--budget-s", type=float, help="Leaves out what there is no time for.")
@click.option("--quick", is_flag=True, help="Two rounds of short probes.")
@click.option("--dry-run", is_flag=True, help="Print the settings and how long it takes.")
@click.option("--json", "as_json", is_flag=True, help="Print the evidence instead.")
def tune(
    bundle: Path,
    slo_ms: float,
    percentile: float,
    max_errors: float,
    out: Path,
    model: str,
    batch: int,
    driver: str,
    engine: str,
    budget_s: float | None,
    quick: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Pick batching.config and thread flags for an SLO, by the highest rate that holds.

    Searches for the limit of every setting are short, those of the best longer, and the last ones
    are repeated in turns with the present setting. Only what is above it in every repeat is
    written: a new bundle of the same models, version and fingerprint, with serving/batching.config,
    server.flags and the evidence in tune.json. Where nothing is better, nothing is written (exit
    0). A run that was killed goes on when the same command is given again.
    """
    from dualtower.bundle import Bundle
    from dualtower.errors import UsageError
    from dualtower.progress import say
    from dualtower_benchmarks.limit.case import LimitCase
    from dualtower_benchmarks.machine import usable_cores
    from dualtower_benchmarks.numerals import duration
    from dualtower_benchmarks.tune.rounds import QUICK, ROUNDS
    from dualtower_benchmarks.tune.table import plan_text, tune_text
    from dualtower_benchmarks.tune.tune import plan_of
    from dualtower_benchmarks.tune.tune import tune as tuned

    try:
        case = LimitCase(
            driver=driver,
            model=model,
            batch_rows=batch,
            engine=engine,
            slo_ms=slo_ms,
            slo_percentile=percentile,
            max_error_share=max_errors,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    opened, rounds = Bundle.open(bundle), QUICK if quick else ROUNDS
    plan = plan_of(opened, case, rounds, out, cores=usable_cores() or 1, budget_s=budget_s)
    if dry_run:
        click.echo(plan_text(plan, case.as_json()))
        return
    say(f"{len(plan.candidates)} settings, about {duration(plan.expected_s)}")
    if budget_s is not None and plan.expected_s > budget_s:
        say(f"two settings are the fewest, and take more than the {budget_s:g} s of --budget-s")
    evidence = tuned(
        opened, case, plan, rounds, out, command=shlex.join(["dualtower", *sys.argv[1:]])
    )
    click.echo(json.dumps(evidence, ensure_ascii=False) if as_json else tune_text(evidence, out))
