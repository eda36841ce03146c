"""TFLite Metadata in the files for a phone: what they are, how to feed them, whose pair they are.

Written with `flatbuffers` alone, by the tables and field numbers of the public schema
https://github.com/google-ai-edge/mediapipe/blob/master/mediapipe/tasks/metadata/metadata_schema.fbs
Associated files (a vocabulary, ids) follow the model as an uncompressed zip archive, as that format
has it, so `unzip` and Python's `zipfile` open a `.tflite` too.

What the schema has no place for, among it the fingerprint, is JSON in a custom entry `dualtower`.
One associated file is always there, `model.sha256` over what lies before the archive: a file that
lost its end, or a byte of its weights, is found by itself, without the bundle that it came from.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flatbuffers.builder import Builder

from dualtower.edge.flatbuffer import (
    add_metadata,
    bytes_at,
    metadata_of,
    root_of,
    string_at,
    tables_at,
)

__all__ = [
    "Associated",
    "FileCard",
    "TensorCard",
    "associated_files",
    "check_whole",
    "facts_of",
    "with_card",
]

NAME, OWN, CHECKSUM = "TFLITE_METADATA", "dualtower", "model.sha256"
_IDENTIFIER = b"M001"
_MIN_PARSER = "1.5.0"  # the first that knows custom entries
_BERT_TOKENIZER = 4  # ProcessUnitOptions
_FEATURES = 1  # ContentProperties
_KINDS = {"unknown": 0, "labels": 2, "vocabulary": 5}  # AssociatedFileType
# a zip entry has a date; a fixed one gives the same bytes at every export
_DATE = (1980, 1, 1, 0, 0, 0)
_SUBGRAPHS, _CUSTOM = 3, 9  # of ModelMetadata, of SubGraphMetadata


@dataclass(frozen=True)
class TensorCard:
    """Name and meaning of one input or output."""

    name: str
    description: str


@dataclass(frozen=True)
class Associated:
    """A file that travels in the model's file.

    Attributes:
        name: within the archive.
        content: its bytes.
        description: what it is.
        kind: "vocabulary", "labels" or "unknown".
    """

    name: str
    content: bytes
    description: str
    kind: str = "unknown"


@dataclass(frozen=True)
class FileCard:
    """What the metadata of one file says.

    Attributes:
        name: of the model.
        description: what it does, in a sentence or two.
        version: of the bundle.
        author: who made it; "" leaves it out.
        licence: of model and data; "" leaves it out.
        inputs: in the order of the graph's inputs, the one that `unread_input` adds last.
        outputs: in the order of the graph's outputs.
        facts: what goes into the custom entry; its `fingerprint` names the pair.
        files: associated files.
        vocabulary: name of the file among them that a BERT tokeniser reads; "" if the inputs are
            no text.
        unread_input: see `flatbuffer.add_metadata`.
    """

    name: str
    description: str
    version: str
    inputs: Sequence[TensorCard]
    outputs: Sequence[TensorCard]
    facts: Mapping[str, Any]
    author: str = ""
    licence: str = ""
    files: Sequence[Associated] = field(default_factory=tuple)
    vocabulary: str = ""
    unread_input: str = ""

    def __post_init__(self) -> None:
        if not self.facts.get("fingerprint"):
            raise ValueError(f"{self.name}: facts must hold the fingerprint, got {self.facts}")
        names = [file.name for file in self.files]
        if len(set(names)) < len(names):
            raise ValueError(f"{self.name}: files must have distinct names, got {names}")
        if self.vocabulary and self.vocabulary not in names:
            raise ValueError(f"vocabulary must be one of the files {names}, got {self.vocabulary}")


def with_card(model: bytes, card: FileCard) -> bytes:
    """A TFLite file with its metadata inside and its associated files behind."""
    described = add_metadata(model, NAME, _metadata(card), unread_input=card.unread_input)
    stream = io.BytesIO(described)
    stream.seek(0, io.SEEK_END)
    checksum = Associated(CHECKSUM, hashlib.sha256(described).hexdigest().encode(), "")
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for file in (checksum, *card.files):
            archive.writestr(zipfile.ZipInfo(file.name, _DATE), file.content)
    return stream.getvalue()


def check_whole(content: bytes) -> None:
    """Compares a file that `with_card` made with its own checksum.

    Raises:
        ValueError: it lost its end, was changed, or never had a checksum.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            recorded = archive.read(CHECKSUM).decode("ascii")
            broken = archive.testzip()
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise ValueError(f"its end is missing or damaged ({error})") from error
    if broken is not None:
        raise ValueError(f"its associated file {broken} was changed")
    begin = min(entry.header_offset for entry in entries)
    if hashlib.sha256(content[:begin]).hexdigest() != recorded:
        raise ValueError("its content differs from its checksum")


