"""Adds to a TFLite file without moving its weights against each other.

A flatbuffer's offsets point forward, so a new root can stand in front of an old one and point into
it. What comes out is

    new root, its tables and strings | the old file as it was | the new buffer

so that every buffer keeps the alignment that the converter gave it, nothing is unpacked, and a file
of 100 MB takes a moment. A quantiser may put the bytes of its buffers behind the flatbuffer, by
their place in the file: those places move with them. Tables and fields are those of the public
schema,
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flatbuffers.table import Table

__all__ = [
    "add_metadata",
    "bytes_at",
    "fields_of",
    "metadata_of",
    "root_of",
    "string_at",
    "tables_at",
]

IDENTIFIER = b"TFL3"
_ALIGNMENT = 16
# fields by their number in the schema
_MODEL_VERSION, _MODEL_SUBGRAPHS, _MODEL_BUFFERS, _MODEL_METADATA = 0, 2, 4, 6
_GRAPH_TENSORS, _GRAPH_INPUTS, _GRAPH_DEBUG = 0, 1, 5
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_HAS_RANK = 0, 1, 3, 8
_METADATA_NAME, _METADATA_BUFFER = 0, 1
_BUFFER_DATA, _BUFFER_OFFSET = 0, 1
_INSIDE = 1  # an offset up to this says that the bytes are in the buffer's own vector
_INT32 = 2


def root_of(content: bytes) -> Table:
    """The root table of a flatbuffer."""
    return Table(content, struct.unpack_from("<I", content)[0])


def fields_of(table: Table) -> dict[int, int]:
    """Where the fields of a table lie in the file, by their number; absent ones are left out."""
    vtable = table.Pos - struct.unpack_from("<i", table.Bytes, table.Pos)[0]
    count = struct.unpack_from("<H", table.Bytes, vtable)[0] // 2 - 2
    places = struct.unpack_from(f"<{count}H", table.Bytes, vtable + 4)
    return {number: table.Pos + place for number, place in enumerate(places) if place}


def tables_at(table: Table, field: int) -> list[Table]:
    """The tables of a vector field; none where it is absent."""
    where = fields_of(table).get(field)
    if where is None:
        return []
    start, count = _vector(table.Bytes, where)
    return [Table(table.Bytes, _follow(table.Bytes, start + 4 * i)) for i in range(count)]


def string_at(table: Table, field: int) -> str:
    """The text of a string field; "" where it is absent."""
    return bytes_at(table, field).decode("utf-8")


def bytes_at(table: Table, field: int) -> bytes:
    """The bytes of a string or a vector of bytes; none where it is absent."""
    where = fields_of(table).get(field)
    if where is None:
        return b""
    start, count = _vector(table.Bytes, where)
    return bytes(table.Bytes[start : start + count])


def metadata_of(content: bytes, name: str) -> bytes | None:
    """The buffer that the model's metadata `name` points to, or None."""
    model = root_of(content)
    for entry in tables_at(model, _MODEL_METADATA):
        if string_at(entry, _METADATA_NAME) == name:
            where = fields_of(entry).get(_METADATA_BUFFER)
            index = 0 if where is None else struct.unpack_from("<I", content, where)[0]
            return bytes_at(tables_at(model, _MODEL_BUFFERS)[index], _BUFFER_DATA)
    return None


def add_metadata(content: bytes, name: str, data: bytes, *, unread_input: str = "") -> bytes:
    """The same model with one more entry of metadata.

    Args:
        content: a TFLite file.
        name: of the entry.
        data: its bytes; they lie at a multiple of 16.
        unread_input: name of a further input of the graph, int32 and of the first input's shape,
            that no operation reads. The signatures do not have it: it is there for runtimes that
            count the inputs of the graph and want it filled.
    """
    model = root_of(content)
    graphs: list[_Node] = [_Old(graph.Pos) for graph in tables_at(model, _MODEL_SUBGRAPHS)]
    if unread_input:
        graphs[0] = _with_input(tables_at(model, _MODEL_SUBGRAPHS)[0], unread_input)
    old_buffers = tables_at(model, _MODEL_BUFFERS)
    buffers = [_Old(old.Pos) for old in old_buffers]
    entries = [_Old(old.Pos) for old in tables_at(model, _MODEL_METADATA)]
    entry = _Fields({_METADATA_NAME: _Text(name), _METADATA_BUFFER: len(buffers)})
    root = _copy(
        model,
        numbers={_MODEL_VERSION},
        changed={
            _MODEL_SUBGRAPHS: _Offsets(graphs),
            _MODEL_BUFFERS: _Offsets([*buffers, _Fields({_BUFFER_DATA: _Tail()})]),
            _MODEL_METADATA: _Offsets([*entries, entry]),
        },
    )
    outside = [fields.get(_BUFFER_OFFSET) for fields in map(fields_of, old_buffers)]
    return _in_front_of(content, root, data, moved=[place for place in outside if place])


