"""Why a model server did not start, read from its last lines. Pure.

`_SIGNS` are what servers write, most telling first: a log may hold several, and "address already in
use" says more than the exit code after it. Texts of the stock server, of Docker and of ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["explain"]

_SHOWN_LINES = 15


@dataclass(frozen=True)
class _Sign:
    """A text in a log, and the sentence that explains it.

    Attributes:
        pattern: what is looked for, whatever the case.
        sentence: may name {engine}, {port}, {rest_port} and the pattern's groups {1}, {2}.
    """

    pattern: str
    sentence: str


_FREE_MEMORY = "free some, or serve a bundle with fewer copies (export.encoder_copies=1)"
_SIGNS = tuple(
    _Sign(pattern, sentence)
    for pattern, sentence in (
        (
            r"cannot connect to the docker daemon|error during connect",
            "the Docker engine does not answer; start it, or use --engine embedded",
        ),
        (
            r"permission denied while trying to connect to the docker",
            "you may not talk to the Docker engine; join its group, or use --engine embedded",
        ),
        (
            r"no matching manifest for (\S+)",
            "the image is not made for {1}, and the stock one is for x86-64 alone; name another "
            "with --image, or use --engine embedded",
        ),
        (
            r"unable to find image|pull access denied|manifest unknown|failed to resolve reference",
            "the container image cannot be fetched; load it, name another with --image, or use "
            "--engine embedded",
        ),
        (
            r"could not select device driver",
            "Docker finds no GPU; install the NVIDIA container toolkit, or take an image without "
            "-gpu",
        ),
        (
            r"couldn't bind to port (\d+)|failed to start http server at \S*?(\d+)"
            r"|port \d+ cannot be used[^\n]*--rest_api_port",
            "the REST port {rest_port} was taken meanwhile; choose another with --rest-port, "
            "--rest-port 0 for a free one, or --no-rest",
        ),
        (
            r"--rest_api_port cannot be same as --port",
            "REST and gRPC cannot share port {port}; choose another with --rest-port",
        ),
        (
            r"(?:bind|listen)[^\n/]*permission denied",
            "port {port} may not be opened by you; take one above 1023 with --port and --rest-port",
        ),
        (
            r"address already in use|port is already allocated|no address added out of total"
            r"|failed to buildandstart grpc server|port \d+ cannot be used",
            "port {port} was taken meanwhile; choose another with --port, or --port 0",
        ),
        (
            r"op type not registered '(\w+)'",
            "this {engine} server does not know the op {1} that the bundle needs: its TensorFlow "
            "is another one than the bundle's; use --engine embedded, or a newer server",
        ),
        (
            r"nodedef mentions attr '(\w+)' not in op<name=(\w+)",
            "this {engine} server does not know the attribute {1} of the op {2}: its TensorFlow is "
            "older than the bundle's; use --engine embedded, or a newer server",
        ),
        (
            r"unknown (?:flag|argument|command line flag):? *'?(--?[\w=./-]+)",
            "this {engine} server does not know the flag {1}; leave it out, or use another version "
            "of the server",
        ),
        (
            r"request to assign label to version (\S+) of model ([^\s,]+)",
            "a label was set to version {1} of {2}, which a server refuses before it has loaded "
            "it; add --flag=--allow_version_labels_for_unavailable_models",
        ),
        (
            r"could not find base path (\S+)",
            "the {engine} server does not see the folder {1}; with Docker, only folders that are "
            "shared with its engine can be mounted",
        ),
        (
            r"no versions of servable (\S+) found under base path (\S+)",
            "no version of {1} lies in {2}, for which the server waits; see what is wrong with "
            "`dualtower verify BUNDLE`",
        ),
        (
            r"std::bad_alloc|oom when allocating|cannot allocate memory|out[ _]of[ _]memory"
            r"|oom-kill|memoryerror",
            f"the server ran out of memory; {_FREE_MEMORY}",
        ),
        (
            r"no space left on device",
            "no space is left on a disk that the server writes to; free some (`df -h`)",
        ),
        (
            r"error while loading shared libraries: (\S+?):",
            "the {engine} server lacks the library {1}; install it, or use --engine embedded",
        ),
        (
            r"invalid protobuf file: '([^']+)'|(\S+\.config)[^\n]* cannot be read",
            "the server cannot read {1}{2}; export the bundle again, or serve it with "
            "--no-batching and --no-rest, which leaves its settings out",
        ),
        (
            r"permission denied",
            "the server may not read a file of the bundle; see its last lines, and give it the "
            "right to (`chmod -R a+rX BUNDLE`)",
        ),
        (
            r"\{name: (\w+) version: (\d+)\} due to error: ([^\n]{1,300})",
            "version {2} of {1} did not load; see what is wrong with `dualtower verify --deep "
            "BUNDLE`",
        ),
    )
)
# of a process that a signal ended, and of a container (128 + signal)
_SIGNALS = {
    4: "the server met an instruction that this processor lacks (the stock one needs AVX); use "
    "--engine embedded",
    6: "the server gave up by itself (abort)",
    9: f"the server was killed, most likely for want of memory; {_FREE_MEMORY}",
    11: "the server crashed (segmentation fault)",
    15: "the server was told to end by somebody else (SIGTERM)",
}


def explain(
    engine: str,
    exit_code: int | None,
    lines: Sequence[str],
    *,
    port: int,
    rest_port: int | None = None,
) -> str:
    """One sentence with what to do, then the last lines of the log.

    Args:
        engine: binary, docker or embedded.
        exit_code: of the server; negative for a signal, None while it still runs.
        lines: its log.
        port: the port it should have opened.
        rest_port: the same for REST, None if it was not asked for.
    """
    reason = _from_log("\n".join(lines), engine, port, rest_port) or _from_exit(engine, exit_code)
    shown = "\n".join(f"    {line}" for line in lines[-_SHOWN_LINES:]) or "    (it wrote no log)"
    return f"{reason}\n  its last lines:\n{shown}"


def _from_log(text: str, engine: str, port: int, rest_port: int | None) -> str:
    for sign in _SIGNS:
        found = re.search(sign.pattern, text, re.IGNORECASE)
        if found:
            groups = [group or "" for group in found.groups()]
            return sign.sentence.format("", *groups, engine=engine, port=port, rest_port=rest_port)
    return ""


def _from_exit(engine: str, exit_code: int | None) -> str:
    if exit_code is None:
        return (
            f"the {engine} server did not become ready in time; give it longer with "
            "--ready-timeout-s, and watch it with --logs"
        )
    number = -exit_code if exit_code < 0 else exit_code - 128
    if number in _SIGNALS:
        return _SIGNALS[number]
    return f"the {engine} server ended with exit code {exit_code} before it was ready"
