"""The pytest plugin: a cluster, a namespace and a mesh as fixtures; evidence when a test fails.

Every pytest in this environment loads it, so it imports next to nothing before a fixture is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mesh_lab.client.api import Api
    from mesh_lab.harness.mesh import Mesh
    from mesh_lab.harness.namespaces import Namespaces

CLUSTERS = ("embedded", "kind", "existing")
DEFAULT_KUBECONFIG = Path(".lab/kubeconfig")
GONE_SECONDS = 60.0
LABEL = "mesh-lab/test"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the harness."""
    group = parser.getgroup("mesh-lab")
    group.addoption(
        "--mesh-kubeconfig", metavar="FILE", help="the cluster (default: $KUBECONFIG, or else .lab/kubeconfig)"
    )
    group.addoption(
        "--cluster", choices=CLUSTERS, default="embedded", help="what kind of cluster it is (default: embedded)"
    )
    group.addoption("--mesh-reports", metavar="DIR", default="reports", help="where evidence goes (default: reports)")
    group.addoption("--keep-namespaces", action="store_true", help="leave the tests' namespaces for a look at them")


def pytest_configure(config: pytest.Config) -> None:
    """The markers of the harness."""
    config.addinivalue_line(
        "markers", "injection(enabled): whether pods of the test's namespace get sidecars (default: yes)"
    )
    config.addinivalue_line("markers", "kind: makes a cluster of its own with kind; skipped where that cannot be")
    config.addinivalue_line("markers", "clusters(*names): the kinds of cluster that a test is about; skipped on others")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is about another kind of cluster."""
    marker = item.get_closest_marker("clusters")
    cluster = item.config.getoption("--cluster")
    if marker and cluster not in marker.args:
        pytest.skip(f"is about {', '.join(marker.args)} clusters; this one is {cluster}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach evidence to the report of a test that failed."""
    report = yield
    if report.failed and call.when != "teardown":
        mesh = next((_fixtures(item)[name] for name in ("mesh", "shared_mesh") if name in _fixtures(item)), None)
        if mesh is not None:
            from mesh_lab.harness.evidence import collect

            reports = Path(item.config.getoption("--mesh-reports"))
            report.sections.append(("mesh-lab", collect(mesh, reports, item.nodeid)))
    return report


def _fixtures(item: pytest.Item) -> dict[str, Any]:
    return getattr(item, "funcargs", {})


@pytest.fixture(scope="session")
def mesh_kubeconfig(request: pytest.FixtureRequest) -> Path:
    """The kubeconfig of the cluster under test."""
    given = request.config.getoption("--mesh-kubeconfig") or os.environ.get("KUBECONFIG")
    path = Path(given) if given else request.config.rootpath / DEFAULT_KUBECONFIG
    if not path.is_file():
        pytest.exit(f"there is no cluster: {path} does not exist. `make lab-up` brings one up.", returncode=2)
    return path


@pytest.fixture(scope="session")
def k8s_manager(mesh_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """pytest-kubernetes' factory of cluster managers (its fixture `k8s` calls it), for the cluster under test."""

    def factory(provider_name: str | None = None) -> Any:  # noqa: ARG001 - there is one provider
        from mesh_lab.harness.cluster import RunningCluster

        def manager(name: str | None = None, *_: Any) -> RunningCluster:
            return RunningCluster(mesh_kubeconfig, tmp_path_factory.mktemp("cluster"), name or "mesh-lab")

        manager.__name__ = "RunningCluster"
        return manager

    return factory


@pytest.fixture(scope="session")
def kube(k8s_manager: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The Kubernetes API of the cluster under test."""
    from mesh_lab.client.api import Api
    from mesh_lab.client.connection import ClusterUnreachable

    manager = k8s_manager()("mesh-lab")
    api = Api(manager.kubeconfig, tmp_path_factory.mktemp("api"))
    try:
        api.request("GET", "/readyz")
    except ClusterUnreachable as error:
        pytest.exit(f"the cluster does not answer: {error}\n`mesh-lab status` tells whether it runs.", returncode=2)
    yield api
    api.close()


@pytest.fixture(scope="session")
def namespaces(kube: Api, request: pytest.FixtureRequest) -> Iterator[Namespaces]:
    """Makes namespaces; when the session ends, all of them are gone."""
    from mesh_lab.harness.namespaces import Namespaces

    made = Namespaces(kube, LABEL, keep=request.config.getoption("--keep-namespaces"))
    yield made
    made.remove_all(GONE_SECONDS)


@pytest.fixture
def namespace(namespaces: Namespaces, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, with injection as its marker says. Its deletion begins when the test ends."""
    name = namespaces.create(request.node.name, _injection(request))
    yield name
    namespaces.remove(name)


@pytest.fixture
def mesh(kube: Api, namespace: str) -> Mesh:
    """The mesh, in a namespace of the test's own."""
    from mesh_lab.harness.mesh import Mesh

    return Mesh(kube, namespace)


@pytest.fixture(scope="module")
def shared_mesh(kube: Api, namespaces: Namespaces, request: pytest.FixtureRequest) -> Iterator[Mesh]:
    """The mesh, in a namespace that the tests of a module share: for deployments that none of them changes."""
    from mesh_lab.harness.mesh import Mesh

    name = namespaces.create(request.node.path.stem, _injection(request))
    yield Mesh(kube, name)
    namespaces.remove(name)


def _injection(request: pytest.FixtureRequest) -> bool:
    marker = request.node.get_closest_marker("injection")
    return bool(marker.args[0]) if marker else True
