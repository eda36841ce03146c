"""The wire: TensorFlow Serving's messages under our own file paths and proto package.

The `*_pb2` modules are generated, and committed so that an installation needs no compiler. They
must load on every protobuf that the project allows, and generated code may not be newer than the
runtime, so the compiler is grpcio-tools 1.74.0: its output says 6.31.1, the lowest of all.
`make protos` runs the script `generate` beside them.
"""

from __future__ import annotations

__all__: list[str] = []
