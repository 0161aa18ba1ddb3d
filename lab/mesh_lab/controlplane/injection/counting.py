"""Which statistics an Envoy keeps, and which parts of their names are tags."""

from __future__ import annotations

from typing import Any

from mesh_lab.controlplane.world.podsettings import Statistics
from mesh_lab.controlplane.xds.telemetry import STAT_PREFIX

# What a sidecar counts of itself: the ends of names, and parts, of statistics on what the mesh did to a request. Istio
# keeps fewer (proxyStatsMatcher adds to them there); all of Envoy's would cost some megabytes in each of many sidecars.
_PREFIXES = (
    "cluster.xds-grpc",
    "cluster_manager",
    "control_plane",
    "listener_manager",
    "sds",
    "server",
    STAT_PREFIX,
)
_SUFFIXES = (
    "circuit_breakers.default.cx_open",
    "circuit_breakers.default.rq_open",
    "circuit_breakers.default.rq_pending_open",
    "downstream_cx_active",
    "downstream_rq_active",
    "lb_healthy_panic",
    "membership_healthy",
    "membership_total",
    "ssl.connection_error",
    "ssl.fail_verify_error",
    "ssl.fail_verify_no_cert",
    "ssl.fail_verify_san",
    "ssl.handshake",
    "upstream_cx_active",
    "upstream_cx_connect_fail",
    "upstream_cx_overflow",
    "upstream_cx_total",
    "upstream_rq_active",
    "upstream_rq_pending_active",
    "upstream_rq_pending_overflow",
    "upstream_rq_per_try_timeout",
    "upstream_rq_retry",
    "upstream_rq_retry_limit_exceeded",
    "upstream_rq_retry_overflow",
    "upstream_rq_retry_success",
    "upstream_rq_timeout",
    "upstream_rq_total",
)
_PARTS = ("outlier_detection.", "rbac.", ".fault.")

_AUTHORIZATION_TAGS = {
    "authz_enforce_result": r".*rbac(\.(allowed|denied))",
    "authz_dry_run_action": r".*rbac(\.istio_dry_run_(allow|deny)_)",
    "authz_dry_run_result": r".*rbac.*(\.shadow_(allowed|denied))",
}
"""Istio's tags. Its expressions have no beginning; with one, Envoy does not try them on the statistics of clusters,
which are nearly all, and a proxy starts sooner."""


def stats_config(kept: Statistics) -> dict[str, Any]:
    """The bootstrap's `stats_config`, with what a pod asks for beside the usual."""
    more = kept.more
    patterns = [
        *({"prefix": prefix} for prefix in (*_PREFIXES, *more.prefixes)),
        *({"suffix": suffix} for suffix in (*_SUFFIXES, *more.suffixes)),
        *({"contains": part} for part in _PARTS),
        *({"safe_regex": {"regex": regexp}} for regexp in more.regexps),
    ]
    buckets = [{"match": {"prefix": prefix}, "buckets": list(bounds)} for prefix, bounds in kept.buckets.items()]
    # A cluster's name has dots of its own, and so ends here: `cluster.outbound|9080||reviews.default.svc...;.ssl...`
    return {
        "use_all_default_tags": False,
        "stats_tags": [
            {"tag_name": "cluster_name", "regex": r"^cluster(\.(.+);)"},
            {"tag_name": "response_code_class", "regex": r"_rq(_(\dxx))$"},
            {
                "tag_name": "http_conn_manager_prefix",
                "regex": r"^http\.(((?:in|out)bound_[_.a-fA-F0-9]*[0-9]|[^.;]+);?\.)",
            },
            {
                "tag_name": "listener_address",
                "regex": r"^listener\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)",
            },
            *(
                {"tag_name": name, "regex": rf"^{protocol}\.{regex}"}
                for name, regex in _AUTHORIZATION_TAGS.items()
                for protocol in ("http", "tcp")
            ),
        ],
        "stats_matcher": {"inclusion_list": {"patterns": patterns}},
        **({"histogram_bucket_settings": buckets} if buckets else {}),
    }
