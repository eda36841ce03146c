"""From a handle of TF Hub to a folder: https://www.tensorflow.org/hub/tf2_saved_model"""

from __future__ import annotations

import os
import socket
import tarfile
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dualtower.cache import cache_folder
from dualtower.errors import UnavailableError, UsageError
from dualtower_trainer.quiet_tensorflow import import_tensorflow

__all__ = ["HUB", "fetch_hub", "is_hub_handle"]

HUB = "hub:"
_URLS = ("http://", "https://", "gs://")
_TIMEOUT_S = 30.0  # without a byte; tensorflow-hub itself would wait for ever


def is_hub_handle(name: str) -> bool:
    """Whether a name is `hub:` and an address, and not a folder."""
    return name.startswith(HUB) and name.removeprefix(HUB).startswith(_URLS)


def fetch_hub(name: str) -> Path:
    """The folder of `hub:HANDLE`, downloaded once into $TFHUB_CACHE_DIR or the user's cache.

    Raises:
        UsageError: the name has no address.
        UnavailableError: nothing comes from there, or the package tensorflow-hub is missing.
    """
    if not is_hub_handle(name):
        raise UsageError(
            f"{name} is neither a folder nor the address of a model, which begins with "
            f"{', '.join(_URLS)}, such as "
            "hub:https://tfhub.dev/tensorflow/small_bert/bert_en_uncased_L-4_H-512_A-8/2"
        )
    import_tensorflow()
    try:
        import tensorflow_hub
    except ImportError as error:
        raise UnavailableError(
            f"{name} needs the package tensorflow-hub ({error}); run: "
            "pip install 'dualtower[hub]', or give a downloaded folder"
        ) from error
    os.environ.setdefault("TFHUB_CACHE_DIR", str(cache_folder("hub")))
    try:
        with _time_limit():
            return Path(tensorflow_hub.resolve(name.removeprefix(HUB)))
    except (urllib.error.URLError, tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise UnavailableError(
            f"{name} could not be fetched ({error}). Where there is no network, bring the unpacked "
            "folder (saved_model.pb, variables/, assets/) and give its path as encoder.name"
        ) from error


@contextmanager
def _time_limit() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_TIMEOUT_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
