"""A model server without a transport: requests in, responses or StatusError out."""

from __future__ import annotations

import threading
from collections.abc import Callable

from dualtower_clients.proto import inference_pb2, management_pb2
from dualtower_serving.embedded import model_config, model_info
from dualtower_serving.embedded.labels import Labels, check_labels, resolve
from dualtower_serving.embedded.model_config import ModelSettings
from dualtower_serving.embedded.predict import AnswerSettings, predict
from dualtower_serving.embedded.servable import Servable
from dualtower_serving.embedded.served_models import Lease, ServedModels
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["ModelService"]


class ModelService:
    """Answers the methods of PredictionService and ModelService. Threads may share it.

    Args:
        models: the versions that are loaded.
        answers: flags that change a Predict answer.
        allow_labels_for_unavailable: see `labels.check_labels`.
    """

    def __init__(
        self,
        models: ServedModels[Servable],
        *,
        answers: AnswerSettings,
        allow_labels_for_unavailable: bool = False,
    ) -> None:
        self._models = models
        self._answers = answers
        self._allow_labels = allow_labels_for_unavailable
        self._configuring = threading.Lock()
        self._settings: dict[str, ModelSettings] = {}
        self._labels: Labels = {}

    def predict(self, request: inference_pb2.PredictRequest) -> inference_pb2.PredictResponse:
        """PredictionService/Predict."""
        with self._lease(request) as lease:
            return predict(lease.servable, lease.version, request, self._answers)

    def get_model_metadata(
        self, request: inference_pb2.GetModelMetadataRequest
    ) -> inference_pb2.GetModelMetadataResponse:
        """PredictionService/GetModelMetadata."""
        if not request.HasField("model_spec"):
            raise StatusError(Code.INVALID_ARGUMENT, "Missing ModelSpec")
        model_info.check_metadata_fields(request.metadata_field)
        with self._lease(request) as lease:
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
        for name in request.metric_names:  # nothing is counted during a reload
            response.metric.add(name=name, int64_value_increase=0)
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

    def _lease(
        self, request: inference_pb2.PredictRequest | inference_pb2.GetModelMetadataRequest
    ) -> Lease[Servable]:
        if not request.HasField("model_spec"):
            raise StatusError(Code.INVALID_ARGUMENT, "Missing ModelSpec")
        spec = request.model_spec
        if not spec.name:
            raise StatusError(Code.INVALID_ARGUMENT, "ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        if choice is None:
            return self._models.lease(spec.name)
        if choice == "version":
            return self._models.lease(spec.name, spec.version.value)
        return self._models.lease(spec.name, resolve(self._labels, spec.name, spec.version_label))