def facts_of(content: bytes) -> dict[str, Any]:
    """The custom entry of a whole file; empty where it has none."""
    metadata = metadata_of(content, NAME)
    if metadata is None:
        return {}
    for graph in tables_at(root_of(metadata), _SUBGRAPHS):
        for entry in tables_at(graph, _CUSTOM):
            if string_at(entry, 0) == OWN:
                return dict(json.loads(bytes_at(entry, 1)))
    return {}


def associated_files(content: bytes) -> dict[str, bytes]:
    """The associated files of a whole file by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def _metadata(card: FileCard) -> bytes:
    """The flatbuffer of `ModelMetadata` (name 0, description 1, version 2, subgraph_metadata 3,
    author 4, license 5, min_parser_version 7)."""
    builder = Builder(1024)
    subgraph = _subgraph(builder, card)
    root = _table(
        builder,
        8,
        {
            0: builder.CreateString(card.name),
            1: builder.CreateString(card.description),
            2: builder.CreateString(card.version),
            _SUBGRAPHS: _vector(builder, [subgraph]),
            4: builder.CreateString(card.author) if card.author else 0,
            5: builder.CreateString(card.licence) if card.licence else 0,
            7: builder.CreateString(_MIN_PARSER),
        },
    )
    builder.Finish(root, _IDENTIFIER)
    return bytes(builder.Output())


def _subgraph(builder: Builder, card: FileCard) -> int:
    """`SubGraphMetadata`: inputs 2, outputs 3, associated_files 4, input_process_units 5,
    custom_metadata 9."""
    by_name = {file.name: file for file in card.files}
    units = []
    if card.vocabulary:
        # BertTokenizerOptions: vocab_file 0; ProcessUnit: options_type 0, options 1
        files = _vector(builder, [_associated(builder, by_name[card.vocabulary])])
        options = _table(builder, 1, {0: files})
        units = [_table(builder, 2, {1: options}, {0: _BERT_TOKENIZER})]
    # CustomMetadata: name 0, data 1
    own = builder.CreateByteVector(json.dumps(dict(card.facts), sort_keys=True).encode())
    custom = _table(builder, 2, {0: builder.CreateString(OWN), 1: own})
    others = [_associated(builder, file) for file in card.files if file.name != card.vocabulary]
    return _table(
        builder,
        10,
        {
            2: _vector(builder, [_tensor(builder, tensor) for tensor in card.inputs]),
            3: _vector(builder, [_tensor(builder, tensor) for tensor in card.outputs]),
            4: _vector(builder, others),
            5: _vector(builder, units),
            _CUSTOM: _vector(builder, [custom]),
        },
    )


def _tensor(builder: Builder, tensor: TensorCard) -> int:
    """`TensorMetadata`: name 0, description 1, content 3 (its properties: type 0, value 1)."""
    properties = _table(builder, 0, {})
    content = _table(builder, 3, {1: properties}, {0: _FEATURES})
    texts = {0: builder.CreateString(tensor.name), 1: builder.CreateString(tensor.description)}
    return _table(builder, 7, {**texts, 3: content})


def _associated(builder: Builder, file: Associated) -> int:
    """`AssociatedFile`: name 0, description 1, type 2."""
    texts = {0: builder.CreateString(file.name), 1: builder.CreateString(file.description)}
    return _table(builder, 5, texts, {2: _KINDS[file.kind]})


def _table(
    builder: Builder, size: int, offsets: Mapping[int, int], bytes_: Mapping[int, int] | None = None
) -> int:
    """A table of `size` fields, those absent whose offset is 0."""
    builder.StartObject(size)
    for number, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(number, offset, 0)
    for number, value in (bytes_ or {}).items():
        builder.PrependUint8Slot(number, value, 0)
    return int(builder.EndObject())


def _vector(builder: Builder, offsets: Sequence[int]) -> int:
    """A vector of tables; 0, so absent, where there are none."""
    if not offsets:
        return 0
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())
