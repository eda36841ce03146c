"""`dualtower bench noise`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import click

__all__ = ["noise"]


@click.command(epilog="Example: dualtower bench noise --data data --set train.steps=200")
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
    from dualtower_benchmarks.noise.robustness import NoiseBench, measure_noise
    from dualtower_benchmarks.noise.table import noise_tables
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
