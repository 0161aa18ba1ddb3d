"""Port 15020, where Istio's agent answers for a pod. Here Envoy itself does, at the same paths.

| path | callers | what answers |
|---|---|---|
| `/healthz/ready` | all | Envoy: whether it is ready |
| `/stats/prometheus`, `/metrics` | all, or the pod itself | Envoy's metrics and the application's |
| `/app-health/...`, `/app-lifecycle/...` | all | the application's probes and hooks |
| `POST /drain` | the pod itself | Envoy asks its clients to leave |
| `POST /quitquitquit` | the pod itself | Envoy ends, with exit code 0 |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mesh_lab.controlplane.injection import merging, probes
from mesh_lab.controlplane.injection.lua import compact
from mesh_lab.controlplane.injection.merging import Target
from mesh_lab.controlplane.injection.probes import HTTP_CONNECTION_MANAGER, PORT, Probe
from mesh_lab.controlplane.injection.securemetrics import NONE, SecureMetrics

_HTTP = "type.googleapis.com/envoy.extensions.filters.http"
_LUA = "envoy.filters.http.lua"
_RBAC = "envoy.filters.http.rbac"
_PROGRAM = "status"

# 127.0.0.1 and not all of the loopback: from 127.0.0.6 Envoy sends what comes from other pods.
_ONLY_THE_POD = {
    _RBAC: {
        "@type": f"{_HTTP}.rbac.v3.RBACPerRoute",
        "rbac": {
            "rules": {
                "action": "ALLOW",
                "policies": {
                    "pod": {
                        "permissions": [{"any": True}],
                        "principals": [{"direct_remote_ip": {"address_prefix": "127.0.0.1", "prefix_len": 32}}],
                    }
                },
            }
        },
    }
}
_LUA_HERE = {_LUA: {"@type": f"{_HTTP}.lua.v3.LuaPerRoute", "name": _PROGRAM}}
_POST = [{"name": ":method", "string_match": {"exact": "POST"}}]

# Not by a route to the administration interface: Envoy may end before its answer is through. In one program with the
# merging of metrics, for each is two more Lua states in each proxy, 0.2 MB.
_QUIT_LUA = """
local scrape = envoy_on_request

function envoy_on_request(handle)
  -- The route is exact and the pod's own; all that may be asked for from elsewhere begins otherwise.
  if handle:headers():get(":path"):find("/quitquitquit", 1, true) ~= 1 then return scrape(handle) end
  local asked = {[":method"] = "POST", [":path"] = "/quitquitquit", [":authority"] = "localhost"}
  handle:httpCall("admin", asked, nil, 5000, true)
end
"""


def listener(
    answered: Sequence[Probe], targets: tuple[Target, ...], most_bytes: int, secure: SecureMetrics = NONE
) -> dict[str, Any]:
    """The listener; `most_bytes` is how large a page of metrics may be."""
    routes = [
        _to_admin("/healthz/ready", "/ready"),
        *(_metrics(path, local_only=secure.local_only) for path in (merging.PATH, "/metrics")),
        {**_to_admin("/drain", "/drain_listeners?graceful&skip_exit", _POST), "typed_per_filter_config": _ONLY_THE_POD},
        {
            "match": {"path": "/quitquitquit", "headers": _POST},
            "direct_response": {"status": 200, "body": {"inline_string": "OK"}},
            "typed_per_filter_config": {**_ONLY_THE_POD, **_LUA_HERE},
        },
        *(_only_post(path) for path in ("/drain", "/quitquitquit")),
        *probes.routes(answered),
    ]
    program = merging.program(targets) + _QUIT_LUA
    manager = {
        "@type": HTTP_CONNECTION_MANAGER,
        "stat_prefix": "status",
        "route_config": {"virtual_hosts": [{"name": "status", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {"name": _RBAC, "typed_config": {"@type": f"{_HTTP}.rbac.v3.RBAC"}},
            {
                "name": _LUA,
                "typed_config": {
                    "@type": f"{_HTTP}.lua.v3.Lua",
                    "source_codes": {_PROGRAM: {"inline_string": compact(program)}},
                },
            },
            *probes.filters(answered),
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_HTTP}.router.v3.Router"}},
        ],
    }
    return {
        "name": "status",
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": PORT}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
        "per_connection_buffer_limit_bytes": most_bytes,
        "ignore_global_conn_limit": True,
    }


def _to_admin(path: str, admin_path: str, headers: Sequence[Any] = ()) -> dict[str, Any]:
    return {
        "match": {"path": path, "headers": list(headers)},
        "route": {"cluster": "admin", "prefix_rewrite": admin_path},
    }


def _metrics(path: str, *, local_only: bool) -> dict[str, Any]:
    return {
        "match": {"path": path},
        "route": {"cluster": "stats", "prefix_rewrite": merging.PATH, "timeout": "60s"},
        "typed_per_filter_config": {**_LUA_HERE, **(_ONLY_THE_POD if local_only else {})},
    }


def _only_post(path: str) -> dict[str, Any]:
    return {
        "match": {"path": path},
        "direct_response": {"status": 405, "body": {"inline_string": "Method Not Allowed"}},
        "typed_per_filter_config": _ONLY_THE_POD,
    }
