from dualtower_clients.proto import examples_pb2 as _examples_pb2
from dualtower_clients.proto import inference_pb2 as _inference_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PredictLog(_message.Message):
    __slots__ = ("request", "response")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    request: _inference_pb2.PredictRequest
    response: _inference_pb2.PredictResponse
    def __init__(self, request: _Optional[_Union[_inference_pb2.PredictRequest, _Mapping]] = ..., response: _Optional[_Union[_inference_pb2.PredictResponse, _Mapping]] = ...) -> None: ...

class ClassifyLog(_message.Message):
    __slots__ = ("request", "response")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    request: _examples_pb2.ClassificationRequest
    response: _examples_pb2.ClassificationResponse
    def __init__(self, request: _Optional[_Union[_examples_pb2.ClassificationRequest, _Mapping]] = ..., response: _Optional[_Union[_examples_pb2.ClassificationResponse, _Mapping]] = ...) -> None: ...

class RegressLog(_message.Message):
    __slots__ = ("request", "response")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    request: _examples_pb2.RegressionRequest
    response: _examples_pb2.RegressionResponse
    def __init__(self, request: _Optional[_Union[_examples_pb2.RegressionRequest, _Mapping]] = ..., response: _Optional[_Union[_examples_pb2.RegressionResponse, _Mapping]] = ...) -> None: ...

class MultiInferenceLog(_message.Message):
    __slots__ = ("request", "response")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    request: _examples_pb2.MultiInferenceRequest
    response: _examples_pb2.MultiInferenceResponse
    def __init__(self, request: _Optional[_Union[_examples_pb2.MultiInferenceRequest, _Mapping]] = ..., response: _Optional[_Union[_examples_pb2.MultiInferenceResponse, _Mapping]] = ...) -> None: ...

class OpaqueLog(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PredictionLog(_message.Message):
    __slots__ = ("classify_log", "regress_log", "predict_log", "predict_streamed_log", "multi_inference_log", "session_run_log")
    CLASSIFY_LOG_FIELD_NUMBER: _ClassVar[int]
    REGRESS_LOG_FIELD_NUMBER: _ClassVar[int]
    PREDICT_LOG_FIELD_NUMBER: _ClassVar[int]
    PREDICT_STREAMED_LOG_FIELD_NUMBER: _ClassVar[int]
    MULTI_INFERENCE_LOG_FIELD_NUMBER: _ClassVar[int]
    SESSION_RUN_LOG_FIELD_NUMBER: _ClassVar[int]
    classify_log: ClassifyLog
    regress_log: RegressLog
    predict_log: PredictLog
    predict_streamed_log: OpaqueLog
    multi_inference_log: MultiInferenceLog
    session_run_log: OpaqueLog
    def __init__(self, classify_log: _Optional[_Union[ClassifyLog, _Mapping]] = ..., regress_log: _Optional[_Union[RegressLog, _Mapping]] = ..., predict_log: _Optional[_Union[PredictLog, _Mapping]] = ..., predict_streamed_log: _Optional[_Union[OpaqueLog, _Mapping]] = ..., multi_inference_log: _Optional[_Union[MultiInferenceLog, _Mapping]] = ..., session_run_log: _Optional[_Union[OpaqueLog, _Mapping]] = ...) -> None: ...
