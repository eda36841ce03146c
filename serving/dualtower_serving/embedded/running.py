"""The parts of the model server put together: models, service, gRPC."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from types import TracebackType

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # no Keras is used; this spares an import
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the ops of the tokenisers

from dualtower_clients.proto import management_pb2
from dualtower_serving.embedded import servable
from dualtower_serving.embedded.flags import Flags
from dualtower_serving.embedded.grpc_front import GrpcFront
from dualtower_serving.embedded.memory import release_memory
from dualtower_serving.embedded.predict import AnswerSettings
from dualtower_serving.embedded.servable import Servable, SessionSettings
from dualtower_serving.embedded.served_models import LoadRules, ServedModels
from dualtower_serving.embedded.service import ModelService
from dualtower_serving.embedded.status import Code, StatusError
from dualtower_serving.embedded.warmup import warm_up

__all__ = ["RunningModels"]

# The stock server takes 4 a core at the start. Loading is hardly faster so, but needs several times
# the size of each model that is under way; two, so that a slow load lets another pass.
_LOAD_THREADS = 2

_log = logging.getLogger(__name__)


class RunningModels:
    """A model server inside this process. A context manager that frees the models.

    Args:
        flags: as on the command line.
    """

    def __init__(self, flags: Flags) -> None:
        tf.get_logger().setLevel("ERROR")
        self._flags = flags
        self._models: ServedModels[Servable] = ServedModels(
            _loader(flags), rules=_rules(flags), poll_s=flags.file_system_poll_wait_seconds
        )
        self._service = ModelService(
            self._models,
            answers=AnswerSettings(
                as_tensor_content=flags.enable_serialization_as_tensor_content,
                check_method_name=flags.enable_signature_method_name_check,
            ),
            allow_labels_for_unavailable=flags.allow_version_labels_for_unavailable_models,
        )
        self._front = GrpcFront(self._service, threads=flags.grpc_max_threads)
        self._models.start()

    def load_all(
        self, config: management_pb2.ModelServerConfig, *, keep_waiting: Callable[[], bool]
    ) -> None:
        """Loads the configured models and waits until each answers.

        Raises:
            StatusError: the configuration is wrong, or a model failed for good.
        """
        names = self._service.configure(config)
        failed = self._models.wait_for(names, keep_waiting=keep_waiting)
        if failed:
            raise StatusError(
                Code.UNKNOWN,
                f"{len(failed)} servable(s) did not become available: "
                f"{{{''.join(f'{{{text}}}, ' for text in failed)}}}",
            )

    def listen(self) -> None:
        """Opens the addresses of the flags and begins to answer."""
        port = self._front.listen(f"0.0.0.0:{self._flags.port}")
        if self._flags.grpc_socket_path:
            self._front.listen(f"unix:{self._flags.grpc_socket_path}")
        self._front.start()
        _log.info("Running gRPC ModelServer at 0.0.0.0:%d ...", port)

    def reload(self, read: Callable[[], management_pb2.ModelServerConfig]) -> None:
        """Applies the configuration anew; one that is wrong is logged and changes nothing."""
        try:
            self._service.configure(read())
        except StatusError as error:
            _log.error("the configuration stays as it is: %s", error)

    def drain(self, limit_s: float) -> None:
        """Refuses new calls and lets running ones finish."""
        self._front.stop(drain_s=limit_s).wait()

    def __enter__(self) -> RunningModels:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        stopped: threading.Event = self._front.stop(drain_s=0)
        stopped.wait()
        self._models.stop()


def _loader(flags: Flags) -> Callable[[str, int, str], Servable]:
    settings = SessionSettings(
        intra_op_threads=flags.tensorflow_intra_op_parallelism
        or flags.tensorflow_session_parallelism,
        inter_op_threads=flags.tensorflow_inter_op_parallelism
        or flags.tensorflow_session_parallelism,
        tags=tuple(flags.saved_model_tags.split(",")),
    )

    def load(model: str, version: int, path: str) -> Servable:
        loaded = servable.load(path, settings)
        release_memory()  # before the warm-up needs memory of its own
        if flags.enable_model_warmup:
            try:
                count = warm_up(
                    loaded,
                    version,
                    path,
                    iterations=max(1, flags.num_request_iterations_for_warmup),
                )
            except BaseException:
                loaded.close()
                raise
            if count:
                _log.info("model %s version %d: %d warm-up requests ran", model, version, count)
        release_memory()
        return loaded

    return load


def _rules(flags: Flags) -> LoadRules:
    return LoadRules(
        retries=flags.max_num_load_retries,
        retry_pause_s=flags.load_retry_interval_micros / 1e6,
        threads=flags.num_load_threads or _LOAD_THREADS,
    )
