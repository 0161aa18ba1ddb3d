"""Rules for the mesh configuration, setting by setting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from mesh_lab.controlplane.model.destinationrule import ConnectionPoolSettings, TcpKeepalive, TCPSettings
from mesh_lab.controlplane.model.mesh import (
    CertificateData,
    DefaultTrafficPolicy,
    LabelSelector,
    MeshConfig,
    ServiceSettings,
    TLSConfig,
)
from mesh_lab.controlplane.model.units import nanoseconds
from mesh_lab.controlplane.model.virtualservice import HTTPRetry
from mesh_lab.controlplane.validation.bounds import bounds
from mesh_lab.controlplane.validation.common import Problem, duration, error, warning
from mesh_lab.controlplane.validation.localities import locality_setting
from mesh_lab.controlplane.validation.meshproxy import proxy_settings
from mesh_lab.controlplane.validation.names import host_name, is_label
from mesh_lab.controlplane.validation.policies import connection_pool, outlier_detection
from mesh_lab.controlplane.validation.routing import retry_policy

_LONGEST_CONNECT = 3600 * 1_000_000_000
ECDH_CURVES = frozenset({"P-224", "P-256", "P-521", "P-384", "X25519", "X25519Kyber768Draft00", "X25519MLKEM768"})
CIPHER_SUITES = frozenset(
    [f"ECDHE-{key}-{name}" for key in ("ECDSA", "RSA") for name in ("AES128-GCM-SHA256", "AES256-GCM-SHA384")]
    + [f"ECDHE-{key}-{name}" for key in ("ECDSA", "RSA") for name in ("CHACHA20-POLY1305", "AES128-SHA", "AES256-SHA")]
    + ["AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-SHA", "AES256-SHA", "DES-CBC3-SHA"]
)
"""Those that BoringSSL knows; Envoy refuses a configuration with another."""


def mesh_config(path: str, config: MeshConfig) -> Iterator[Problem]:
    """Problems of the mesh's settings; a problem's path starts with `path` and the setting's name."""
    out_of_bounds = tuple(bounds(config, path))
    yield from out_of_bounds
    for field in msgspec.structs.fields(MeshConfig):
        check, value, where = _CHECKS.get(field.name), getattr(config, field.name), f"{path}.{field.encode_name}"
        if check is not None and value is not None and not any(_is_within(each.path, where) for each in out_of_bounds):
            yield from check(where, value)


def _is_within(path: str, where: str) -> bool:
    return path == where or path.startswith((f"{where}.", f"{where}["))


def _connect_timeout(path: str, text: str) -> Iterator[Problem]:
    yield from duration(path, text)
    if nanoseconds(text) > _LONGEST_CONNECT:
        yield error(path, "time must be of 1h at most")


def _trust_domain(path: str, text: str) -> Iterator[Problem]:
    labels = text.removesuffix(".").split(".")
    if not text:
        yield error(path, "empty domain name not allowed")
    elif not all(is_label(label) for label in labels):
        yield error(path, f'trust domain name "{text[:100]}" invalid')


def _aliases(path: str, aliases: Sequence[str]) -> Iterator[Problem]:
    for index, alias in enumerate(aliases):
        yield from _trust_domain(f"{path}[{index}]", alias)


def _exported(path: str, entries: Sequence[str]) -> Iterator[Problem]:
    for index, entry in enumerate(entries):
        if entry not in (".", "*", "~") and not is_label(entry):
            yield error(f"{path}[{index}]", "only ., *, ~ or a namespace is allowed")


def _selectors(path: str, selectors: Sequence[LabelSelector]) -> Iterator[Problem]:
    for index, selector in enumerate(selectors):
        for number, each in enumerate(selector.match_expressions):
            where = f"{path}[{index}].matchExpressions[{number}]"
            if not each.key:
                yield error(f"{where}.key", "key must not be empty")
            if (each.operator in ("In", "NotIn")) != bool(each.values):
                yield error(f"{where}.values", f"values must be given with In and NotIn only, not with {each.operator}")


def _services(path: str, settings: Sequence[ServiceSettings]) -> Iterator[Problem]:
    for index, each in enumerate(settings):
        for number, host in enumerate(each.hosts):
            yield from host_name(f"{path}[{index}].hosts[{number}]", host)


