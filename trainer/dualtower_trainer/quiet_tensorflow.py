"""Imports TensorFlow without the lines that its C++ prints before its log level is in force.

Commands call this first, so that a user's terminal shows the command's own words. What was held
back is shown if the import fails.
"""

from __future__ import annotations

import os
import sys
import tempfile

__all__ = ["import_tensorflow"]


def import_tensorflow() -> None:
    """Imports TensorFlow and lists its devices, with file descriptor 2 held back meanwhile."""
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            import tensorflow

            tensorflow.config.list_physical_devices("GPU")  # asks CUDA, which complains without one
        except BaseException:
            held_back.seek(0)
            os.write(terminal, held_back.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
