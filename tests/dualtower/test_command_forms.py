"""`dualtower recommend` has two forms: a server is asked without TensorFlow, a run needs it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dualtower.cli import main

OFFLINE = "dualtower_export.recommend_cli"


def modules_after(*arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own; its last line names what it imported."""
    code = (
        f"import sys\nfrom dualtower.cli import main\n{before}\n"
        f"try:\n    main({list(arguments)!r})\n"
        "except SystemExit as end:\n    code = end.code\nelse:\n    code = 0\n"
        "print(*sys.modules)\nsys.exit(code)"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_form_that_asks_a_server_brings_no_tensorflow() -> None:
    done = modules_after("recommend", "--help")
    assert done.returncode == 0
    assert "--address" in done.stdout
    assert "--run RUN --help" in done.stdout  # leads to the other form
    assert not {"tensorflow", "pyarrow", OFFLINE} & set(done.stdout.split())


@pytest.mark.parametrize("option", ["--run", "--bundle", "--users", "--out"])
def test_options_of_the_other_form_call_it(option: str) -> None:
    done = modules_after("recommend", option, "x", "--help")
    assert done.returncode == 0
    assert "--candidates FILE" in done.stdout
    assert "dualtower recommend --run run" in done.stdout.split("Example")[1]
    assert OFFLINE in done.stdout.split()
    assert "tensorflow" not in done.stdout.split()


def test_an_option_may_be_joined_to_its_value() -> None:
    assert "--candidates FILE" in modules_after("recommend", "--run=x", "--help").stdout


def test_a_missing_package_names_the_extra_of_the_form_that_ran() -> None:
    arguments = ["recommend", "--run", "x", "--users", "u", "--out", "o"]
    done = modules_after(*arguments, before="sys.modules['tensorflow'] = None")
    assert done.returncode == 2
    assert "pip install 'dualtower[export]'" in done.stderr


def test_no_form_is_called_without_its_needs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["recommend", "--run", "x"])
    assert end.value.code == 2
    assert "Missing option '--out'" in capsys.readouterr().err
