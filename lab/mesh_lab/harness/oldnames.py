"""The names that options, markers and fixtures had before 0.2: they work in 0.2, and warn.

Imported by every pytest of the environment, as the plugin is.
"""

from __future__ import annotations

import argparse
import contextlib
import warnings
from typing import TYPE_CHECKING

import pytest

from mesh_lab.harness.plugin import CLUSTERS

if TYPE_CHECKING:
    from mesh_lab.client.api import Api
    from mesh_lab.harness.mesh import Mesh
    from mesh_lab.harness.namespaces import Namespaces

OPTIONS = {"--cluster": "--mesh-cluster", "--keep-namespaces": "--mesh-keep-namespaces"}
MARKERS = {"injection": "mesh_injection", "clusters": "mesh_clusters"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """The old options; where another plugin has one of these names, it keeps it."""
    group = parser.getgroup("mesh-lab")
    with contextlib.suppress(ValueError, argparse.ArgumentError):
        group.addoption("--cluster", dest="old_mesh_cluster", choices=CLUSTERS, help="the old name of --mesh-cluster")
    with contextlib.suppress(ValueError, argparse.ArgumentError):
        group.addoption(
            "--keep-namespaces",
            dest="old_mesh_keep_namespaces",
            action="store_true",
            help="the old name of --mesh-keep-namespaces",
        )


def pytest_configure(config: pytest.Config) -> None:
    """Hand on the values of old options; declare the old markers."""
    for old, new in OPTIONS.items():
        attribute = new.lstrip("-").replace("-", "_")
        if value := getattr(config.option, f"old_{attribute}", None):
            setattr(config.option, attribute, value)
            if not hasattr(
                config, "workerinput"
            ):  # a worker of pytest-xdist gets the options of its controller, which has warned already
                config.issue_config_time_warning(_warning("option", old, new), stacklevel=2)
    for old, new in MARKERS.items():
        config.addinivalue_line("markers", f"{old}: the old name of {new}")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Put the new marker beside the old one, wherever that stands: at the test, its class, its module."""
    for node in item.listchain():
        present = {mark.name for mark in node.own_markers}
        for mark in list(node.own_markers):
            new = MARKERS.get(mark.name)
            if new and new not in present:
                node.add_marker(getattr(pytest.mark, new)(*mark.args, **mark.kwargs))
                node.warn(_warning("marker", mark.name, new))


@pytest.fixture(scope="session")
def kube(mesh_api: Api) -> Api:
    """The old name of `mesh_api`."""
    warnings.warn(_warning("fixture", "kube", "mesh_api"), stacklevel=1)
    return mesh_api


@pytest.fixture(scope="session")
def namespaces(mesh_namespaces: Namespaces) -> Namespaces:
    """The old name of `mesh_namespaces`."""
    warnings.warn(_warning("fixture", "namespaces", "mesh_namespaces"), stacklevel=1)
    return mesh_namespaces


@pytest.fixture
def namespace(mesh_namespace: str) -> str:
    """The old name of `mesh_namespace`."""
    warnings.warn(_warning("fixture", "namespace", "mesh_namespace"), stacklevel=1)
    return mesh_namespace


@pytest.fixture(scope="module")
def shared_mesh(mesh_shared: Mesh) -> Mesh:
    """The old name of `mesh_shared`."""
    warnings.warn(_warning("fixture", "shared_mesh", "mesh_shared"), stacklevel=1)
    return mesh_shared


def _warning(what: str, old: str, new: str) -> DeprecationWarning:
    return DeprecationWarning(f"mesh-lab: the {what} {old} is named {new} now; the old name goes with the next release")
