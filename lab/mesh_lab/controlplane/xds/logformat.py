"""What a line of the access log holds: Istio's default, or what the mesh's settings or a provider define: text or JSON.

https://istio.io/latest/docs/tasks/observability/logs/access-log/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from envoy.config.core.v3.base_pb2 import DataSource
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.core.v3.substitution_format_string_pb2 import SubstitutionFormatString
from envoy.extensions.formatter.req_without_query.v3.req_without_query_pb2 import ReqWithoutQuery
from google.protobuf.struct_pb2 import Struct

from mesh_lab.controlplane.model.providers import LogFormat
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.xds.built import any_of

DEFAULT_FORMAT = (
    '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
    '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% '
    '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" '
    '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% '
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n"
)
DEFAULT_FIELDS = {
    "start_time": "%START_TIME%",
    "route_name": "%ROUTE_NAME%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    "protocol": "%PROTOCOL%",
    "response_code": "%RESPONSE_CODE%",
    "response_flags": "%RESPONSE_FLAGS%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "connection_termination_details": "%CONNECTION_TERMINATION_DETAILS%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "duration": "%DURATION%",
    "upstream_service_time": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%",
    "x_forwarded_for": "%REQ(X-FORWARDED-FOR)%",
    "user_agent": "%REQ(USER-AGENT)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "authority": "%REQ(:AUTHORITY)%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_cluster": "%UPSTREAM_CLUSTER_RAW%",
    "upstream_local_address": "%UPSTREAM_LOCAL_ADDRESS%",
    "downstream_local_address": "%DOWNSTREAM_LOCAL_ADDRESS%",
    "downstream_remote_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "requested_server_name": "%REQUESTED_SERVER_NAME%",
    "upstream_transport_failure_reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
}


_EXTENSION = "REQ_WITHOUT_QUERY"
"""The only command among Istio's that Envoy does not know by itself."""


def log_format(mesh: MeshConfig) -> SubstitutionFormatString:
    """The format that `accessLogEncoding` and `accessLogFormat` define."""
    if mesh.access_log_encoding == "JSON":
        return _json(json.loads(mesh.access_log_format) if mesh.access_log_format else DEFAULT_FIELDS)
    return _text(mesh.access_log_format)


def own_format(given: LogFormat | None, *, omit_empty: bool) -> SubstitutionFormatString:
    """The format of a provider: Istio's default where it has none."""
    if given is not None and given.labels is not None:
        form = _json(given.labels or DEFAULT_FIELDS)
    else:
        form = _text(given.text or "" if given is not None else "")
    form.omit_empty_values = omit_empty
    return form


def _json(content: Mapping[str, Any]) -> SubstitutionFormatString:
    fields = Struct()
    fields.update(content)
    return SubstitutionFormatString(json_format=fields, formatters=formatters(json.dumps(content)))


def _text(given: str) -> SubstitutionFormatString:
    text = given or DEFAULT_FORMAT
    source = DataSource(inline_string=text if text.endswith("\n") else text + "\n")
    return SubstitutionFormatString(text_format_source=source, formatters=formatters(text))


def formatters(*texts: str) -> list[TypedExtensionConfig]:
    """The extensions that formats need."""
    if not any(f"%{_EXTENSION}" in text for text in texts):
        return []
    return [TypedExtensionConfig(name="envoy.formatter.req_without_query", typed_config=any_of(ReqWithoutQuery()))]
