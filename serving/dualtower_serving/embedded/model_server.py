"""`dualtower-model-server`: TensorFlow Serving's API from this Python, under the stock flags.

    flags ─► configuration ─► (TensorFlow) ─► load and warm up ─► listen ─► SIGTERM: drain, exit 0

For laptops, tests and CI; production runs tensorflow_model_server, which takes the same flags. As
there, the ports open when every configured model has a version that answers, and the exit code of a
start that failed is 255.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence

from dualtower import __version__
from dualtower.errors import UsageError
from dualtower_clients.proto import management_pb2
from dualtower_serving.embedded import flags as flags_of
from dualtower_serving.embedded import grpc_settings, model_config
from dualtower_serving.embedded.flag_files import FlagFiles, read_files
from dualtower_serving.embedded.flags import Flags
from dualtower_serving.embedded.grpc_settings import GrpcSettings
from dualtower_serving.embedded.open_files import most_open_files
from dualtower_serving.embedded.status import StatusError

__all__ = ["main"]

EXIT_FAILED = 255

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
    most_open_files()  # connections are files
    try:
        flags = flags_of.parse(arguments)
        grpc = grpc_settings.settings_of(flags)
        files = read_files(flags)
        config = _configuration(flags)
        model_config.settings_of(config)
        _check_ports(flags)
        asyncio.run(_serve(flags, files, grpc))
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        _exit(EXIT_FAILED)
    except StatusError as error:
        _log.error("Failed to start server. Error: %s", error)
        _exit(EXIT_FAILED)
    _exit(0)


def _configuration(flags: Flags) -> management_pb2.ModelServerConfig:
    if flags.model_config_file:
        return model_config.read_file(flags.model_config_file)
    return model_config.of_one_model(flags.model_name, flags.model_base_path)


def _check_ports(flags: Flags) -> None:
    """Finds a port in use before TensorFlow is imported and models are loaded."""
    for name in ("port", "rest_api_port"):
        port = getattr(flags, name)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))
            except OSError as error:
                raise UsageError(
                    f"port {port} cannot be used ({error.strerror}); "
                    f"stop the server that holds it, or choose another with --{name}=N"
                ) from error
    if not flags.port and not flags.grpc_socket_path:
        raise UsageError("nowhere to listen: give --port=N or --grpc_socket_path=PATH")


async def _serve(flags: Flags, files: FlagFiles, grpc: GrpcSettings) -> None:
    stop = asyncio.Event()
    _stop_on_signals(stop)
    # TensorFlow's import takes seconds, and a signal is to be heard meanwhile
    loop = asyncio.get_running_loop()
    running_module = await loop.run_in_executor(
        None, importlib.import_module, "dualtower_serving.embedded.running"
    )
    async with running_module.RunningModels(flags, files, grpc) as running:
        await running.load_all(_configuration(flags), keep_waiting=lambda: not stop.is_set())
        if stop.is_set():
            return
        await running.listen()
        poll_s = flags.model_config_file_poll_wait_seconds
        while not await _is_set_within(stop, poll_s if poll_s > 0 else None):
            await running.reload(lambda: _configuration(flags))
        _log.info("stopping: running calls may finish within %g s", flags.drain_seconds)
        await running.drain(flags.drain_seconds)


def _stop_on_signals(stop: asyncio.Event) -> None:
    """The first signal asks for a drain, a second one ends the process at once."""
    loop = asyncio.get_running_loop()

    def ask(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask, number)


async def _is_set_within(event: asyncio.Event, timeout_s: float | None) -> bool:
    try:
        return await asyncio.wait_for(event.wait(), timeout_s)
    except (TimeoutError, asyncio.TimeoutError):
        return False


def _exit(code: int) -> None:
    """Ends the process without waiting for load threads or TensorFlow's destructors."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
