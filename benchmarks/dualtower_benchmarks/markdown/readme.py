"""A README whose numbers come from results files: the text between markers, and nothing else.

Markers inside of code, fenced or between backticks, are text about markers and stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from dualtower.errors import UsageError
from dualtower.files import write_text
from dualtower_benchmarks.markdown.values import BLOCKS, text_for
from dualtower_benchmarks.schema import Results

__all__ = ["rewritten", "update_readme"]

_MARK = re.compile(r"<!--\s*(?:bench:(?P<name>[^\s>]+)(?P<rest>[^>]*?)|(?P<end>/bench))\s*-->")
_CODE = re.compile(r"^(?P<fence>```+|~~~+)[^\n]*\n.*?^(?P=fence)|(?P<tick>`+)[^`\n]+(?P=tick)",
                   re.MULTILINE | re.DOTALL)  # fmt: skip


def update_readme(readme: Path, results: Sequence[Results], *, check: bool = False) -> bool:
    """Writes the numbers of the results between their markers.

    Args:
        check: True writes nothing.

    Returns:
        whether the text differs from what was there.

    Raises:
        UsageError: the file cannot be read, its markers are no pairs, or none is of the results.
    """
    try:
        text = readme.read_bytes().decode("utf-8")  # newlines stay what they are
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{readme} cannot be read: {error}") from error
    new = rewritten(text, results, where=str(readme))
    if new == text:
        return False
    if not check:
        write_text(readme, new)
    return True


def rewritten(text: str, results: Sequence[Results], *, where: str) -> str:
    """The text with new numbers; markers of results that were not given keep what they have."""
    by_name = _by_name(results)
    code = [match.span() for match in _CODE.finditer(text)]
    out: list[str] = []
    found: list[str] = []
    done, begin = 0, None
    for mark in _MARK.finditer(text):
        if any(low <= mark.start() < high for low, high in code):
            continue
        line = text.count("\n", 0, mark.start()) + 1
        if mark["end"] is None:
            if begin is not None:
                raise UsageError(
                    f"{where}:{line}: {mark[0]} stands before the <!-- /bench --> of {begin[0]}"
                )
            begin = mark
            found.append(mark["name"])
            continue
        if begin is None:
            raise UsageError(f"{where}:{line}: <!-- /bench --> ends nothing that began")
        out += [text[done : begin.end()], text[begin.end() : mark.start()]]
        if begin["name"] in by_name:
            out[-1] = _between(by_name[begin["name"]], begin["rest"], f"{where}:{line}")
        done, begin = mark.start(), None
    if begin is not None:
        line = text.count("\n", 0, begin.start()) + 1
        raise UsageError(f"{where}:{line}: {begin[0]} has no <!-- /bench --> behind it")
    if lost := sorted(set(by_name) - set(found)):
        raise UsageError(
            f"{where} has no marker <!-- bench:{lost[0]} --> … <!-- /bench -->, so the results of "
            f"{lost[0]} have no place; it has {', '.join(dict.fromkeys(found)) or 'none at all'}"
        )
    return "".join([*out, text[done:]])


def _between(results: Results, rest: str, where: str) -> str:
    words = rest.split()
    part = words.pop(0) if words and "=" not in words[0] else ""
    filters = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"{where}: a marker takes PART and KEY=VALUE, got {word!r}")
        filters[name] = value
    new = text_for(results, part, filters)
    return f"\n{new}\n" if not part or part in BLOCKS else new


def _by_name(results: Sequence[Results]) -> Mapping[str, Results]:
    by_name: dict[str, Results] = {}
    for one in results:
        if one.name in by_name:
            raise UsageError(
                f"{by_name[one.name].path} and {one.path} are both of scenario {one.name}; give "
                "one of them"
            )
        by_name[one.name] = one
    return by_name
