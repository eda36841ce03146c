"""From the name in a configuration to an encoder: fetched, made, or a folder of the user."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from dualtower.errors import UsageError
from dualtower.files import disk_errors
from dualtower.progress import say
from dualtower_trainer.data import Split
from dualtower_trainer.encoder import Encoder, EncoderConfig
from dualtower_trainer.finetune_config import FinetuneConfig

__all__ = ["require_encoder", "resolve_encoder", "tuned_encoder"]


def resolve_encoder(
    config: EncoderConfig, texts: Sequence[str], run: Path, *, replace: bool = False
) -> Encoder:
    """The encoder that `config` names.

    "minilm" comes from the cache or is fetched; "tiny" is made from `texts` in RUN/tiny, once, and
    with `replace` anew where that was made from something else; anything else is the path of a
    Hugging Face BERT folder.

    Raises:
        UsageError: no such folder.
        UnavailableError: minilm cannot be had here.
    """
    if config.name == "minilm":
        from dualtower_trainer.encoder_fetch import fetch

        return Encoder.load(fetch("minilm"), config.max_tokens)
    if config.name == "tiny":
        from dualtower_trainer.tiny import is_made_from, make_tiny

        folder = run / "tiny"
        if replace and folder.exists() and not is_made_from(folder, texts):
            say(f"  {folder} was made from other texts or settings; making it anew")
            with disk_errors(folder):
                shutil.rmtree(folder)
        if not folder.exists():
            make_tiny(list(texts), folder, seed=0)
        return Encoder.load(folder, config.max_tokens)
    require_encoder(config)
    return Encoder.load(Path(config.name).expanduser(), config.max_tokens)


def require_encoder(config: EncoderConfig) -> None:
    """Refuses a name that `resolve_encoder` cannot have anything for, before anything is written.

    Raises:
        UsageError: neither one of ours nor a folder.
    """
    if config.name not in ("minilm", "tiny") and not Path(config.name).expanduser().is_dir():
        raise UsageError(
            f'encoder {config.name!r} is neither "minilm", "tiny" nor a folder; '
            "see `dualtower encoder fetch --help`"
        )


def tuned_encoder(encoder: Encoder, parts: Split, config: FinetuneConfig, run: Path) -> Encoder:
    """The encoder after `[finetune]`, kept in RUN/tuned_encoder; the same one in mode "frozen".

    It learns from the inner training log alone, so that validation stays unseen.
    """
    if config.mode == "frozen":
        return encoder
    from dualtower_trainer.finetune import finetune
    from dualtower_trainer.finetune.text_pairs import text_pairs

    folder = run / "tuned_encoder"
    if not folder.exists():
        texts, pairs = text_pairs(parts.train, list(parts.catalogue.texts), config)
        finetune(encoder, texts, pairs, config, folder)
    return Encoder.load(folder, encoder.max_tokens)
