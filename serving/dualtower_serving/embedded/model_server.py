"""`dualtower-model-server`: TensorFlow Serving's gRPC from this Python, under the stock flags.

    flags ─► configuration ─► (TensorFlow) ─► load and warm up ─► listen ─► SIGTERM: drain, exit 0

For laptops, tests and CI; production runs tensorflow_model_server, which takes the same flags. As
there, the ports open when every configured model has a version that answers, and the exit code of a
start that failed is 255.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from types import FrameType

from dualtower import __version__
from dualtower.errors import UsageError
from dualtower_clients.proto import management_pb2
from dualtower_serving.embedded import flags as flags_of
from dualtower_serving.embedded import model_config
from dualtower_serving.embedded.flags import Flags
from dualtower_serving.embedded.status import StatusError

__all__ = ["main"]

EXIT_FAILED = 255
_DRAIN_S = 25.0  # Kubernetes kills 30 s after SIGTERM

_log = logging.getLogger("dualtower_serving")


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the console script; ends the process."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if "--help" in arguments:
        sys.stdout.write(flags_of.usage() + "\n")
        sys.exit(0)
    if "--version" in arguments:
        sys.stdout.write(f"dualtower-model-server {__version__}\n")
        sys.exit(0)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname).1s %(message)s"
    )
    stop = threading.Event()
    try:
        flags = flags_of.parse(arguments)
        config = _configuration(flags)
        model_config.settings_of(config)
        _check_port(flags)
        _stop_on_signals(stop)
        _serve(flags, stop)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EXIT_FAILED)
    except StatusError as error:
        _log.error("Failed to start server. Error: %s", error)
        _exit(EXIT_FAILED)
    _exit(0)


def _configuration(flags: Flags) -> management_pb2.ModelServerConfig:
    if flags.model_config_file:
        return model_config.read_file(flags.model_config_file)
    return model_config.of_one_model(flags.model_name, flags.model_base_path)


def _check_port(flags: Flags) -> None:
    """Finds a port in use before TensorFlow is imported and models are loaded."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", flags.port))
        except OSError as error:
            raise UsageError(
                f"port {flags.port} cannot be used ({error.strerror}); "
                "stop the server that holds it, or choose another with --port=N"
            ) from error


def _stop_on_signals(stop: threading.Event) -> None:
    """The first signal asks for a drain, a second one ends the process at once."""

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)


def _serve(flags: Flags, stop: threading.Event) -> None:
    from dualtower_serving.embedded.running import RunningModels  # brings TensorFlow

    with RunningModels(flags) as running:
        running.load_all(_configuration(flags), keep_waiting=lambda: not stop.is_set())
        if stop.is_set():
            return
        running.listen()
        while not stop.wait(flags.model_config_file_poll_wait_seconds or None):
            running.reload(lambda: _configuration(flags))
        _log.info("stopping: running calls may finish within %g s", _DRAIN_S)
        running.drain(_DRAIN_S)


def _exit(code: int) -> None:
    """Ends the process without waiting for load threads or TensorFlow's destructors."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
