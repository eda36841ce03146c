"""`dualtower data`: import and describe."""

from __future__ import annotations

import click

from dualtower_trainer.data.describe_cli import describe_command
from dualtower_trainer.data.import_cli import import_command

__all__ = ["data"]


@click.group()
def data() -> None:
    """Import and describe interactions and items.

    A data folder holds interactions.parquet (user_id, item_id, timestamp, weight, event, rating)
    and items.parquet (item_id, text, category, blocked). Everything else starts from it.
    """


data.add_command(import_command)
data.add_command(describe_command)
