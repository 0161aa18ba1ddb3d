"""The pytest plugin: a cluster, a namespace and a mesh as fixtures; evidence when a test fails.

Every pytest of the environment loads it, so it imports next to nothing before a fixture is asked for.

A project's conftest.py redefines those fixtures that say what is its own: `mesh_kubeconfig`, `mesh_echo_image`,
`mesh_client_image`, `mesh_namespace_labels`, `mesh_version_of`, `mesh_chaos_bounds` (all of the session's scope).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from mesh_lab.client.api import Api
    from mesh_lab.conformance.numbers import Numbers
    from mesh_lab.harness.chaos.bounds import ChaosBounds
    from mesh_lab.harness.chaos.chaos import Chaos
    from mesh_lab.harness.mesh import Mesh
    from mesh_lab.harness.namespaces import Namespaces
    from mesh_lab.harness.versions import VersionOf

pytest_plugins = ["mesh_lab.harness.oldnames", "mesh_lab.rollout.fixtures"]  # the old names: for one release

CLUSTERS = ("embedded", "kind", "existing")
DEFAULT_KUBECONFIG = Path(".lab/kubeconfig")
GONE_SECONDS = 60.0
LABEL = "mesh-lab/test"
_CHAOS: pytest.StashKey[Chaos] = pytest.StashKey()
MARKERS = (
    "mesh_injection(enabled): whether pods of the test's namespace get sidecars (default: yes)",
    "mesh_clusters(*names): the kinds of cluster that a test is about; skipped on others",
    "mesh_exclusive: changes what the whole cluster shares; no other test of the mesh runs meanwhile",
    "mesh_feature(feature, protocol=..., api=...): the case that a test shows; its parameters may say the latter two",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the harness."""
    group = parser.getgroup("mesh-lab")
    group.addoption(
        "--mesh-kubeconfig",
        metavar="FILE",
        help="the cluster (default: $KUBECONFIG, or else .lab/kubeconfig). Write =FILE: pytest takes the folder of a "
        "FILE by itself for its rootdir",
    )
    group.addoption(
        "--mesh-cluster", choices=CLUSTERS, default="embedded", help="what kind of cluster it is (default: embedded)"
    )
    group.addoption("--mesh-reports", metavar="DIR", default="reports", help="where evidence goes (default: reports)")
    group.addoption(
        "--mesh-keep-namespaces", action="store_true", help="leave the tests' namespaces for a look at them"
    )
    group.addoption(
        "--mesh-chaos-seed",
        metavar="SEED",
        help="what `chaos` chooses by: a failed test's report has the one that it had (default: another each time)",
    )
    group.addoption(
        "--mesh-conformance",
        metavar="DIR",
        help="write DIR/conformance.json and .html: the verdict on each case that tests marked mesh_feature show",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers; have pytest-xdist's workers take turns where it is in use."""
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    if hasattr(config, "workerinput") or config.getoption("dist", "no") != "no":
        from mesh_lab.harness.parallel import register

        register(config)
    if folder := config.getoption("--mesh-conformance"):
        from mesh_lab.harness import conformance

        conformance.register(config, Path(folder), os.environ)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests that are about another kind of cluster."""
    marker = item.get_closest_marker("mesh_clusters")
    cluster = item.config.getoption("--mesh-cluster")
    if marker and cluster not in marker.args:
        pytest.skip(f"is about {', '.join(marker.args)} clusters; this one is {cluster}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach evidence to the report of a test that failed."""
    report = yield
    more = {}
    if report.failed and (chaos := item.stash.get(_CHAOS, None)) is not None:
        more["chaos.log"] = f"--mesh-chaos-seed={chaos.seed}\n{chaos.log}"
        report.sections.append(("chaos", more["chaos.log"]))
    if report.failed and call.when != "teardown":
        mesh = next((_fixtures(item)[name] for name in ("mesh", "mesh_shared") if name in _fixtures(item)), None)
        if mesh is not None:
            from mesh_lab.harness.evidence import collect

            reports = Path(item.config.getoption("--mesh-reports"))
            report.sections.append(("mesh-lab", collect(mesh, reports, item.nodeid, more)))
    return report


def _fixtures(item: pytest.Item) -> dict[str, Any]:
    return getattr(item, "funcargs", {})


# What a project may redefine


@pytest.fixture(scope="session")
def mesh_kubeconfig(request: pytest.FixtureRequest) -> Path:
    """The kubeconfig of the cluster under test."""
    given = request.config.getoption("--mesh-kubeconfig") or os.environ.get("KUBECONFIG")
    path = Path(given) if given else request.config.rootpath / DEFAULT_KUBECONFIG
    if not path.is_file():
        _end(request.config, f"there is no cluster: {path} does not exist. `mesh-lab up` brings one up.")
    return path


@pytest.fixture(scope="session")
def mesh_echo_image() -> str:
    """The image of `Mesh.deploy_echo`. To redefine where the lab's images are under another name."""
    from mesh_lab.harness.workloads import IMAGE

    return IMAGE


@pytest.fixture(scope="session")
def mesh_client_image() -> str:
    """The image of `Mesh.deploy_client`. To redefine where the lab's images are under another name."""
    from mesh_lab.harness.workloads import IMAGE

    return IMAGE


@pytest.fixture(scope="session")
def mesh_namespace_labels() -> Mapping[str, str]:
    """Further labels of the tests' namespaces. To redefine; `istio.io/rev` takes the place of `istio-injection`."""
    return {}


@pytest.fixture(scope="session")
def mesh_version_of() -> VersionOf | None:
    """Reads the version of each result. To redefine (`by_header`, `by_json`); None: as the lab's echo server has it."""
    return None


@pytest.fixture(scope="session")
def mesh_chaos_bounds() -> ChaosBounds:
    """What the chaos of one test may do at most. To redefine: 10 kills, and faults of 60 s."""
    from mesh_lab.harness.chaos.bounds import BOUNDS

    return BOUNDS


# The mesh


@pytest.fixture(scope="session")
def mesh_cluster_manager(mesh_kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """pytest-kubernetes' factory of cluster managers, for the cluster under test.

    A project whose fixture `k8s` is to be this cluster has its own `k8s_manager` return it.
    """

    def factory(provider_name: str | None = None) -> Any:  # noqa: ARG001 - there is one provider
        from mesh_lab.harness.cluster import RunningCluster

        def manager(name: str | None = None, *_: Any) -> RunningCluster:
            return RunningCluster(mesh_kubeconfig, tmp_path_factory.mktemp("cluster"), name or "mesh-lab")

        manager.__name__ = "RunningCluster"
        return manager

    return factory


@pytest.fixture(scope="session")
def mesh_api(
    mesh_cluster_manager: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Iterator[Api]:
    """The Kubernetes API of the cluster under test."""
    from mesh_lab.client.api import Api
    from mesh_lab.client.connection import ClusterUnreachable

    manager = mesh_cluster_manager()("mesh-lab")
    api = Api(manager.kubeconfig, tmp_path_factory.mktemp("api"))
    try:
        api.request("GET", "/readyz")
    except ClusterUnreachable as error:
        _end(request.config, f"the cluster does not answer: {error}\n`mesh-lab status` tells whether it runs.")
    yield api
    api.close()


@pytest.fixture(scope="session")
def mesh_namespaces(
    mesh_api: Api, mesh_namespace_labels: Mapping[str, str], request: pytest.FixtureRequest
) -> Iterator[Namespaces]:
    """Makes namespaces; when the session ends, all of them are gone."""
    from mesh_lab.harness.namespaces import Namespaces

    keep = request.config.getoption("--mesh-keep-namespaces")
    made = Namespaces(mesh_api, LABEL, keep=keep, labels=mesh_namespace_labels)
    yield made
    made.remove_all(GONE_SECONDS)


@pytest.fixture(scope="session")
def mesh_in(
    mesh_api: Api, mesh_echo_image: str, mesh_client_image: str, mesh_version_of: VersionOf | None
) -> Callable[[str], Mesh]:
    """The mesh in any namespace, by its name: `mesh_in("default")`."""
    from mesh_lab.harness.mesh import Mesh
    from mesh_lab.harness.workloads import Images

    images = Images(mesh_echo_image, mesh_client_image)
    return lambda namespace: Mesh(mesh_api, namespace, images, mesh_version_of)


@pytest.fixture
def mesh_namespace(mesh_namespaces: Namespaces, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, with injection by its marker. Its deletion begins when the test ends."""
    name = mesh_namespaces.create(request.node.name, _injection(request))
    yield name
    mesh_namespaces.remove(name)


@pytest.fixture
def mesh(mesh_in: Callable[[str], Mesh], mesh_namespace: str) -> Mesh:
    """The mesh, in a namespace of the test's own."""
    return mesh_in(mesh_namespace)


@pytest.fixture
def mesh_record(request: pytest.FixtureRequest) -> Numbers:
    """Notes numbers that the test has seen, for reports: `mesh_record(requests_count=600, v2_ratio=0.31)`."""
    from mesh_lab.conformance.numbers import Numbers

    return Numbers(request.node.user_properties)


@pytest.fixture(scope="module")
def mesh_shared(
    mesh_in: Callable[[str], Mesh], mesh_namespaces: Namespaces, request: pytest.FixtureRequest
) -> Iterator[Mesh]:
    """The mesh, in a namespace that the tests of a module share: for deployments that none of them changes."""
    name = mesh_namespaces.create(request.node.path.stem, _injection(request))
    yield mesh_in(name)
    mesh_namespaces.remove(name)


@pytest.fixture(scope="session")
def mesh_chaos_seed(request: pytest.FixtureRequest) -> str:
    """The seed of the session's chaos."""
    given: str | None = request.config.getoption("--mesh-chaos-seed")
    if given is not None:
        return given
    import secrets

    return secrets.token_hex(4)


@pytest.fixture
def chaos(
    mesh_api: Api, mesh_chaos_bounds: ChaosBounds, mesh_chaos_seed: str, request: pytest.FixtureRequest
) -> Iterator[Chaos]:
    """Kills and network faults, by a seed and within bounds; all that is left of them ends with the test."""
    from mesh_lab.harness.chaos.chaos import Chaos

    with Chaos(
        mesh_api,
        seed=mesh_chaos_seed,
        test=request.node.nodeid,
        bounds=mesh_chaos_bounds,
        not_shared=_not_shared(request),
        refuse=pytest.skip,
    ) as chaos:
        request.node.stash[_CHAOS] = chaos
        yield chaos


def _not_shared(request: pytest.FixtureRequest) -> str:
    """Why a test must not do what others feel; empty where it may."""
    if request.config.getoption("--mesh-cluster") == "existing":
        return "the cluster is not the lab's (--mesh-cluster existing), and others may need it"
    if request.node.get_closest_marker("mesh_exclusive") is None:
        return "every test of the cluster would feel it: mark this one with @pytest.mark.mesh_exclusive"
    return ""


def _end(config: pytest.Config, why: str) -> NoReturn:
    """End the run. To its controller a worker of pytest-xdist that exits has crashed, so there each test fails."""
    if hasattr(config, "workerinput"):
        pytest.fail(why, pytrace=False)
    pytest.exit(why, returncode=2)


def _injection(request: pytest.FixtureRequest) -> bool:
    marker = request.node.get_closest_marker("mesh_injection")
    return bool(marker.args[0]) if marker else True
