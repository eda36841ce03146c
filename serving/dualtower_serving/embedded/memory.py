"""Gives freed memory back to the machine, and keeps what never changes out of garbage collection.

Loading a model copies its graph several times over (file, message, graph, session). The copies are
freed, but glibc keeps their pages for this process: for a BERT of 90 MB, 300 MB a model.
"""

from __future__ import annotations

import ctypes
import gc

__all__ = ["release_memory", "spare_collections"]


def release_memory() -> None:
    """Collects garbage and returns free pages; only the former where the C library is another."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def spare_collections() -> None:
    """Takes what is there now out of later collections. Called once, when all is imported.

    TensorFlow's modules are a million objects: a full collection of them takes 0.25 s, at each load
    and now and then between two requests.
    """
    gc.collect()
    gc.freeze()
