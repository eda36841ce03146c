"""The embedded server over SavedModels that it writes first: y = x + version, as the fake's "m".

It gets a job, `{"folder": path, "versions": n}`; the port comes back before the server listens, and
it serves until it is killed or its pipe ends. Version 1 lies in the folder, the others beside it as
N.tmp, to be renamed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

__all__ = ["main"]


def main(pipe: Connection, job: Mapping[str, Any]) -> None:
    """Serves until it is killed, or the other end of the pipe is closed."""
    from dualtower_serving.embedded import model_server
    from dualtower_serving.launch import free_port

    folder = Path(job["folder"])
    _write(folder, job["versions"])
    port = free_port()
    pipe.send({"port": port})
    threading.Thread(target=_end_with, args=(pipe,), daemon=True).start()
    model_server.main(
        [
            f"--port={port}",
            "--model_name=m",
            f"--model_base_path={folder}",
            "--file_system_poll_wait_seconds=1",
        ]
    )


def _write(folder: Path, versions: int) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    for version in range(1, versions + 1):
        module = tf.Module()
        module.add = tf.function(
            lambda x, version=version: {"y": x + version},
            input_signature=[tf.TensorSpec([None], tf.int64, "x")],
            autograph=False,
        )
        name = str(version) if version == 1 else f"{version}.tmp"
        tf.saved_model.save(
            module, str(folder / name), signatures=module.add.get_concrete_function()
        )


def _end_with(pipe: Connection) -> None:
    with suppress(EOFError):
        pipe.recv()
    os._exit(0)
