"""Which control plane a cluster has, and by whose interface its status is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh_lab.client.api import Api
from mesh_lab.client.controlplane import ControlPlane, OwnStatus, choose, find, status_of
from mesh_lab.errors import LabError
from tests.unit.client.istioserving import (
    istio,
    istiod,
)
from tests.unit.client.serving import serve


def test_control_planes_are_found_with_version_and_revision(tmp_path: Path) -> None:
    items = [istiod(), istiod("gcr.io/istio-release/pilot:1.29.1-distroless", "canary", "istiod-canary")]
    with serve(tmp_path, lambda _: {"items": items}) as (_, kubeconfig), Api(kubeconfig) as api:
        first, second = find(api)
    assert (first.version, first.revision, first.injection_label) == ("1.30.3", "", ("istio-injection", "enabled"))
    assert (second.version, second.injection_label) == ("1.29.1", ("istio.io/rev", "canary"))
    assert choose([first, second], "canary") == second
    with pytest.raises(LabError, match="several control planes"):
        choose([first, second], "")
    with pytest.raises(LabError, match="no control plane of revision stable"):
        choose([first], "stable")


def test_an_istio_that_is_too_old_is_refused() -> None:
    with pytest.raises(LabError, match=r"Istio 1\.27\.3 .* is too old; the lab needs Istio 1\.28"):
        choose([ControlPlane("istio-system", "istiod", "", "1.27.3", own=False)], "")
    assert choose([], "") is None


def test_the_labs_own_control_plane_is_asked_its_own_way(tmp_path: Path) -> None:
    with (
        serve(tmp_path, lambda _: {"items": [istiod("mesh-lab/istiod")]}) as (_, kubeconfig),
        Api(kubeconfig) as api,
    ):
        status = status_of(api)
        assert isinstance(status, OwnStatus)


def test_the_status_is_remembered_with_the_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with istio(tmp_path, monkeypatch) as (_, status):
        assert status_of(status.api) is status
