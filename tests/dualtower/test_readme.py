"""What the READMEs tell people to run exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from dualtower.cli import cli

ROOT = Path(__file__).resolve().parents[2]
READMES = sorted(path for path in (ROOT / "README.md", *ROOT.glob("[!.]*/README.md")))


def commands(path: Path) -> list[str]:
    """Lines of the file's shell blocks, with continued lines joined."""
    blocks = re.findall(r"```(?:bash|sh|console)\n(.*?)```", path.read_text("utf-8"), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.strip().removeprefix("$ ") for line in lines if line.strip()]


ALL_COMMANDS = [(path, line) for path in READMES for line in commands(path)]


def test_every_part_has_a_readme_with_a_command() -> None:
    folders = {path.parent.name for path in READMES}
    parts = {"trainer", "export", "serving", "clients", "benchmarks"}
    assert parts <= folders
    for part in parts:
        assert any("dualtower" in line for line in commands(ROOT / part / "README.md")), part


@pytest.mark.parametrize(
    ("path", "line"),
    [pair for pair in ALL_COMMANDS if pair[1].startswith("dualtower ")],
    ids=lambda value: value if isinstance(value, str) else value.parent.name,
)
def test_dualtower_commands_and_their_options_exist(path: Path, line: str) -> None:
    words = shlex.split(
        line.partition(" #")[0].partition(" | ")[0].partition(" > ")[0].rstrip(" &")
    )
    command: click.Command = cli
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        context = click.Context(command)
        assert rest[0] in command.list_commands(context), f"{path.name}: no {rest[0]!r} in {line!r}"
        # as on the command line, where the options decide between the two forms of recommend
        _, command, rest = command.resolve_command(context, rest)
        assert command is not None
    known = {
        name
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    known |= {"--help", "--version"}
    for word in rest:
        if word.startswith("-") and not re.fullmatch(r"-?\d+", word):
            assert word.partition("=")[0] in known, f"{path.name}: {word} in {line!r}"


@pytest.mark.parametrize("line", sorted({line for _, line in ALL_COMMANDS if "make " in line}))
def test_make_targets_exist(line: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"\bmake ([a-z-]+)", line):
        assert target in targets


def test_links_into_the_repository_lead_somewhere() -> None:
    for path in READMES:
        for link in re.findall(r"\]\(([^)#\s]+)", path.read_text("utf-8")):
            if "://" not in link and not link.startswith("mailto:"):
                assert (path.parent / link).exists(), f"{path}: {link}"
