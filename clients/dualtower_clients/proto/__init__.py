"""The wire: TensorFlow Serving's messages under our own file paths and proto package.

The `*_pb2` modules are generated, and committed so that an installation needs no compiler. They
must load on every protobuf that the project allows, so the compiler is pinned to the one whose
output says 6.31.1, the lowest of them:

    pip install grpcio-tools==1.74.0
    python -m grpc_tools.protoc -I clients --python_out=clients --pyi_out=clients \\
        clients/dualtower_clients/proto/*.proto
"""

from __future__ import annotations

__all__: list[str] = []
