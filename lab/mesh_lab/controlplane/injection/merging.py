"""An application's metrics, joined with its proxy's: so they can be read where the port takes only mutual TLS.

A pod's `prometheus.io/...` annotations say where the application has its metrics. Injection makes them say 15020 and
`/stats/prometheus`, where Envoy answers with its own and then the application's.
https://istio.io/latest/docs/ops/integrations/prometheus/#option-1-metrics-merging
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from mesh_lab.controlplane.injection.probes import PORT
from mesh_lab.controlplane.world.annotations import MERGE_METRICS, boolean, parse_boolean

PATH = "/stats/prometheus"
# As Prometheus sees an annotation: with _ for all that a label's name cannot have.
_SCRAPE = "prometheus_io_scrape"
_PORT = "prometheus_io_port"
_PATH = "prometheus_io_path"
_TARGETS = "prometheus_istio_io_scrape_targets"
_NOT_OF_A_LABEL = re.compile(r"[^a-zA-Z0-9_]")

RESERVED: Mapping[int, str] = {
    15000: "Envoy's administration",
    15001: "outbound traffic",
    15004: "the control plane's debug interface",
    15006: "inbound traffic",
    15008: "HBONE",
    15009: "Envoy's own administration",
    15021: "Envoy's health",
    15053: "DNS",
    15090: "Envoy's metrics, which are merged already",
}
"""The proxy's own ports, and what for."""


class Target(NamedTuple):
    """Where an application has metrics."""

    port: int
    path: str

    @property
    def cluster(self) -> str:
        """The name of the cluster that leads there."""
        return f"application-metrics|{self.port}"


class Merging(NamedTuple):
    """What the proxy adds to its own metrics, and the annotations that send Prometheus to it."""

    targets: tuple[Target, ...]
    annotations: dict[str, str]


def from_annotations(annotations: Mapping[str, str], usual: bool = True) -> Merging:
    """The targets that a pod's annotations name, by Istio's rules; `usual` is whether the mesh merges at all.

    Raises:
        ValueError: an annotation, which it names, has a bad value.
    """
    given = {_NOT_OF_A_LABEL.sub("_", name): (name, value) for name, value in annotations.items()}
    scraped = given.get(_SCRAPE, ("", "true"))[1]
    wanted = boolean(annotations, MERGE_METRICS, usual)
    at_proxy = given.get(_PORT, ("", ""))[1] == str(PORT)
    if not wanted or parse_boolean(scraped) is False or at_proxy:
        return Merging((), dict(annotations))
    own = (_SCRAPE, _PORT, _PATH, _TARGETS)
    kept = {name: value for name, value in annotations.items() if _NOT_OF_A_LABEL.sub("_", name) not in own}
    sent = {"prometheus.io/scrape": "true", "prometheus.io/port": str(PORT), "prometheus.io/path": PATH}
    return Merging(_targets({name: given[name] for name in own if name in given}), {**kept, **sent})


def _targets(given: Mapping[str, tuple[str, str]]) -> tuple[Target, ...]:
    if _TARGETS in given:
        name, value = given[_TARGETS]
        listed = [part.strip().partition(":") for part in value.split(",") if part.strip()]
        return tuple(Target(_number(name, port.strip()), _path(path.strip())) for port, _, path in listed)
    if not given:
        return ()
    name, port = given.get(_PORT, ("", "80"))
    return (Target(_number(name, port), _path(given.get(_PATH, ("", ""))[1])),)


def _path(text: str) -> str:
    return text if text.startswith("/") else f"/{text or 'metrics'}"


def _number(annotation: str, text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ValueError(f"annotation {annotation}: {text!r} is not a port")
    if int(text) == PORT:
        raise ValueError(f"annotation {annotation}: {PORT} is where metrics are merged: it would read itself")
    if reason := RESERVED.get(int(text)):
        raise ValueError(f"annotation {annotation}: {text} is the proxy's own port, for {reason}")
    return int(text)


def clusters(targets: tuple[Target, ...]) -> list[dict[str, Any]]:
    """The clusters that lead to the application, over loopback, as Istio's agent goes."""
    named = {target.cluster: target.port for target in targets}
    return [_cluster(name, port) for name, port in named.items()]


def _cluster(name: str, port: int) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }


