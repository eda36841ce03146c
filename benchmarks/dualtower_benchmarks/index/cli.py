"""`dualtower bench index`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from dualtower_benchmarks.scenario.options import runs_scenario

if TYPE_CHECKING:
    from dualtower_benchmarks.scenario.scenario import Scenario

__all__ = ["index"]

_QUICK = ("index.items=100000", "index.rounds=3", "index.round_s=0.2")


@click.command(epilog="Example: dualtower bench index --items 1000000 --out index.json")
@runs_scenario(out="index.json", tables=("index",), served=False, bundle="none")
@click.option("--items", type=click.IntRange(2), help="Of the one catalogue that is searched.")
@click.option("--quick", is_flag=True, help="10⁵ items and short turns: two minutes.")
def index(items: int | None, quick: bool, overrides: Sequence[str]) -> Scenario:
    """Recall against latency of searches in a large made-up catalogue, beside faiss and usearch.

    It is the scenario `index`, which takes 10⁵, 10⁶ and 10⁷ items. Engines take turns in processes
    of their own; recall is that of the exact lists. `--set index.threads=2`, `index.batch=[1,32]`
    and the like change every search, `--set index.engine=...` needs a scenario of one's own.
    """
    from dualtower_benchmarks.scenario.scenario import read_scenario

    chosen = [f"index.items={items}"] if items is not None else []
    return read_scenario("index", overrides=[*(_QUICK if quick else ()), *chosen, *overrides])