def _mesh_mtls(path: str, tls: TLSConfig) -> Iterator[Problem]:
    if tls.ecdh_curves:
        yield error(f"{path}.ecdhCurves", "mesh TLS does not support ECDH curves configuration")
    yield from _ciphers(path, tls)


def _tls_defaults(path: str, tls: TLSConfig) -> Iterator[Problem]:
    unknown = sorted(set(tls.ecdh_curves) - ECDH_CURVES)
    twice = sorted({curve for curve in tls.ecdh_curves if tls.ecdh_curves.count(curve) > 1})
    if unknown:
        yield warning(f"{path}.ecdhCurves", f"detected unrecognized ECDH curves: {', '.join(unknown)}")
    if twice:
        yield warning(f"{path}.ecdhCurves", f"detected duplicate ECDH curves: {', '.join(twice)}")
    yield from _ciphers(path, tls)


def _ciphers(path: str, tls: TLSConfig) -> Iterator[Problem]:
    unknown = sorted(set(tls.cipher_suites) - CIPHER_SUITES - {"ALL"})
    if unknown:
        yield warning(f"{path}.cipherSuites", f"ignoring unrecognized cipher suites: {', '.join(unknown)}")


def _certificates(path: str, certificates: Sequence[CertificateData]) -> Iterator[Problem]:
    for index, each in enumerate(certificates):
        if (each.pem is None) == (each.spiffe_bundle_url is None):
            yield error(f"{path}[{index}]", "exactly one of pem and spiffeBundleUrl must be given")
        elif each.pem is not None and "-----BEGIN CERTIFICATE-----" not in each.pem:
            yield error(f"{path}[{index}].pem", "not a certificate in PEM")


def _traffic(path: str, policy: DefaultTrafficPolicy) -> Iterator[Problem]:
    if policy.connection_pool is not None:
        yield from connection_pool(f"{path}.connectionPool", policy.connection_pool)
    if policy.outlier_detection is not None:
        yield from outlier_detection(f"{path}.outlierDetection", policy.outlier_detection)


def _keepalive(path: str, settings: TcpKeepalive) -> Iterator[Problem]:
    pool = ConnectionPoolSettings(tcp=TCPSettings(tcp_keepalive=settings))
    for problem in connection_pool("", pool):
        yield problem._replace(path=problem.path.replace(".tcp.tcpKeepalive", path, 1))


def _inbound_retries(path: str, retries: HTTPRetry) -> Iterator[Problem]:
    yield from retry_policy(path, retries)
    if retries.attempts == 0 and retries.backoff is not None:
        yield error(f"{path}.backoff", "backoff configured when attempts are set to 0 (disabled)")
    for name, value in (
        ("perTryTimeout", retries.per_try_timeout),
        ("retryRemoteLocalities", retries.retry_remote_localities),
        ("retryIgnorePreviousHosts", retries.retry_ignore_previous_hosts),
    ):
        if value is not None:
            yield warning(f"{path}.{name}", f"{name} is ignored by the default inbound http retry policy")


_CHECKS: Mapping[str, Callable[[str, Any], Iterator[Problem]]] = {
    "connect_timeout": _connect_timeout,
    "protocol_detection_timeout": lambda path, text: duration(path, text, zero=True),
    "dns_refresh_rate": duration,
    "trust_domain": _trust_domain,
    "trust_domain_aliases": _aliases,
    "default_config": proxy_settings,
    "default_http_retry_policy": retry_policy,
    "default_inbound_http_retry_policy": _inbound_retries,
    "locality_lb_setting": lambda path, setting: locality_setting(path, setting, detected=True),
    "default_traffic_policy": _traffic,
    "tcp_keepalive": _keepalive,
    "default_service_export_to": _exported,
    "default_virtual_service_export_to": _exported,
    "default_destination_rule_export_to": _exported,
    "discovery_selectors": _selectors,
    "service_settings": _services,
    "mesh_mtls": _mesh_mtls,
    "tls_defaults": _tls_defaults,
    "ca_certificates": _certificates,
}
"""By the setting's attribute."""
