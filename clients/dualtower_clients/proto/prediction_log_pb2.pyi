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
    classify_log: OpaqueLog
    regress_log: OpaqueLog
    predict_log: PredictLog
    predict_streamed_log: OpaqueLog
    multi_inference_log: OpaqueLog
    session_run_log: OpaqueLog
    def __init__(self, classify_log: _Optional[_Union[OpaqueLog, _Mapping]] = ..., regress_log: _Optional[_Union[OpaqueLog, _Mapping]] = ..., predict_log: _Optional[_Union[PredictLog, _Mapping]] = ..., predict_streamed_log: _Optional[_Union[OpaqueLog, _Mapping]] = ..., multi_inference_log: _Optional[_Union[OpaqueLog, _Mapping]] = ..., session_run_log: _Optional[_Union[OpaqueLog, _Mapping]] = ...) -> None: ...
