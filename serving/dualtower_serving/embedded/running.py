"""The parts of the model server put together: models, service, gRPC, REST.

RunningModels ─┬─ ServedModels ◄─ loader: session, batching or not, warm-up
               ├─ ModelService
               └─ GrpcFront, RestFront      on the event loop
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # no Keras is used; this spares an import
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the ops of the tokenisers

from dualtower_clients.proto import management_pb2
from dualtower_serving.embedded import batching_settings, servable
from dualtower_serving.embedded.batch_scheduler import BatchScheduler
from dualtower_serving.embedded.batching_settings import BatchingSettings
from dualtower_serving.embedded.execution import DirectRunner, LoadedModel
from dualtower_serving.embedded.flag_files import FlagFiles
from dualtower_serving.embedded.flags import Flags
from dualtower_serving.embedded.grpc_front import GrpcFront
from dualtower_serving.embedded.grpc_settings import GrpcSettings
from dualtower_serving.embedded.in_flight import InFlight
from dualtower_serving.embedded.memory import release_memory, spare_collections
from dualtower_serving.embedded.metrics import Metrics
from dualtower_serving.embedded.predict import AnswerSettings
from dualtower_serving.embedded.rest_front import RestFront
from dualtower_serving.embedded.rest_settings import RestLimits, RestSettings
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
    """A model server inside this process. An asynchronous context manager that frees the models.

    Made on the event loop.

    Args:
        flags: as on the command line.
        files: those that the flags name.
        grpc: what the flags say of gRPC.
    """

    def __init__(self, flags: Flags, files: FlagFiles, grpc: GrpcSettings) -> None:
        tf.get_logger().setLevel("ERROR")
        spare_collections()
        self._flags = flags
        self._files = files
        self._answers = AnswerSettings(
            as_tensor_content=flags.enable_serialization_as_tensor_content,
            check_method_name=flags.enable_signature_method_name_check,
            max_tensor_bytes=flags.max_tensor_bytes,
            in_flight=InFlight(flags.max_in_flight_bytes),
        )
        self._pool = ThreadPoolExecutor(flags.grpc_max_threads, thread_name_prefix="run")
        self._scheduler: BatchScheduler | None = None
        if files.batching is None:
            self._metrics = Metrics()
        else:
            name = files.batching.thread_pool_name
            self._metrics = Metrics(thread_pool_name=name)
            self._scheduler = BatchScheduler(
                files.batching.threads, name=name, metrics=self._metrics
            )
        self._models: ServedModels[LoadedModel] = ServedModels(
            self._loader(asyncio.get_running_loop()),
            rules=_rules(flags),
            poll_s=flags.file_system_poll_wait_seconds,
        )
        service = self._service = ModelService(
            self._models,
            answers=self._answers,
            metrics=self._metrics,
            allow_labels_for_unavailable=flags.allow_version_labels_for_unavailable_models,
        )
        self._grpc = GrpcFront(service, grpc, self._metrics)
        self._rest: RestFront | None = None
        if flags.rest_api_port:
            self._rest = RestFront(
                service, _rest_settings(flags, files.metrics_path), self._metrics
            )
        self._models.start()

    async def load_all(
        self, config: management_pb2.ModelServerConfig, *, keep_waiting: Callable[[], bool]
    ) -> None:
        """Loads the configured models and waits until each answers.

        Raises:
            StatusError: the configuration is wrong, or a model failed for good.
        """

        def load() -> list[str]:
            names = self._service.configure(config)
            return self._models.wait_for(names, keep_waiting=keep_waiting)

        failed = await asyncio.get_running_loop().run_in_executor(None, load)
        if failed:
            raise StatusError(
                Code.UNKNOWN,
                f"{len(failed)} servable(s) did not become available: "
                f"{{{''.join(f'{{{text}}}, ' for text in failed)}}}",
            )

    async def listen(self) -> None:
        """Opens the addresses of the flags and begins to answer."""
        flags = self._flags
        if self._rest is not None:
            await self._rest.listen(flags.rest_api_port)
        if flags.grpc_socket_path:
            await self._grpc.listen_unix(flags.grpc_socket_path, self._files.tls)
        if flags.port:
            await self._grpc.listen("0.0.0.0", flags.port, self._files.tls)
        _log.info("Running gRPC ModelServer at 0.0.0.0:%d ...", flags.port)
        if self._rest is not None:
            _log.info("Exporting HTTP/REST API at:localhost:%d ...", flags.rest_api_port)

    async def reload(self, read: Callable[[], management_pb2.ModelServerConfig]) -> None:
        """Applies the configuration anew; one that is wrong is logged and changes nothing."""
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, lambda: self._service.configure(read()))
        except StatusError as error:
            _log.error("the configuration stays as it is: %s", error)

    async def drain(self, limit_s: float) -> None:
        """Refuses new calls and lets running ones finish."""
        if self._scheduler is not None:
            self._scheduler.hurry()
        fronts = [self._grpc.stop(drain_s=limit_s)]
        if self._rest is not None:
            fronts.append(self._rest.stop(limit_s))
        await asyncio.gather(*fronts)

    async def __aenter__(self) -> RunningModels:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.drain(0)
        await asyncio.get_running_loop().run_in_executor(None, self._models.stop)
        if self._scheduler is not None:
            self._scheduler.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _loader(self, loop: asyncio.AbstractEventLoop) -> Callable[[str, int, str], LoadedModel]:
        flags = self._flags
        settings = _session_settings(flags)

        def load(model: str, version: int, path: str) -> LoadedModel:
            code: int = Code.UNKNOWN
            try:
                batching = self._batching_of(path)  # a wrong file costs no loading
                loaded = self._loaded(model, servable.load(path, settings), batching)
                release_memory()  # before the warm-up needs memory of its own
                if flags.enable_model_warmup:
                    self._warm_up(loop, loaded, model, version, path)
                code = Code.OK
            except StatusError as error:
                code = error.code
                raise
            finally:
                self._metrics.loaded(model, code, path=path)
            release_memory()
            return loaded

        return load

    def _warm_up(
        self,
        loop: asyncio.AbstractEventLoop,
        loaded: LoadedModel,
        model: str,
        version: int,
        path: str,
    ) -> None:
        """Replays the version's file through the path of real requests, batching included."""
        begin_ns = time.perf_counter_ns()
        iterations = max(1, self._flags.num_request_iterations_for_warmup)
        replay = warm_up(loaded, version, path, self._answers, iterations=iterations)
        count, code = 0, Code.OK
        try:
            count = asyncio.run_coroutine_threadsafe(replay, loop).result()
        except BaseException as error:
            code = error.code if isinstance(error, StatusError) else Code.UNKNOWN  # type: ignore[assignment]
            loaded.close()
            raise
        finally:
            elapsed_ns = time.perf_counter_ns() - begin_ns
            if count or code != Code.OK:
                self._metrics.warmed_up(model, count, elapsed_ns, code, path=path)
        if count:
            _log.info("model %s version %d: %d warm-up requests ran", model, version, count)

    def _batching_of(self, path: str) -> BatchingSettings | None:
        """How requests of the version in this folder are batched, if they are."""
        if self._files.batching is None or not self._flags.enable_per_model_batching_parameters:
            return self._files.batching
        return batching_settings.read_per_model_file(path)

    def _loaded(self, model: str, one: Servable, batching: BatchingSettings | None) -> LoadedModel:
        if batching is None or self._scheduler is None:
            return LoadedModel(one, DirectRunner(one, self._pool))
        return LoadedModel(one, self._scheduler.runner(model, one, batching))


def _session_settings(flags: Flags) -> SessionSettings:
    return SessionSettings(
        intra_op_threads=flags.tensorflow_intra_op_parallelism
        or flags.tensorflow_session_parallelism,
        inter_op_threads=flags.tensorflow_inter_op_parallelism
        or flags.tensorflow_session_parallelism,
        tags=tuple(flags.saved_model_tags.split(",")),
        gpu_memory_fraction=flags.per_process_gpu_memory_fraction,
        config_file=flags.tensorflow_session_config_file,
    )


def _rest_settings(flags: Flags, metrics_path: str | None) -> RestSettings:
    return RestSettings(
        timeout_ms=flags.rest_api_timeout_in_ms,
        threads=flags.rest_api_num_threads,
        cors=flags.rest_api_enable_cors_support,
        metrics_path=metrics_path,
        limits=RestLimits(
            body_bytes=flags.max_message_bytes,
            total_body_bytes=max(flags.max_message_bytes, flags.max_in_flight_bytes),
        ),
    )


def _rules(flags: Flags) -> LoadRules:
    return LoadRules(
        retries=flags.max_num_load_retries,
        retry_pause_s=flags.load_retry_interval_micros / 1e6,
        threads=flags.num_load_threads or _LOAD_THREADS,
    )
