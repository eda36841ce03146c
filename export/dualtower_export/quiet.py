"""Keeps TensorFlow's warnings about its own internals off the screen while we call them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quiet_tensorflow"]


@contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Errors still show. Freezing, saving and sessions warn of things that do not concern us:
    collections that hold nothing, lookup tables without a Python object, and an old loader that is
    the one the server uses.
    """
    logger = logging.getLogger("tensorflow")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