def _with_input(graph: Table, name: str) -> _Fields:
    """A copy of a subgraph with one more tensor, which is one more input."""
    content = graph.Bytes
    tensors = tables_at(graph, _GRAPH_TENSORS)
    inputs = _numbers(content, fields_of(graph)[_GRAPH_INPUTS])
    shape = _numbers(content, fields_of(tensors[inputs[0]])[_TENSOR_SHAPE])
    tensor = _Fields(
        {
            _TENSOR_SHAPE: _Numbers(shape),
            _TENSOR_TYPE: _INT32,
            _TENSOR_NAME: _Text(name),
            _TENSOR_HAS_RANK: 1,
        }
    )
    return _copy(
        graph,
        numbers={_GRAPH_DEBUG},
        changed={
            _GRAPH_TENSORS: _Offsets([*(_Old(old.Pos) for old in tensors), tensor]),
            _GRAPH_INPUTS: _Numbers([*inputs, len(tensors)]),
        },
    )


@dataclass(frozen=True)
class _Old:
    """What lies at a place of the old file."""

    place: int


@dataclass(frozen=True)
class _Tail:
    """The vector of bytes behind the old file."""


@dataclass(frozen=True)
class _Text:
    text: str


@dataclass(frozen=True)
class _Numbers:
    """A vector of int32."""

    values: Sequence[int]


@dataclass(frozen=True)
class _Offsets:
    """A vector of tables."""

    nodes: Sequence[_Node]


@dataclass(frozen=True)
class _Fields:
    """A table; a field is a number, which takes four bytes here, or what its offset points to."""

    by_number: Mapping[int, _Node | int]


_Node = _Old | _Tail | _Text | _Numbers | _Offsets | _Fields


def _copy(table: Table, *, numbers: set[int], changed: Mapping[int, _Node | int]) -> _Fields:
    """A copy of an old table, whose fields are offsets but for `numbers`, of four bytes."""
    old = {
        number: struct.unpack_from("<i", table.Bytes, place)[0]
        if number in numbers
        else _Old(_follow(table.Bytes, place))
        for number, place in fields_of(table).items()
    }
    return _Fields({**old, **changed})


def _in_front_of(content: bytes, root: _Fields, tail: bytes, *, moved: Sequence[int]) -> bytes:
    """The whole file. Parents come before their children, since offsets point forward.

    Args:
        content: the old file.
        root: the new one.
        tail: what stands behind.
        moved: where in the old file a 64-bit place in the file is written.
    """
    front = bytearray(4) + IDENTIFIER
    waiting: list[tuple[int, _Node]] = [(0, root)]
    late = []
    while waiting:
        place, node = waiting.pop(0)
        if isinstance(node, (_Old, _Tail)):
            late.append((place, node))
            continue
        front += bytes(-len(front) % 4)
        body, start, children = _body_of(node)
        struct.pack_into("<I", front, place, len(front) + start - place)
        waiting += [(len(front) + offset, child) for offset, child in children]
        front += body
    front += bytes(-len(front) % _ALIGNMENT)
    old = bytearray(content) + bytes(-len(content) % _ALIGNMENT)
    for place in moved:
        (aim,) = struct.unpack_from("<Q", old, place)
        if aim > _INSIDE:
            struct.pack_into("<Q", old, place, aim + len(front))
    end = len(front) + len(old) + _ALIGNMENT - 4  # of the length, so that what it counts aligns
    for place, node in late:
        aim = node.place + len(front) if isinstance(node, _Old) else end
        struct.pack_into("<I", front, place, aim - place)
    return b"".join([front, old, bytes(_ALIGNMENT - 4), struct.pack("<I", len(tail)), tail])


def _body_of(node: _Text | _Numbers | _Offsets | _Fields) -> tuple[bytes, int, list[_Placed]]:
    """The bytes of a node, where in them an offset to it points, and its children by place."""
    if isinstance(node, _Text):
        raw = node.text.encode("utf-8")
        return struct.pack("<I", len(raw)) + raw + b"\0", 0, []
    if isinstance(node, _Numbers):
        return struct.pack(f"<I{len(node.values)}i", len(node.values), *node.values), 0, []
    if isinstance(node, _Offsets):
        body = struct.pack("<I", len(node.nodes)) + bytes(4 * len(node.nodes))
        return body, 0, [(4 + 4 * index, child) for index, child in enumerate(node.nodes)]
    fields = sorted(node.by_number)
    places = [4 + 4 * fields.index(n) if n in fields else 0 for n in range(fields[-1] + 1)]
    body = struct.pack(f"<{len(places)}H", *places)
    body = struct.pack("<HH", 4 + len(body), 4 + 4 * len(fields)) + body
    body += bytes(-len(body) % 4)
    start = len(body)
    body += struct.pack("<i", start)  # from the table back to its list of fields
    children: list[_Placed] = []
    for field in fields:
        value = node.by_number[field]
        if not isinstance(value, int):
            children.append((len(body), value))
            value = 0
        body += struct.pack("<i", value)
    return body, start, children


_Placed = tuple[int, _Node]


def _follow(content: bytes, place: int) -> int:
    return place + int(struct.unpack_from("<I", content, place)[0])


def _vector(content: bytes, place: int) -> tuple[int, int]:
    """Where the elements of the vector begin that an offset at `place` points to, and how many."""
    start = _follow(content, place)
    return start + 4, struct.unpack_from("<I", content, start)[0]


def _numbers(content: bytes, place: int) -> list[int]:
    start, count = _vector(content, place)
    return list(struct.unpack_from(f"<{count}i", content, start))
