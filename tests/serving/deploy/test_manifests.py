"""Kubernetes objects: valid by schema, hardened, pinned, and fitting each other."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from dualtower.bundle import MODELS
from dualtower_serving.deploy import write

# of CRDs: the fields that we use, as their projects define them, and no others
OWN_SCHEMAS = json.loads(Path(__file__).with_name("crd_schemas.json").read_text())
KUBERNETES = ("1.27", "1.34")
MODES = [{"models": "image", "repository": "registry.example.com/a"}, {"models": "volume"}]


def objects(made) -> Iterator[tuple[str, dict[str, Any]]]:
    """Complete objects: no patches, no kustomize files."""
    for name, text in made.files.items():
        if name.endswith(".yaml") and name.startswith(
            ("kubernetes/base", "monitoring/", "kserve/")
        ):
            document = yaml.safe_load(text)
            if document.get("kind", "Kustomization") not in ("Kustomization", "Component"):
                yield name, document


def by_kind(made) -> dict[str, dict[str, Any]]:
    return {document["kind"]: document for _, document in objects(made)}


def pod_specs(made) -> list[dict[str, Any]]:
    kinds = by_kind(made)
    return [
        kinds["Deployment"]["spec"]["template"]["spec"],
        kinds["InferenceService"]["spec"]["predictor"],
    ]


@pytest.mark.parametrize("settings", MODES, ids=lambda settings: settings["models"])
def test_every_object_is_valid_by_its_schema(deploy, settings) -> None:
    seen = set()
    for name, document in objects(deploy(**settings)):
        kind = document["kind"]
        seen.add(kind)
        if kind in OWN_SCHEMAS:
            jsonschema.validate(document, OWN_SCHEMAS[kind])
            continue
        for version in KUBERNETES:
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                raise AssertionError(f"{name} for {version}: {error}") from error
    assert seen >= {
        "Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "ServiceAccount",
        "NetworkPolicy", "ServiceMonitor", "PrometheusRule", "InferenceService",
    }  # fmt: skip
    assert ("PersistentVolumeClaim" in seen) == (settings["models"] == "volume")


def test_the_pod_of_the_inference_service_is_one_of_kubernetes(deploy) -> None:
    for settings in MODES:
        predictor = by_kind(deploy(**settings))["InferenceService"]["spec"]["predictor"]
        own = ("minReplicas", "maxReplicas", "scaleMetric", "scaleTarget")  # KServe's
        spec = {key: value for key, value in predictor.items() if key not in own}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
        kubernetes_validate.validate(pod, KUBERNETES[-1], strict=True)


def test_the_schemas_of_ours_refuse_what_is_misspelt(deploy) -> None:
    for kind in OWN_SCHEMAS:
        document = by_kind(deploy())[kind]
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(
                {**document, "spec": {**document["spec"], "x": 1}}, OWN_SCHEMAS[kind]
            )


@pytest.mark.parametrize("settings", MODES, ids=lambda settings: settings["models"])
def test_pods_are_hardened(deploy, settings) -> None:
    for spec in pod_specs(deploy(**settings)):
        assert spec["automountServiceAccountToken"] is False
        pod = spec["securityContext"]
        assert pod["runAsNonRoot"] is True
        assert pod["runAsUser"] > 0
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        for container in spec["containers"]:
            own = container["securityContext"]
            assert own["readOnlyRootFilesystem"] is True
            assert own["allowPrivilegeEscalation"] is False
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["requests"] == container["resources"]["limits"]
            drain = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
            assert spec["terminationGracePeriodSeconds"] > drain
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted == {volume["name"] for volume in spec["volumes"]}


def test_connections_are_over_before_a_pod_ends(deploy) -> None:
    container = pod_specs(deploy())[0]["containers"][0]
    flag = next(one for one in container["args"] if one.startswith("--grpc_channel_arguments="))
    pairs = dict(pair.split("=") for pair in flag.partition("=")[2].split(","))
    age_ms = int(pairs["grpc.max_connection_age_ms"])
    grace_ms = int(pairs["grpc.max_connection_age_grace_ms"])
    drain_s = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert 1.1 * age_ms + grace_ms <= drain_s * 1000  # gRPC spreads ages by a tenth


def test_probes_ask_for_every_model(deploy) -> None:
    for spec in pod_specs(deploy()):
        container = spec["containers"][0]
        for name, mode in (("startup", "ready"), ("readiness", "ready"), ("liveness", "live")):
            probe = container[f"{name}Probe"]
            script = ["/bin/bash", "/etc/dualtower/model_status.sh"]
            assert probe["exec"]["command"] == [*script, mode, "8501", *MODELS]
            assert probe["timeoutSeconds"] >= 5
        assert container["startupProbe"]["failureThreshold"] >= 24


def test_a_larger_bundle_gets_more_memory_and_time(make_bundle, deploy) -> None:
    from dualtower.bundle import Bundle
    from dualtower_serving.deploy.sizes import needs_of

    folder = make_bundle("large")
    opened = Bundle.open(folder)
    files = {
        name: {**facts, "size_bytes": facts["size_bytes"] * 1000}
        for name, facts in opened.manifest["files"].items()
    }
    large = Bundle(opened.path, {**opened.manifest, "files": files})
    small, one, two = (
        needs_of(opened, versions=1),
        needs_of(large, versions=1),
        needs_of(large, versions=2),
    )
    assert small.memory_mib < one.memory_mib < two.memory_mib
    assert one.memory_mib * (1 << 20) > 3 * one.model_bytes
    assert one.start_s > small.start_s
    assert one.memory_mib % 256 == 0


def test_selectors_meet_the_pods(deploy) -> None:
    made = deploy()
    labels = by_kind(made)["Deployment"]["spec"]["template"]["metadata"]["labels"]
    ports = {port["name"] for port in pod_specs(made)[0]["containers"][0]["ports"]}
    services = {d["metadata"]["name"]: d for _, d in objects(made) if d["kind"] == "Service"}
    for document in services.values():
        assert document["spec"]["selector"].items() <= labels.items()
        assert {port["targetPort"] for port in document["spec"]["ports"]} <= ports
    assert services["dualtower-headless"]["spec"]["clusterIP"] == "None"
    kinds = by_kind(made)
    for kind, place in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        assert kinds[kind]["spec"][place]["matchLabels"].items() <= labels.items()
    # the monitor meets exactly one Service, so that no pod is scraped twice; its name is the job
    wanted = kinds["ServiceMonitor"]["spec"]["selector"]["matchLabels"]
    met = [
        name
        for name, document in services.items()
        if wanted.items() <= document["metadata"]["labels"].items()
    ]
    assert met == ["dualtower"]
    assert kinds["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "dualtower"
    assert "replicas" not in kinds["Deployment"]["spec"]


def test_everything_is_pinned_and_nothing_is_secret(deploy) -> None:
    for settings in MODES:
        made = deploy(**settings)
        for name, text in made.files.items():
            assert "latest" not in text.replace("latest {", ""), name
            assert "kind: Secret" not in text, name
        for spec in pod_specs(made):
            repository, _, tag = spec["containers"][0]["image"].rpartition(":")
            assert repository
            assert tag[0].isdigit()


def test_the_gpu_overlay_changes_image_node_and_gpus(deploy) -> None:
    made = deploy(gpus=2)
    patch = yaml.safe_load(made.files["kubernetes/overlays/gpu/deployment.yaml"])
    spec = patch["spec"]["template"]["spec"]
    container = spec["containers"][0]
    assert container["image"].endswith("-gpu")
    assert container["resources"]["limits"] == {"nvidia.com/gpu": "2"}
    assert spec["nodeSelector"]["nvidia.com/gpu.present"] == "true"
    assert made.files["Dockerfile.gpu"].count("FROM tensorflow/serving:2.20.0-gpu\n") == 1
    unknown = deploy(image="example/serving:ours", image_tensorflow="2.21.0")
    assert not [name for name in unknown.files if "gpu" in name]
    named = deploy(
        image="example/serving:ours", image_tensorflow="2.21.0", gpu_image="example/serving:gpu"
    )
    assert "FROM example/serving:gpu\n" in named.files["Dockerfile.gpu"]


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not here")
@pytest.mark.parametrize("settings", MODES, ids=lambda settings: settings["models"])
def test_kustomize_builds_each_folder(deploy, tmp_path, settings) -> None:
    write(deploy(**settings, namespace="shop"), tmp_path / "out")
    for folder in (
        "kubernetes/base",
        "kubernetes/overlays/cpu",
        "kubernetes/overlays/gpu",
        "kserve",
    ):
        done = subprocess.run(
            ["kubectl", "kustomize", str(tmp_path / "out" / folder)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{folder}: {done.stderr}"
        built = {one["kind"]: one for one in yaml.safe_load_all(done.stdout)}
        assert {one["metadata"]["namespace"] for one in built.values()} == {"shop"}
        workload = built.get("Deployment") or built["InferenceService"]
        spec = workload["spec"].get("predictor") or workload["spec"]["template"]["spec"]
        maps = [v["configMap"]["name"] for v in spec["volumes"] if "configMap" in v]
        # the reference follows the hash, so that a change of the files rolls the pods
        assert maps[0].startswith("dualtower-server-")
        assert f"name: {maps[0]}" in done.stdout
        if folder.endswith("gpu"):
            limits = spec["containers"][0]["resources"]["limits"]
            assert limits.keys() == {"cpu", "memory", "ephemeral-storage", "nvidia.com/gpu"}
            names = [one["name"] for one in spec["containers"][0]["env"]]
            assert names == ["CUDA_CACHE_PATH", "TF_ENABLE_ONEDNN_OPTS"]
