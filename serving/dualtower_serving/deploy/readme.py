"""The README of what was written: the commands, and what they stand on."""

from __future__ import annotations

from dualtower.bundle import CONTAINER_ROOT, MODELS
from dualtower_serving.deploy.networking import CLIENT_LABEL
from dualtower_serving.deploy.pod import DRAIN_S, GRPC_PORT, REST_PORT, Pod
from dualtower_serving.deploy.queries import CALLS_IN_FLIGHT
from dualtower_serving.deploy.settings import Settings

__all__ = ["readme"]


def readme(pod: Pod, settings: Settings, *, bundle_path: str, check: str) -> str:
    """Markdown.

    Args:
        pod: what runs.
        settings: what was asked.
        bundle_path: the bundle as seen from here.
        check: why the image can serve it.
    """
    namespace = f" -n {settings.namespace}" if settings.namespace else ""
    parts = [
        f"# {settings.name}: bundle version {pod.version} on TensorFlow Serving",
        f"Fingerprint `{pod.fingerprint[:12]}`. Written by `dualtower deploy`; write it anew for "
        f"another bundle (`--force`), rather than edit it.\n\nThe image `{pod.base}`: {check}.",
        _models(pod, settings, bundle_path),
        _compose(settings),
        _kubernetes(pod, settings, namespace),
        _watching(settings, namespace),
        _kserve(namespace),
        _limits(pod, settings),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _models(pod: Pod, settings: Settings, bundle_path: str) -> str:
    if settings.models == "volume":
        return f"""
## The models lie on a volume
`kubernetes/base/volume.yaml` claims it ({pod.needs.volume_gib} GiB, read by all pods). Before the
servers start, fill it from wherever it is mounted for writing, here at `/mnt/models`; this also
writes `rollout/models.config`, which they start with:

```sh
dualtower rollout push {bundle_path} /mnt/models --server-root {CONTAINER_ROOT} --no-other-models
```

A new pair goes live in running servers, by labels; one `--server` for each pod
(`kubectl get pods -l app.kubernetes.io/name={settings.name} -o wide`):

```sh
dualtower rollout push NEW_BUNDLE /mnt/models
dualtower rollout load /mnt/models --server 10.0.0.7:{GRPC_PORT} --server 10.0.0.8:{GRPC_PORT} \\
  --server-root {CONTAINER_ROOT} --no-other-models
dualtower rollout shadow /mnt/models && dualtower rollout promote /mnt/models
```

A pod that starts later reads `rollout/models.config` and so has the same versions and labels; one
that started while a step ran gets them by `dualtower rollout sync`. Clients ask for the label
`stable`. Whoever rolls out needs the label `{CLIENT_LABEL}: "true"` (NetworkPolicy).
"""
    push = f"docker push {pod.image}" + ("" if settings.repository else "   # needs --repository")
    gpu = ""
    if pod.gpu_image is not None:
        gpu = (
            f"\ndocker build -f Dockerfile.gpu --build-context bundle={bundle_path}/serving "
            f"-t {pod.gpu_image} ."
        )
    return f"""
## The models are part of the image
The image is immutable, named by version and fingerprint. Its build checks every byte of the models
against the bundle's manifest:

```sh
docker build --build-context bundle={bundle_path}/serving -t {pod.image} .{gpu}
{push}
```

A new pair is a new image and a rolling update: every pod holds one whole pair. While the update
runs, pods of both pairs answer; a client that holds vectors compares fingerprints, as
`dualtower_clients` does. To switch at one instant instead, run both side by side under two names
(`--name`), and let clients move from one Service to the other. `--models volume` lets running
servers change pairs by labels (`dualtower rollout`).
"""


def _compose(settings: Settings) -> str:
    build = " --build" if settings.models == "image" else ""
    place = "" if settings.models == "image" else "MODELS=/mnt/models "
    return f"""
## On one machine
```sh
{place}docker compose up{build} --wait            # returns when all three models are AVAILABLE
dualtower status localhost:{GRPC_PORT}
docker compose down
```
"""


def _kubernetes(pod: Pod, settings: Settings, namespace: str) -> str:
    host = f"{settings.name}-headless{'.' + settings.namespace if settings.namespace else ''}"
    gpu = "\nkubectl apply -k kubernetes/overlays/gpu    # instead: with GPUs" * bool(pod.gpu_image)
    undo = (
        f"kubectl{namespace} rollout undo deployment/{settings.name}    # the pair before\n"
        if settings.models == "image"
        else ""
    )
    needed = (
        f"\n`{pod.image}`\nmust be where the nodes can pull it: name the registry with "
        "`--repository`, or run `kustomize edit set image` in an overlay.\n"
        if settings.models == "image"
        else ""
    )
    return f"""
## On Kubernetes (1.27 or newer)
```sh
kubectl apply -k kubernetes/overlays/cpu    # with ServiceMonitor, alerts, dashboard
kubectl apply -k kubernetes/base            # instead: without the Prometheus operator{gpu}
kubectl{namespace} rollout status deployment/{settings.name} --timeout=10m
{undo}```
{needed}
- **Ready** is a pod of which one version is AVAILABLE in {", ".join(MODELS)}:
  `server/model_status.sh` asks the REST status inside the container. HTTP 200 alone would say
  nothing. A mixed pair is taken out of the Services.
- **Callers** carry the label `{CLIENT_LABEL}: "true"` (NetworkPolicy) and balance over the pods
  themselves, since a gRPC connection stays with one pod:

```python
channel = grpc.insecure_channel(
    "dns:///{host}:{GRPC_PORT}",
    options=[("grpc.service_config", '{{"loadBalancingConfig": [{{"round_robin": {{}}}}]}}')],
)
```

  Servers end each connection after half a minute, in order, so that clients look the name up again
  and find new pods. gRPC does that by itself; no call is lost.
- **Ending** takes {DRAIN_S} seconds in which the pod still answers: the stock server drops running
  calls at SIGTERM, and by then no connection is left.
- **Scaling** holds the calls being answered at a time at {settings.full_at} for each pod
  (`{CALLS_IN_FLIGHT}`), which needs no guess of the model's speed, and the
  cores below 80 %. It needs prometheus-adapter with `monitoring/prometheus-adapter.values.yaml`;
  without it the cores alone count.
"""


def _watching(settings: Settings, namespace: str) -> str:
    return f"""
## Watching
```sh
helm upgrade --install prometheus-adapter prometheus-community/prometheus-adapter \\
  -n {settings.monitoring_namespace} -f monitoring/prometheus-adapter.values.yaml
promtool check config monitoring/prometheus.yaml     # a Prometheus without Kubernetes
curl -s localhost:{REST_PORT}/monitoring/prometheus/metrics | head
kubectl{namespace} port-forward deployment/{settings.name} {GRPC_PORT} &
dualtower status localhost:{GRPC_PORT}
```

Import `monitoring/dashboard.json` in Grafana; in the cluster its sidecar finds it by itself. The
ServiceMonitor has the label `app.kubernetes.io/name: {settings.name}`; a Prometheus that selects
monitors by another label (`release: ...`) needs that added in an overlay.

The servers export no version. What is alerted as a mixed pair is read from TensorFlow's count of
loads by path, since the start of each server: an alert for a version that was given up ends with
the pod. The fingerprints themselves are compared by `dualtower status`, whose exit code is 1 for a
mixed pair.
"""


def _kserve(namespace: str) -> str:
    return f"""
## With KServe, instead
```sh
kubectl apply -k kserve
kubectl{namespace} get inferenceservices
```

Standard mode (annotation `RawDeployment`, its name in older releases): KServe makes the Deployment,
the Service and the autoscaler. Its own TensorFlow runtime serves one model folder; the pair needs
three, so the container is ours.
"""


def _limits(pod: Pod, settings: Settings) -> str:
    size = pod.needs.model_bytes / (1 << 20)
    versions = "one version" if settings.models == "image" else "two versions, during a change,"
    return f"""
## What was reckoned
The models are {size:.1f} MiB on disk. Memory: {pod.needs.memory_mib} MiB a pod, for {versions} in
TensorFlow's several copies; requests are limits. Loading may take {pod.needs.start_s} seconds
before a pod is given up. Threads, batches and gRPC threads are set for {settings.cpus} cores, since
the server would count those of the node. No secret is in any of these files; TLS belongs in front
(a mesh or a gateway), or into `--ssl_config_file` from a Secret of yours.
"""
