"""A model server without a transport: requests in, responses or StatusError out.

What runs a graph is a coroutine of the event loop; what only looks something up is a plain method.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from dualtower_clients.proto import examples_pb2, inference_pb2, management_pb2
from dualtower_serving.embedded import examples, model_config, model_info
from dualtower_serving.embedded.execution import Call, LoadedModel
from dualtower_serving.embedded.labels import Labels, check_labels, resolve
from dualtower_serving.embedded.metrics import Metrics
from dualtower_serving.embedded.model_config import ModelSettings
from dualtower_serving.embedded.predict import AnswerSettings, predict
from dualtower_serving.embedded.served_models import Lease, ServedModels
from dualtower_serving.embedded.status import Code, StatusError
from dualtower_serving.embedded.version_gauge import watch_versions

__all__ = ["ModelService"]

T = TypeVar("T")
R = TypeVar("R", examples_pb2.ClassificationRequest, examples_pb2.RegressionRequest)
_Ran = Callable[[int, int], None]  # told of the examples, and of the nanoseconds of the run
_OnExamples = Callable[[LoadedModel, int, R, AnswerSettings, Call, _Ran], Awaitable[T]]


class ModelService:
    """Answers the methods of PredictionService and ModelService. Threads may share it.

    Args:
        models: the versions that are loaded.
        answers: flags that change an answer.
        metrics: what is counted, and where.
        allow_labels_for_unavailable: see `labels.check_labels`.
    """

    def __init__(
        self,
        models: ServedModels[LoadedModel],
        *,
        answers: AnswerSettings,
        metrics: Metrics | None = None,
        allow_labels_for_unavailable: bool = False,
    ) -> None:
        self._models = models
        self._answers = answers
        self._metrics = metrics or Metrics()
        self._allow_labels = allow_labels_for_unavailable
        self._configuring = threading.Lock()
        self._settings: dict[str, ModelSettings] = {}
        self._labels: Labels = {}
        watch_versions(self._metrics, lambda: list(self._settings), models.states)

    async def predict(
        self, request: inference_pb2.PredictRequest, call: Call
    ) -> inference_pb2.PredictResponse:
        """PredictionService/Predict."""

        async def answer() -> inference_pb2.PredictResponse:
            name = request.model_spec.name
            with self._lease_of(request) as lease:
                return await predict(
                    lease.servable,
                    lease.version,
                    request,
                    self._answers,
                    call,
                    ran=lambda elapsed_ns: self._metrics.ran(name, "Predict", elapsed_ns),
                )

        return await self._counted(request.model_spec.name, "Predict", call, answer())

    async def classify(
        self, request: examples_pb2.ClassificationRequest, call: Call
    ) -> examples_pb2.ClassificationResponse:
        """PredictionService/Classify."""
        return await self._on_examples("Classify", examples.classify, request, call)

    async def regress(
        self, request: examples_pb2.RegressionRequest, call: Call
    ) -> examples_pb2.RegressionResponse:
        """PredictionService/Regress."""
        return await self._on_examples("Regress", examples.regress, request, call)

    async def multi_inference(
        self, request: examples_pb2.MultiInferenceRequest, call: Call
    ) -> examples_pb2.MultiInferenceResponse:
        """PredictionService/MultiInference; version and label are those of the first task.

        As in TensorFlow Serving it is not in the counts of requests.
        """
        spec = request.tasks[0].model_spec if request.tasks else inference_pb2.ModelSpec()
        ran = self._watched(spec.name, "MultiInference")
        with self.lease(spec) as lease:
            return await examples.multi_inference(
                lease.servable, lease.version, request, self._answers, call, ran
            )

    def get_model_metadata(
        self, request: inference_pb2.GetModelMetadataRequest
    ) -> inference_pb2.GetModelMetadataResponse:
        """PredictionService/GetModelMetadata."""
        if not request.HasField("model_spec"):
            raise StatusError(Code.INVALID_ARGUMENT, "Missing ModelSpec")
        model_info.check_metadata_fields(request.metadata_field)
        with self._lease_of(request) as lease:
            return model_info.metadata(lease.servable, lease.version, request)

    def get_model_status(
        self, request: management_pb2.GetModelStatusRequest
    ) -> management_pb2.GetModelStatusResponse:
        """ModelService/GetModelStatus."""
        if not request.HasField("model_spec"):
            raise StatusError(Code.INVALID_ARGUMENT, "Missing ModelSpec")
        return model_info.status(self._models.states(request.model_spec.name), request)

    def reload_config(
        self, request: management_pb2.ReloadConfigRequest, *, keep_waiting: Callable[[], bool]
    ) -> management_pb2.ReloadConfigResponse:
        """ModelService/HandleReloadConfigRequest: returns when each new model answers."""
        before = {name: self._metrics.value(name) for name in request.metric_names}
        new = self.configure(request.config)
        failed = self._models.wait_for(new, keep_waiting=keep_waiting)
        if failed:
            raise StatusError(
                Code.UNKNOWN,
                f"{len(failed)} model(s) did not become available: "
                + "".join(f"{{{{{text}}}, }}" for text in failed),
            )
        response = management_pb2.ReloadConfigResponse()
        response.status.error_code = Code.OK
        for name in request.metric_names:
            increase = self._metrics.value(name) - before[name]
            response.metric.add(name=name, int64_value_increase=increase)
        return response

    def configure(self, config: management_pb2.ModelServerConfig) -> list[str]:
        """Replaces the configuration, if all of it is right; returns the names that are new.

        A refused configuration changes nothing, labels included.

        Raises:
            StatusError: the first thing that is wrong.
        """
        with self._configuring:
            settings = model_config.settings_of(config)
            model_config.check_changes(settings, self._settings)
            labels = {name: one.labels for name, one in settings.items()}
            check_labels(
                labels,
                self._labels,
                is_available=self._models.is_available,
                allow_unavailable=self._allow_labels,
            )
            model_config.check_platforms(settings)
            if self._settings:  # at the start a folder may still be on its way
                model_config.check_base_paths(settings, self._settings)
            new = [name for name in settings if name not in self._settings]
            self._settings, self._labels = settings, labels
            self._models.configure(settings)
            return new

    def lease(self, spec: inference_pb2.ModelSpec) -> Lease[LoadedModel]:
        """The version that is asked for, held for as long as the lease.

        Raises:
            StatusError: no name, an unknown label, or no such version is loaded.
        """
        if not spec.name:
            raise StatusError(Code.INVALID_ARGUMENT, "ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        if choice is None:
            return self._models.lease(spec.name)
        if choice == "version":
            return self._models.lease(spec.name, spec.version.value)
        return self._models.lease(spec.name, resolve(self._labels, spec.name, spec.version_label))

    def _lease_of(
        self,
        request: inference_pb2.PredictRequest
        | inference_pb2.GetModelMetadataRequest
        | examples_pb2.ClassificationRequest
        | examples_pb2.RegressionRequest,
    ) -> Lease[LoadedModel]:
        if not request.HasField("model_spec"):
            raise StatusError(Code.INVALID_ARGUMENT, "Missing ModelSpec")
        return self.lease(request.model_spec)

    async def _on_examples(
        self, api: str, answer_with: _OnExamples[R, T], request: R, call: Call
    ) -> T:
        async def answer() -> T:
            ran = self._watched(request.model_spec.name, api)
            with self._lease_of(request) as lease:
                return await answer_with(
                    lease.servable, lease.version, request, self._answers, call, ran
                )

        return await self._counted(request.model_spec.name, api, call, answer())

    def _watched(self, model: str, api: str) -> _Ran:
        def ran(count: int, elapsed_ns: int) -> None:
            self._metrics.examples(model, count)
            self._metrics.ran(model, api, elapsed_ns)

        return ran

    async def _counted(self, model: str, api: str, call: Call, answer: Awaitable[T]) -> T:
        if call.entrypoint == "REST":  # counted by its front, as are calls that never come here
            return await answer
        begin_ns = time.perf_counter_ns()
        code = Code.UNKNOWN
        self._metrics.begun(call.entrypoint)
        try:
            answered = await answer
            code = Code.OK
            return answered
        except StatusError as error:
            code = error.code  # type: ignore[assignment]
            raise
        except asyncio.CancelledError:
            code = Code.CANCELLED
            raise
        finally:
            self._metrics.ended(call.entrypoint)
            elapsed_ns = time.perf_counter_ns() - begin_ns
            self._metrics.requested(model, api, call.entrypoint, code, elapsed_ns)
