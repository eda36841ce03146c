"""Dockerfiles and the Compose file."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from dualtower.bundle import Bundle
from dualtower_serving.deploy import write

SCRIPTS = Path(sys.executable).parent


def run(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture
def out(deploy, tmp_path: Path) -> Path:
    write(deploy(), tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.gpu"])
def test_hadolint_finds_nothing(out: Path, name: str) -> None:
    done = run(str(SCRIPTS / "hadolint"), "--no-color", str(out / name))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM ubuntu\nRUN cd /x && wget http://a | sh\n")
    assert run(str(SCRIPTS / "hadolint"), str(tmp_path / "Dockerfile")).returncode == 1


def test_the_image_is_small_closed_and_of_nobody(out: Path) -> None:
    lines = (out / "Dockerfile").read_text().splitlines()
    assert "FROM tensorflow/serving:2.20.0" in lines
    assert "USER 65532:65532" in lines
    assert 'ENTRYPOINT ["/usr/bin/tensorflow_model_server"]' in lines
    assert (out / ".dockerignore").read_text() == "*\n!server\n"
    copied = next(line for line in lines if line.startswith("COPY server/"))
    for name in copied.split()[1:-1]:
        assert (out / name).is_file()


def test_the_build_checks_every_byte_of_the_models(out: Path, bundle: Path, tmp_path: Path) -> None:
    """What the RUN line does, with the models where they lie here."""
    sums = (out / "server/models.sha256").read_text()
    assert len(sums.splitlines()) == 3
    here = tmp_path / "sums"
    here.write_text(sums.replace("/models/", f"{bundle}/serving/"))
    check = ["sha256sum", "--check", "--strict", "--quiet", str(here)]
    assert run(*check).returncode == 0
    (bundle / "serving/item_tower/7/saved_model.pb").write_text("other")
    done = run(*check)
    assert done.returncode == 1
    assert "item_tower" in done.stdout


def test_the_commands_flags_are_the_pods(deploy) -> None:
    files = deploy().files
    pod = yaml.safe_load(files["kubernetes/base/deployment.yaml"])["spec"]["template"]["spec"]
    compose = yaml.safe_load(files["compose.yaml"])["services"]["model-server"]
    text = files["Dockerfile"].split("\nCMD ")[1].replace("\\\n", "")
    assert json.loads(text) == pod["containers"][0]["args"] == compose["command"]
    health = files["Dockerfile"].split("\n  CMD ")[1].splitlines()[0]
    ready = pod["containers"][0]["readinessProbe"]["exec"]["command"]
    assert json.loads(health) == ready == compose["healthcheck"]["test"][1:]


def test_flags_are_known_to_the_server_and_name_files_that_are_there(deploy) -> None:
    from dualtower_serving.embedded import flags as embedded

    made = deploy(cpus=8)
    known = embedded.usage()
    for flag in made.pod.flags:
        name, _, value = flag.removeprefix("--").partition("=")
        assert f"--{name}" in known, flag
        if value.startswith("/"):
            assert value.removeprefix("/etc/dualtower/") in made.pod.files
    assert "--tensorflow_inter_op_parallelism=8" in made.pod.flags
    assert "num_batch_threads { value: 8 }" in made.pod.files["batching.config"]


def test_batch_threads_of_the_bundle_stay(make_bundle, tmp_path: Path) -> None:
    from dualtower_serving.deploy import Settings, deployment

    text = "max_batch_size { value: 4 }\nnum_batch_threads { value: 1 }\n"
    folder = make_bundle("own", files={"serving/batching.config": text})
    made = deployment(Bundle.open(folder), Settings(), out=tmp_path / "out")
    assert made.pod.files["batching.config"] == text


@pytest.mark.parametrize("models", ["image", "volume"])
def test_compose_is_valid_by_the_compose_specification(deploy, tmp_path: Path, models: str) -> None:
    write(deploy(models=models), tmp_path / "out")
    schema = ["--builtin-schema", "vendor.compose-spec"]
    done = run(str(SCRIPTS / "check-jsonschema"), *schema, str(tmp_path / "out/compose.yaml"))
    assert done.returncode == 0, done.stdout
    for service in yaml.safe_load((tmp_path / "out/compose.yaml").read_text())["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["init"] is True
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
        assert ("build" in service) == (models == "image")


def test_paths_in_compose_lead_to_the_bundle(out: Path, deploy, bundle: Path) -> None:
    text = yaml.safe_load(deploy().files["compose.yaml"])["services"]["model-server"]
    named = text["build"]["additional_contexts"]["bundle"]
    assert named == "${BUNDLE:-../bundle}/serving"
    assert (bundle.parent / "deploy" / "../bundle/serving").resolve() == bundle / "serving"


@pytest.mark.skipif(not shutil.which("docker"), reason="docker is not here")
def test_docker_reads_the_compose_file(out: Path) -> None:
    if run("docker", "compose", "version").returncode:
        pytest.skip("docker has no compose")
    done = run("docker", "compose", "-f", str(out / "compose.yaml"), "config", "--quiet")
    assert done.returncode == 0, done.stderr


def test_the_record_holds_the_hash_of_each_file(out: Path) -> None:
    record = json.loads((out / "deploy.json").read_text())
    for name, digest in record["files"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    there = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert there == {*record["files"], "deploy.json"}
    assert (out / "server/model_status.sh").stat().st_mode & 0o111
