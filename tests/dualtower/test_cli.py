"""The command: lazy, helpful, and with the right exit codes."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from dualtower.cli import COMMANDS, cli, main, missing_extra
from dualtower.errors import DualtowerError, GateFailed, UnavailableError, UsageError

HEAVY = ("tensorflow", "numpy", "grpc", "pyarrow", "rich", "matplotlib", "tf_keras")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_help_imports_nothing_heavy_and_lists_every_command() -> None:
    done = python(
        "import sys\nfrom dualtower.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("[]")
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Paths of all commands that are no groups."""
    if not isinstance(command, click.Group):
        return [path]
    context = click.Context(command)
    return [
        leaf
        for name in command.list_commands(context)
        for leaf in leaves(command.get_command(context, name), (*path, name))  # type: ignore[arg-type]
    ]


@pytest.mark.parametrize("path", leaves(cli), ids=" ".join)
def test_every_command_has_a_help_with_an_example(path: tuple[str, ...], capsys) -> None:
    with pytest.raises(SystemExit) as end:
        main([*path, "--help"])
    assert not end.value.code
    shown = capsys.readouterr().out
    assert "Example" in shown
    assert f"dualtower {' '.join(path)}" in shown.split("Example")[1]
    assert len(shown.split("Options:")[0]) > 100, "a help worth reading"


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"bench", "data"}))
def test_short_helps_say_what_the_command_is(name: str) -> None:
    assert COMMANDS[name][2].endswith(".")
    assert len(COMMANDS[name][2]) < 70


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "did you mean 'train'"),
        (["zzz"], "no such command 'zzz'"),
        (["train"], "Missing option"),
        (["train", "--no-such-option"], "--no-such-option"),
        (["verify", "/no/such/bundle"], "is no bundle"),
    ],
)
def test_wrong_use_exits_with_2(arguments: list[str], message: str, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (GateFailed("x"), 1),
        (DualtowerError("x"), 2),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_exit_codes(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setitem(cli.commands, "failing", failing)
    monkeypatch.setitem(COMMANDS, "failing", ("failing_module", "failing", "Fails."))
    monkeypatch.setitem(sys.modules, "failing_module", type("module", (), {"failing": failing}))
    with pytest.raises(SystemExit) as end:
        main(["failing"])
    assert end.value.code == code
    assert capsys.readouterr().err


def test_a_missing_package_names_the_extra_that_brings_it() -> None:
    with (
        pytest.raises(UnavailableError, match=r"needs the package 'no_such_package'.*\[train\]"),
        missing_extra("dualtower_trainer"),
    ):
        import no_such_package  # noqa: F401
    with pytest.raises(ModuleNotFoundError), missing_extra("dualtower_trainer"):
        import dualtower_no_such  # noqa: F401


def test_a_package_that_is_missing_while_a_command_runs_names_the_extra_too() -> None:
    done = python(
        "import sys\nfrom dualtower.cli import main\n"
        "sys.modules['tensorflow'] = None\nmain(['evaluate', 'run'])"
    )
    assert done.returncode == 2, done.stderr
    assert "pip install 'dualtower[train]'" in done.stderr


def test_output_into_a_closed_pipe_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -c 'from dualtower.cli import main; main()' --help | true",
        shell=True, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
