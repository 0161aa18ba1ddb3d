"""What the proxies record of single requests: attempts, flags, pods and identities, joined with the results."""

from __future__ import annotations

from collections import Counter

import pytest

from mesh_lab.testing import (
    Mesh,
    TrafficClient,
    assert_all,
    destination_rule,
    pod_of,
    route,
    to,
    virtual_service,
)

REQUESTS = 20


@pytest.fixture(scope="module")
def recorded(canary: Mesh) -> Mesh:
    """The two versions, in a namespace whose proxies record from the first request on."""
    canary.apply(canary.recording_filter())
    return canary


@pytest.fixture
def client(canary: Mesh) -> TrafficClient:
    return canary.client()