def program(targets: tuple[Target, ...]) -> str:
    """The Lua program that appends the targets' metrics to a page of Envoy's metrics.

    A target that fails is left out, is counted, and is reported in the proxy's log. Counts are those of one worker.
    """
    rows = ", ".join(
        f'{{cluster = "{target.cluster}", authority = "localhost:{target.port}", path = {_lua_string(target.path)}}}'
        for target in targets
    )
    return f"local TARGETS = {{{rows}}}\n{_MERGE_LUA}"


def _lua_string(text: str) -> str:
    """Also of characters that Kubernetes would take for a variable, `$(NAME)`, in an argument."""
    plain = [chr(byte) if chr(byte).isalnum() or byte in b"/._-?=&" else f"\\{byte:03d}" for byte in text.encode()]
    return f'"{"".join(plain)}"'


_MERGE_LUA = r"""
local TEXT, OPEN = "text/plain", "application/openmetrics-text"
local NAMESPACE = "scrape"
local scrapes, failures = 0, 0

-- Prometheus also offers to take protobuf, which cannot be joined with text.
local function acceptable(offered)
  local kept = {}
  for entry in (offered or ""):gmatch("[^,]+") do
    local name = entry:match("^%s*([^;%s]*)")
    if name == TEXT or name == OPEN then kept[#kept + 1] = entry end
  end
  return #kept > 0 and table.concat(kept, ",") or "text/plain;version=0.0.4"
end

function envoy_on_request(handle)
  local headers, metadata = handle:headers(), handle:streamInfo():dynamicMetadata()
  local accept, seconds = headers:get("accept"), headers:get("x-prometheus-scrape-timeout-seconds")
  metadata:set(NAMESPACE, "accept", acceptable(accept))
  metadata:set(NAMESPACE, "seconds", seconds and tonumber(seconds) or 10)
end

-- The text without the mark at the end of OpenMetrics, and its content type; nothing when the application fails.
local function scraped(handle, target, asked)
  local headers, text = handle:httpCall(target.cluster, {
    [":method"] = "GET", [":path"] = target.path, [":authority"] = target.authority, ["accept"] = asked.accept,
  }, nil, math.max(1, math.floor(asked.seconds * 1000)))
  if headers[":status"] == "200" then
    return (text or ""):gsub("%s*# EOF%s*$", "\n"):gsub("([^\n])$", "%1\n"), headers["content-type"] or TEXT
  end
  failures = failures + 1
  handle:logWarn("no metrics from http://" .. target.authority .. target.path .. ": " .. headers[":status"])
end

function envoy_on_response(handle)
  local asked = handle:streamInfo():dynamicMetadata():get(NAMESPACE)
  if not asked or handle:headers():get(":status") ~= "200" then return end
  handle:body(true) -- wait for the whole page: during a call it would go by
  local pages, open = {}, nil
  scrapes = scrapes + 1
  for _, target in ipairs(TARGETS) do
    local text, content_type = scraped(handle, target, asked)
    if text then
      pages[#pages + 1] = text
      if not content_type:find(OPEN, 1, true) then open = false elseif open == nil then open = content_type end
    end
  end
  if open then
    pages[#pages + 1] = "# EOF\n"
    handle:headers():replace("content-type", open)
  end
  local own = "# TYPE istio_agent_scrapes_total counter\nistio_agent_scrapes_total " .. scrapes .. "\n"
    .. "# TYPE istio_agent_scrape_failures_total counter\n"
    .. 'istio_agent_scrape_failures_total{type="application"} ' .. failures .. "\n"
  local body = handle:body(true) -- once more: what was taken before a call is of no use after it
  body:setBytes(own .. body:getBytes(0, body:length()) .. table.concat(pages))
end
"""
