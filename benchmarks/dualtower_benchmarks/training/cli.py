"""`dualtower bench train`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from dualtower_benchmarks.scenario.options import runs_scenario

if TYPE_CHECKING:
    from dualtower_benchmarks.scenario.scenario import Scenario

__all__ = ["train"]

_QUICK = ("train.rounds=2", "train.steps=1")


@click.command(epilog="Example: dualtower bench train --reference-python torch-env/bin/python")
@runs_scenario(out="train.json", tables=("train",), served=False, bundle="none")
@click.option(
    "--reference-python",
    envvar="DUALTOWER_REFERENCE_PYTHON",
    metavar="PYTHON",
    help="A Python that has sentence-transformers, for the comparison; it is no dependency.",
)
@click.option("--quick", is_flag=True, help="Two rounds of one step each.")
def train(reference_python: str | None, quick: bool, overrides: Sequence[str]) -> Scenario:
    """Training steps a second, beside sentence-transformers where it is installed.

    It is the scenario `train`. A step is the whole of it: both sides through a BERT of MiniLM's
    size, loss, gradients and AdamW on all weights, no dropout. Engines take turns in processes of
    their own. The last is the training of the towers once BERT's encodings are cached, which has no
    counterpart. `--set train.threads=1`, `train.xla=false` and the like change every measurement.
    """
    from dualtower_benchmarks.scenario.scenario import read_scenario
    from dualtower_benchmarks.training.speed import REFERENCE_PYTHON

    if reference_python:
        os.environ[REFERENCE_PYTHON] = reference_python  # where a scenario's session looks, too
    return read_scenario("train", overrides=[*(_QUICK if quick else ()), *overrides])
