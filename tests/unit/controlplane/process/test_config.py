"""Settings from a pod's environment."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mesh_lab.controlplane.process.config import from_environment, without_effect
from mesh_lab.controlplane.process.plane import ControlPlane

POD = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443"}


def test_a_pods_environment_is_enough() -> None:
    settings = from_environment(POD)
    assert settings.api_server == "https://10.96.0.1:443"
    assert settings.issue_for == timedelta(hours=24)
    assert settings.dns_names[0] == "istiod.istio-system.svc"


def test_a_revision_has_a_service_of_its_own_and_the_plain_name_beside_it() -> None:
    settings = from_environment({**POD, "REVISION": "canary", "POD_NAMESPACE": "mesh"})
    assert settings.plane == ControlPlane("canary", "mesh")
    assert settings.dns_names[0] == "istiod-canary.mesh.svc"
    assert "istiod.mesh.svc" in settings.dns_names
    assert from_environment({**POD, "REVISION": ""}).plane == ControlPlane()


def test_an_address_of_version_six_is_bracketed() -> None:
    assert from_environment({**POD, "KUBERNETES_SERVICE_HOST": "fd00::1"}).api_server == "https://[fd00::1]:443"


@pytest.mark.parametrize(("text", "seconds"), [("10s", 10), ("1.5h", 5400), ("90m", 5400), ("250ms", 0.25)])
def test_the_life_of_certificates_can_be_set(text: str, seconds: float) -> None:
    assert from_environment({**POD, "DEFAULT_WORKLOAD_CERT_TTL": text}).issue_for == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "0s", "1d", "infs", "1h "])
def test_what_is_no_duration_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="DEFAULT_WORKLOAD_CERT_TTL="):
        from_environment({**POD, "DEFAULT_WORKLOAD_CERT_TTL": text})


def test_outside_a_pod_it_says_so() -> None:
    with pytest.raises(ValueError, match="KUBERNETES_SERVICE_HOST is not set"):
        from_environment({})


def test_arguments_of_istios_manifests_are_taken_and_what_has_no_effect_is_named() -> None:
    given = [
        "discovery",
        "--monitoringAddr=:15014",
        "--log_output_level=default:info",
        "--domain",
        "cluster.local",
        "--keepaliveMaxServerConnectionAge",
        "30m",
        "--flag",
    ]
    assert without_effect(given) == [
        "--log_output_level=default:info",
        "--keepaliveMaxServerConnectionAge=30m",
        "--flag",
    ]
    assert without_effect(["discovery", "--domain=other.local"]) == ["--domain=other.local"]
