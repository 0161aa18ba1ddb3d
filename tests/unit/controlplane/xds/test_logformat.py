"""The format of the access log: text or JSON, Istio's own or the mesh's."""

from __future__ import annotations

import re

from mesh_lab.controlplane.world.meshconfig import MeshConfig, parse
from mesh_lab.controlplane.xds.logformat import DEFAULT_FIELDS, log_format

# What each word of Istio's line stands for, https://istio.io/latest/docs/tasks/observability/logs/access-log/.
WORDS = [
    "START_TIME",
    "REQ(:METHOD)",
    "REQ(X-ENVOY-ORIGINAL-PATH?:PATH)",
    "PROTOCOL",
    "RESPONSE_CODE",
    "RESPONSE_FLAGS",
    "RESPONSE_CODE_DETAILS",
    "CONNECTION_TERMINATION_DETAILS",
    "UPSTREAM_TRANSPORT_FAILURE_REASON",
    "BYTES_RECEIVED",
    "BYTES_SENT",
    "DURATION",
    "RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)",
    "REQ(X-FORWARDED-FOR)",
    "REQ(USER-AGENT)",
    "REQ(X-REQUEST-ID)",
    "REQ(:AUTHORITY)",
    "UPSTREAM_HOST",
    "UPSTREAM_CLUSTER_RAW",
    "UPSTREAM_LOCAL_ADDRESS",
    "DOWNSTREAM_LOCAL_ADDRESS",
    "DOWNSTREAM_REMOTE_ADDRESS",
    "REQUESTED_SERVER_NAME",
    "ROUTE_NAME",
]


def text(mesh: MeshConfig) -> str:
    return log_format(mesh).text_format_source.inline_string


def test_a_line_has_istios_words_in_istios_order() -> None:
    assert re.findall(r"%([^%]+)%", text(MeshConfig())) == WORDS


def test_a_line_of_ones_own_ends_as_lines_do() -> None:
    assert text(MeshConfig(access_log_format="%PROTOCOL%")) == "%PROTOCOL%\n"


def test_as_json_a_line_has_the_same_by_name() -> None:
    fields = log_format(parse("accessLogEncoding: JSON").config).json_format
    assert sorted(str(value).strip("%") for value in dict(fields).values()) == sorted(WORDS)
    assert fields["response_code"] == DEFAULT_FIELDS["response_code"]


def test_json_of_ones_own() -> None:
    own = log_format(parse("""{accessLogEncoding: JSON, accessLogFormat: '{"code": "%RESPONSE_CODE%"}'}""").config)
    assert dict(own.json_format) == {"code": "%RESPONSE_CODE%"}


def test_json_that_is_none_is_refused_with_its_place() -> None:
    parsed = parse("{accessLogEncoding: JSON, accessLogFormat: '%PROTOCOL%'}")
    assert [(remark.path, remark.severity) for remark in parsed.remarks] == [("data.mesh.accessLogFormat", "error")]
    assert parsed.config.access_log_format == ""
