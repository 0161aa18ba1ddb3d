"""Requests from inside the cluster: the traffic client, driven through its control port."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from mesh_lab.client.api import Api
from mesh_lab.client.controlplane import status_of
from mesh_lab.client.istio import IstioStatus
from mesh_lab.client.objects import Object
from mesh_lab.harness.control import ControlPort, control_port
from mesh_lab.harness.recording import Recorder
from mesh_lab.harness.records import as_sent
from mesh_lab.harness.results import Results, parse_results
from mesh_lab.harness.versions import VersionFrom, VersionOf
from mesh_lab.harness.workloads import DRAW_HEADER, HTTP_PORT, PROXY_CONFIG_ANNOTATION

MARGIN_SECONDS = 20.0
STOP_SECONDS = 10.0


class Sending:
    """Requests that are being sent; what is left of them ends with its `with` block.

    Raises:
        ApiError: the client refuses.
        ClusterUnreachable: it does not answer.
    """

    def __init__(
        self,
        port: ControlPort,
        order: dict[str, Any],
        limit: float,
        version_of: VersionOf | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self._port = port
        self._version_of = version_of
        self._recorder = recorder
        self._run = uuid.uuid4().hex
        self._exchange = port.begin(f"/send?run={quote(self._run)}", order, limit)
        self._exchange.line()  # it has begun

    def results(self) -> Results:
        """Wait for the end; every result.

        Raises:
            ClusterUnreachable: the client has gone.
            ValueError: the run was cut short.
            LookupError: it was to be recorded, and the proxies have not done so.
        """
        with self._exchange:
            results = parse_results(self._exchange.rest().splitlines())
        if self._recorder:
            results = self._recorder.joined(results)
        return results.read_by(self._version_of) if self._version_of else results

    def stop(self) -> Results:
        """Send no more; wait for what is under way. Every result.

        Raises:
            ApiError: the run has already ended (404): what was done meanwhile took longer.
            ClusterUnreachable, ValueError: as `results`.
        """
        self._port.ask(f"/stop?run={self._run}", {}, STOP_SECONDS)
        return self.results()

    def __enter__(self) -> Sending:
        return self

    def __exit__(self, *_: object) -> None:
        self._exchange.close()


class TrafficClient:
    """A pod that sends requests. `find_pod` gives it as it is now; `version_of` reads the version of each result."""

    def __init__(
        self, api: Api, namespace: str, find_pod: Callable[[], Object], version_of: VersionOf | None = None
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._find_pod = find_pod
        self._version_of = version_of

    @property
    def pod(self) -> str:
        """The pod's name."""
        return str(self._find_pod()["metadata"]["name"])

    def draw_header(self) -> str:
        """The header by whose number its proxy draws the destinations of splits: of `index_header`.

        Raises:
            LookupError: it draws them at random.
        """
        pod = self._find_pod()
        asked = DRAW_HEADER in pod["metadata"].get("annotations", {}).get(PROXY_CONFIG_ANNOTATION, "")
        if not asked or isinstance(status_of(self._api, findings=False), IstioStatus):
            raise LookupError(
                f"the proxy of {pod['metadata']['name']} draws at random: exact=True needs the lab's own control plane "
                "and a client of deploy_client, with a sidecar"
            )
        return DRAW_HEADER

    def send(
        self,
        url: str,
        count: int = 1,
        *,
        version_of: VersionOf | None = None,
        recorded: bool = False,
        **options: Any,
    ) -> Results:
        """Send requests and give every result.

        `version_of` reads each result's version in place of the client's own way: `by_header("x-version")`,
        `by_json("$.version")`, or any function, for which the options then say what of the answer is to be shown. Of
        answers that are shown in part the client keeps a thousand.

        Options are those of `mesh-lab-app send`, with underscores: rate, concurrency, method, headers (a mapping),
        body, timeout, deadline, http2, new_connections, distinct_ids, show_body, show_header (a list), ca_pem,
        certificate_pem, insecure, server_name, show_certificate, tls_version, index_header. The URL's scheme is http,
        https, grpc, grpcs (its path is a method, `body` the text of a StringValue) or tcp.

        `recorded` joins each result with what the proxies wrote of it, for `attempts`, `flags`, `pod`, `identity`; it
        gives each request an id of its own and is to be within `mesh.recording()`.

        Raises:
            ApiError: the client refuses, naming the option.
            ClusterUnreachable: it does not answer.
            LookupError: the harness has not deployed the pod, or the proxies have not recorded the requests.
            ValueError: the run was cut short; `recorded` of connections over TCP, which have no id.
        """
        with self.sending(url, count, version_of=version_of, recorded=recorded, **options) as sending:
            return sending.results()

    def sending(
        self,
        url: str,
        count: int = 1,
        *,
        version_of: VersionOf | None = None,
        recorded: bool = False,
        **options: Any,
    ) -> Sending:
        """Begin to send requests, to do something else meanwhile: `with client.sending(...) as sending`.

        The first of them is on its way when this returns.

        Raises:
            ApiError, ClusterUnreachable, LookupError, ValueError: as `send`.
        """
        if recorded and url.startswith("tcp://"):
            raise ValueError("recorded: a connection over TCP has no id by which its record could be found")
        pod = self._find_pod()
        port = control_port(self._api, self._namespace, pod)
        if port is None:
            name = pod["metadata"]["name"]
            raise LookupError(f"the pod {name} has no control port: deploy it with deploy_client or deploy_echo")
        version_of = version_of or self._version_of
        order = {"url": url, "count": count, **_shown_for(version_of, options)}
        recorder = Recorder(self._api, self._namespace, pod["metadata"]["name"]) if recorded else None
        if recorder:
            order["distinct_ids"] = True
        deadline = float(options.get("deadline", 120.0))
        return Sending(port, order, deadline + MARGIN_SECONDS, version_of, recorder)


def _shown_for(version_of: VersionOf | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, with all shown that the version is read from."""
    shown = dict(options)
    if isinstance(version_of, VersionFrom):
        if version_of.headers:
            shown["show_header"] = [*options.get("show_header", ()), *version_of.headers]
        if version_of.body:
            shown["show_body"] = True
    return shown


class EchoControl:
    """One pod of an echo server, driven over its own loopback, which the mesh's configuration does not concern."""

    def __init__(self, api: Api, namespace: str, pod: Object) -> None:
        self._client = TrafficClient(api, namespace, lambda: pod)

    def counts(self) -> dict[str, Any]:
        """Requests since the last reset: `total`, and `attempts` by the request's id, as its client sent it."""
        counted = self._ask("/counts")
        attempts: dict[str, int] = {}
        for request_id, times in counted["attempts"].items():
            sent = as_sent(request_id)
            attempts[sent] = attempts.get(sent, 0) + times
        return {**counted, "attempts": attempts}

    def reset(self) -> None:
        """Forget what was counted."""
        self._ask("/reset")

    def holding(self, group: str = "") -> int:
        """How many requests are held open."""
        return int(self._ask(f"/holding?group={group}")["holding"])

    def release(self, group: str = "") -> int:
        """Answer the held requests; returns how many there were."""
        return int(self._ask(f"/release?group={group}")["released"])

    def answer_all_with(self, status: int) -> None:
        """Answer every request with this status from now on."""
        self._ask(f"/behave?status={status}")

    def answer_normally(self) -> None:
        """Be well again."""
        self._ask("/behave")

    def _ask(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.send(f"http://127.0.0.1:{HTTP_PORT}{path}", show_body=True)[0].json
        return answer
