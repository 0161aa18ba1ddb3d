"""What proxies write of single requests: an access log of the harness' own, by an EnvoyFilter, beside the mesh's.

Counters tell of all requests together. Which attempt was the last, why a proxy gave up, which identity it has seen and
which endpoint it chose is in an access log only, and Istio's default format lacks half of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from mesh_lab.client.objects import Object

NAME = "mesh-lab-records"
UUID_LENGTH = 36
CLIENT, SERVER = "client", "server"
_MARK = "mesh_lab_record"
_SIDES = {CLIENT: "SIDECAR_OUTBOUND", SERVER: "SIDECAR_INBOUND"}
_COMMANDS: Mapping[str, str] = {
    "id": "%REQ(X-REQUEST-ID)%",
    "status": "%RESPONSE_CODE%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "upstream": "%UPSTREAM_HOST%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "upstream_identity": "%UPSTREAM_PEER_URI_SAN%",
    "downstream_identity": "%DOWNSTREAM_PEER_URI_SAN%",
    "upstream_tls": "%UPSTREAM_TLS_VERSION%",
    "downstream_tls": "%DOWNSTREAM_TLS_VERSION%",
    "authority": "%REQ(:AUTHORITY)%",
    "path": "%REQ(:PATH)%",
    "duration_ms": "%DURATION%",
}
"""The fields of a record, by Envoy's command operators
(https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage)."""


@dataclass(frozen=True, slots=True)
class Record:
    """What one proxy wrote of one request; `side` is `client` (outbound) or `server` (inbound).

    `flags` and `details` are Envoy's response flags and response code details, `upstream` is the address of the
    endpoint that was chosen at last, `pod` its pod's name where it is known. Identities are SPIFFE URIs that the proxy
    has verified, TLS versions those between the proxies; both are empty over plaintext.
    """

    id: str
    side: str
    status: int = 0
    attempts: int = 0
    flags: str = ""
    details: str = ""
    upstream: str = ""
    cluster: str = ""
    upstream_identity: str = ""
    downstream_identity: str = ""
    upstream_tls: str = ""
    downstream_tls: str = ""
    authority: str = ""
    path: str = ""
    duration_ms: float = 0.0
    pod: str = ""


def recording_filter() -> Object:
    """The EnvoyFilter that has the proxies of its namespace write the records that `parse_records` reads."""
    return {
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": {"name": NAME},
        "spec": {"configPatches": [_patch(side, context) for side, context in _SIDES.items()]},
    }


def _patch(side: str, context: str) -> Object:
    manager = "envoy.filters.network.http_connection_manager"
    log = {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": "/dev/stdout",
            "log_format": {"json_format": {_MARK: side, **_COMMANDS}},
        },
    }
    hcm = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    return {
        "applyTo": "NETWORK_FILTER",
        "match": {"context": context, "listener": {"filterChain": {"filter": {"name": manager}}}},
        "patch": {"operation": "MERGE", "value": {"typed_config": {"@type": hcm, "access_log": [log]}}},
    }


def parse_records(lines: Iterable[str]) -> Iterator[Record]:
    """The records among the lines of a proxy's log; everything else that it writes is passed over."""
    for line in lines:
        if _MARK not in line:
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # the last line may still be under way
        if isinstance(entry, dict) and entry.get(_MARK) in _SIDES:
            yield _record(entry)


def _record(entry: Mapping[str, Any]) -> Record:
    found = {name: entry[name] for name in _COMMANDS if entry.get(name) not in (None, "", "-")}
    record = msgspec.convert({"id": "", **found, "side": entry[_MARK]}, Record, strict=False)
    return replace(record, id=as_sent(record.id))


def as_sent(request_id: str) -> str:
    """The version 4 UUID that it was before Envoy noted in its version digit that it traces the request.

    Istio traces one of a hundred by default.
    """
    return f"{request_id[:14]}4{request_id[15:]}" if len(request_id) == UUID_LENGTH else request_id
