"""Records of single requests: read from a proxy's log, joined with the results of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from mesh_lab.client.connection import ApiError
from mesh_lab.client.objects import Object
from mesh_lab.harness import recording
from mesh_lab.harness.recording import Recorder, pod_of
from mesh_lab.harness.records import CLIENT, SERVER, Record, parse_records, recording_filter
from mesh_lab.harness.results import Result, Results

ID = "2613dd37-2bfa-4d0f-b518-d0f73e90a49a"
TRACED = "2613dd37-2bfa-9d0f-b518-d0f73e90a49a"
ECHO = "spiffe://cluster.local/ns/x/sa/echo"


def line(side: str = CLIENT, request: str = ID, **fields: Any) -> str:
    return json.dumps({"mesh_lab_record": side, "id": request, "status": 200, "attempts": 1, **fields})


def test_records_are_read_between_the_other_lines_of_a_log() -> None:
    lines = [
        '[2026-01-31T10:15:00.000Z] "GET / HTTP/1.1" 200 - via_upstream - "-" 0 812 7 6 "-"',
        line(flags="URX,UF", attempts=3, upstream="10.244.0.11:8080", duration_ms=7, upstream_identity=ECHO),
        line(SERVER, TRACED, flags="-", downstream_identity=None),
        '{"mesh_lab_record": "client", "id": "cut off',
        '{"mesh_lab_record": "somebody else\'s"}',
    ]
    sent, served = parse_records(lines)
    assert sent == Record(ID, CLIENT, 200, 3, "URX,UF", "", "10.244.0.11:8080", "", ECHO, duration_ms=7.0)
    assert served == Record(ID, SERVER, 200, 1), "the id is the one that was sent, although its request is traced"


def test_the_filter_adds_a_log_for_either_side() -> None:
    spec = recording_filter()["spec"]
    assert [patch["match"]["context"] for patch in spec["configPatches"]] == ["SIDECAR_OUTBOUND", "SIDECAR_INBOUND"]
    formats = [
        patch["patch"]["value"]["typed_config"]["access_log"][0]["typed_config"]["log_format"]["json_format"]
        for patch in spec["configPatches"]
    ]
    assert [each["mesh_lab_record"] for each in formats] == [CLIENT, SERVER]
    assert set(formats[0]) == {"mesh_lab_record", *Record.__dataclass_fields__} - {"side", "pod"}


class Logs:
    """Stands for the API: pods by address, and the log of each pod's proxy, which grows at every look at it."""

    def __init__(self, logs: Mapping[str, list[str]], pods: Mapping[str, str]) -> None:
        self.logs = {pod: iter(texts) for pod, texts in logs.items()}
        self.last: dict[str, str] = {}
        self.pods = pods

    def path(self, _: str, __: str, ___: str, pod: str) -> str:
        return pod

    def request(self, _: str, path: str, **__: Any) -> str:
        pod = path.removesuffix("/log")
        if pod not in self.logs:
            raise ApiError(404, "no such container", reason="NotFound", request=path)
        self.last[pod] = next(self.logs[pod], self.last.get(pod, ""))
        return self.last[pod]

    def list_all(self, _: str, __: str, namespace: str) -> list[Object]:
        return [
            {
                "metadata": {"name": name, "namespace": namespace or "elsewhere"},
                "spec": {},
                "status": {"podIPs": [{"ip": ip}]},
            }
            for ip, name in self.pods.items()
            if not (namespace and name.startswith("far"))
        ]


def joined(results: Results, logs: Logs) -> Results:
    return Recorder(logs, "shop", "client-1").joined(results)  # type: ignore[arg-type]


def sent(request: str = ID, **more: Any) -> Result:
    return Result(200, 1.0, 2.0, id=request, **more)


def test_results_are_joined_with_the_records_of_both_proxies_once_they_are_written() -> None:
    client = line(upstream="10.0.0.1:8080", upstream_identity=ECHO, attempts=2)
    server = line(SERVER, downstream_identity="spiffe://c")
    logs = Logs({"client-1": ["", client], "echo-1": ["", "", server]}, {"10.0.0.1": "echo-1"})
    (result,) = joined(Results([sent()]), logs)
    assert (result.attempts, result.flags, result.pod, pod_of(result)) == (2, "", "echo-1", "echo-1")
    assert (result.identity, result.server_identity) == ("spiffe://c", ECHO)


def test_an_endpoint_in_another_namespace_is_named_and_one_that_is_no_pod_has_its_address() -> None:
    other = ID.replace("26", "27", 1)
    client = "\n".join([line(upstream="[fd00::1]:80"), line(request=other, upstream="203.0.113.7:443")])
    near, far = joined(Results([sent(), sent(other)]), Logs({"client-1": [client]}, {"fd00::1": "far-1"}))
    assert (near.pod, far.pod) == ("far-1", "203.0.113.7:443")
    with pytest.raises(LookupError, match="no proxy of a server has recorded the request"):
        _ = near.identity


def test_requests_that_were_not_recorded_are_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "WRITTEN_SECONDS", 0.0)
    with pytest.raises(LookupError, match=r"recorded 0 of 1 requests, not 2613.*within `with mesh.recording"):
        joined(Results([sent()]), Logs({"client-1": [""]}, {}))
    with pytest.raises(LookupError, match="the log of client-1's proxy cannot be read"):
        joined(Results([sent()]), Logs({}, {}))
    with pytest.raises(LookupError, match="send it with recorded=True"):
        _ = sent().attempts


def test_what_the_answer_says_of_its_attempt_must_agree() -> None:
    record = Record(ID, CLIENT, attempts=3)
    assert sent(record=record, headers={"x-envoy-attempt-count": "3"}).attempts == 3
    with pytest.raises(
        ValueError, match="the answer is of attempt 2, says x-envoy-attempt-count; the proxy recorded 3"
    ):
        _ = sent(record=record, headers={"x-envoy-attempt-count": "2"}).attempts
