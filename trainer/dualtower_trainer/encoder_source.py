"""From the name in a configuration to an encoder: fetched, made, read from TF Hub, or a folder."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from dualtower.errors import UsageError
from dualtower.files import disk_errors
from dualtower.progress import say
from dualtower_trainer.data import Split
from dualtower_trainer.encoder import Encoder, EncoderConfig
from dualtower_trainer.finetune_config import FinetuneConfig
from dualtower_trainer.hub_encoder import is_hub_folder
from dualtower_trainer.hub_fetch import HUB, is_hub_handle

__all__ = ["require_encoder", "resolve_encoder", "tuned_encoder"]


def resolve_encoder(
    config: EncoderConfig, texts: Sequence[str], run: Path, *, replace: bool = False
) -> Encoder:
    """The encoder that `config` names.

    "minilm" comes from the cache or is fetched; "tiny" is made from `texts` in RUN/tiny, once, and
    with `replace` anew where that was made from something else; so is RUN/hub-… from a folder in TF
    Hub's format or from `hub:HANDLE`; anything else is the path of a Hugging Face BERT folder.

    Raises:
        UsageError: no such folder, or a model of TF Hub that is no BERT of ours.
        UnavailableError: minilm, or the model of a handle, cannot be had here.
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
    if config.name.startswith(HUB) or is_hub_folder(_folder(config)):
        return _hub_encoder(config, run, replace)
    return Encoder.load(_folder(config), config.max_tokens)


def require_encoder(config: EncoderConfig) -> None:
    """Refuses a name that `resolve_encoder` cannot have anything for, before anything is written.

    Raises:
        UsageError: neither one of ours nor a folder nor a handle of TF Hub.
    """
    known = config.name in ("minilm", "tiny") or is_hub_handle(config.name)
    if not known and not _folder(config).is_dir():
        raise UsageError(
            f'encoder {config.name!r} is neither "minilm", "tiny", a folder, nor '
            "hub:https://… of TF Hub; see `dualtower encoder fetch --help`"
        )


def _folder(config: EncoderConfig) -> Path:
    return Path(config.name.removeprefix(HUB)).expanduser()


def _hub_encoder(config: EncoderConfig, run: Path, replace: bool) -> Encoder:
    """The encoder read from TF Hub, kept in RUN with what it was read from, by its name."""
    digest = hashlib.sha256(config.name.encode()).hexdigest()[:8]
    folder, note = run / f"hub-{digest}", "made_from.json"
    if folder.exists() and not replace:
        return Encoder.load(folder, config.max_tokens)
    from dualtower_trainer.hub_encoder import encoder_of_hub, made_from
    from dualtower_trainer.hub_fetch import fetch_hub

    source = fetch_hub(config.name) if is_hub_handle(config.name) else _folder(config)
    files = made_from(source)
    if folder.exists():
        if (folder / note).is_file() and (folder / note).read_text("utf-8") == files:
            return Encoder.load(folder, config.max_tokens)
        say(f"  {folder} was read from other files; reading it anew")
        with disk_errors(folder):
            shutil.rmtree(folder)
    encoder_of_hub(source, config.max_tokens).save(folder, {note: files})
    return Encoder.load(folder, config.max_tokens)


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
