"""The plugin in other people's projects: what they redefine, what they knew by another name, how workers share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
    import json, os, pathlib
    import pytest

    class Cluster:
        'Stands in for the API: notes what is made, in a file that all processes share.'
        log = pathlib.Path(__file__).with_name("made.jsonl")
        def create(self, obj):
            return self.apply(obj)
        def apply(self, obj):
            with self.log.open("a") as file:
                file.write(json.dumps(obj) + "\\n")
            return obj
        def path(self, *parts): return "/".join(parts)
        def wait_until(self, *args, **options): return {}
        def delete(self, ref): pass

    @pytest.fixture(scope="session")
    def mesh_api():
        return Cluster()
"""


@pytest.fixture(autouse=True)
def only_what_is_needed(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other plugins of this environment take their time to load. (pytester clears the environment first.)"""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p mesh_lab.harness.plugin -p xdist.plugin -p no:cacheprovider")
    monkeypatch.delenv("KUBECONFIG", raising=False)


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project whose cluster is a stand-in."""
    pytester.makeconftest(CONFTEST)
    return pytester


def made(project: pytest.Pytester, kind: str) -> list[Any]:
    objects = [json.loads(line) for line in (project.path / "made.jsonl").read_text().splitlines()]
    return [obj for obj in objects if obj["kind"] == kind]


def images(project: pytest.Pytester) -> set[str]:
    pods = [deployment["spec"]["template"]["spec"] for deployment in made(project, "Deployment")]
    return {container["image"] for pod in pods for container in pod["containers"]}


DEPLOYS = """
    from mesh_lab.testing import Mesh

    def test_it(mesh: Mesh):
        mesh.deploy_echo()
        mesh.deploy_client()
"""


def test_without_a_conftest_of_its_own_a_project_has_the_labs_images(project: pytest.Pytester) -> None:
    project.makepyfile(DEPLOYS)
    project.runpytest_inprocess().assert_outcomes(passed=1)
    assert images(project) == {"mesh-lab/apps"}
    (namespace,) = made(project, "Namespace")
    assert namespace["metadata"]["labels"].keys() == {"mesh-lab/test", "istio-injection"}


def test_a_project_redefines_images_labels_and_where_the_version_stands(project: pytest.Pytester) -> None:
    project.makepyfile(
        DEPLOYS
        + """
        assert mesh.client()._version_of.headers == ("x-version",)
    """
    )
    more = """
    from mesh_lab.testing import by_header

    @pytest.fixture(scope="session")
    def mesh_echo_image(): return "registry.test/echo:1"

    @pytest.fixture(scope="session")
    def mesh_client_image(): return "registry.test/client:2"

    @pytest.fixture(scope="session")
    def mesh_namespace_labels(): return {"team": "shop", "istio.io/rev": "canary"}

    @pytest.fixture(scope="session")
    def mesh_version_of(): return by_header("x-version")
    """
    project.makeconftest(CONFTEST + more)
    project.runpytest_inprocess().assert_outcomes(passed=1)
    assert images(project) == {"registry.test/echo:1", "registry.test/client:2"}
    (namespace,) = made(project, "Namespace")
    labels = namespace["metadata"]["labels"]
    assert labels.keys() == {"mesh-lab/test", "team", "istio.io/rev"}, "beside `istio-injection` a revision is ignored"


def test_markers_say_whether_there_is_injection_and_which_clusters_a_test_is_about(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.mesh_injection(False)

        def test_without_sidecars(mesh_shared): pass

        @pytest.mark.mesh_clusters("kind")
        def test_of_kind(mesh): pass
        """
    )
    project.runpytest_inprocess("--strict-markers").assert_outcomes(passed=1, skipped=1)
    assert {n["metadata"]["labels"]["istio-injection"] for n in made(project, "Namespace")} == {"disabled"}
    project.runpytest_inprocess("--strict-markers", "--mesh-cluster", "kind").assert_outcomes(passed=2)


OLD = """
    import pytest

    pytestmark = pytest.mark.injection(False)

    @pytest.mark.clusters("kind")
    def test_markers(mesh): pass

    def test_fixtures(kube, namespaces, namespace, shared_mesh, mesh):
        assert (kube, namespace) == (mesh.api, mesh.namespace)
        assert shared_mesh.namespace != namespace
"""


def test_the_old_names_work_and_warn(project: pytest.Pytester) -> None:
    project.makepyfile(OLD)
    result = project.runpytest_inprocess("--strict-markers", "--cluster", "kind", "--keep-namespaces")
    result.assert_outcomes(passed=2, warnings=8)
    report = result.stdout.str()
    renamed = {
        "option": {"--cluster": "--mesh-cluster", "--keep-namespaces": "--mesh-keep-namespaces"},
        "marker": {"injection": "mesh_injection", "clusters": "mesh_clusters"},
        "fixture": {
            "kube": "mesh_api",
            "namespaces": "mesh_namespaces",
            "namespace": "mesh_namespace",
            "shared_mesh": "mesh_shared",
        },
    }
    for what, names in renamed.items():
        for old, new in names.items():
            assert f"DeprecationWarning: mesh-lab: the {what} {old} is named {new} now" in report
    assert {n["metadata"]["labels"]["istio-injection"] for n in made(project, "Namespace")} == {"disabled"}


def test_an_option_that_another_plugin_has_is_left_to_it(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p cloud -p mesh_lab.harness.plugin")
    project.makepyfile(cloud="def pytest_addoption(parser): parser.addoption('--cluster', default='moon')")
    project.makepyfile("def test_it(pytestconfig): assert pytestconfig.getoption('--cluster') == 'moon'")
    project.syspathinsert()
    project.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_project_without_a_cluster_reads_how_to_have_one(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(DEPLOYS)
    for options in ((), ("-n", "1")):
        result = pytester.runpytest_subprocess(*options)
        assert result.ret != 0
        assert "there is no cluster" in result.stdout.str() + result.stderr.str()
        assert "`mesh-lab up` brings one up" in result.stdout.str() + result.stderr.str()


def test_an_assertion_that_fails_shows_the_line_of_the_test(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        from mesh_lab.testing import Result, Results, assert_split

        def test_it():
            assert_split(Results([Result(200, 0, 1, version="v3")]), {"v1": 1})
        """
    )
    report = project.runpytest_inprocess().stdout.str()
    assert ">       assert_split(Results" in report
    assert "served by something else: 1 × v3" in report
    assert "harness/assertions.py" not in report


def test_pytest_kubernetes_has_the_cluster_of_a_project_that_wants_it_to(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p mesh_lab.harness.plugin -p pytest_kubernetes.plugin")
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session")
        def k8s_manager(mesh_cluster_manager): return mesh_cluster_manager
        """
    )
    pytester.makepyfile("def test_it(k8s): assert k8s.kubeconfig.read_text() == 'apiVersion: v1'")
    pytester.path.joinpath("kubeconfig").write_text("apiVersion: v1")
    pytester.runpytest_inprocess("--mesh-kubeconfig=kubeconfig").assert_outcomes(passed=1)
    assert pytester.path.joinpath("kubeconfig").is_file(), "pytest-kubernetes deletes the kubeconfig that it is given"


SHARED = """
    import json, os, pathlib, time
    import pytest

    LOG = pathlib.Path(__file__).with_name("runs.jsonl")

    def note(what, mesh):
        begun = time.monotonic()
        time.sleep(0.15)
        entry = {"what": what, "begun": begun, "ended": time.monotonic(), "namespace": mesh.namespace,
                 "worker": os.environ["PYTEST_XDIST_WORKER"]}
        with LOG.open("a") as file:
            file.write(json.dumps(entry) + "\\n")

    @pytest.mark.parametrize("n", range(6))
    def test_beside_others(mesh, n):
        note("shared", mesh)

    @pytest.mark.mesh_exclusive
    @pytest.mark.parametrize("n", range(2))
    def test_alone(mesh, n):
        note("exclusive", mesh)
"""


def test_workers_have_namespaces_of_their_own_and_an_exclusive_test_has_the_cluster(
    project: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    project.makepyfile(SHARED)
    project.runpytest_subprocess("-n", "2").assert_outcomes(passed=8)
    runs = [json.loads(line) for line in (project.path / "runs.jsonl").read_text().splitlines()]
    assert {run["worker"] for run in runs} == {"gw0", "gw1"}
    assert len({run["namespace"] for run in runs}) == 8
    labels = {n["metadata"]["labels"]["mesh-lab/test"] for n in made(project, "Namespace")}
    assert len(labels) == 2, "each worker knows its own by their label"

    def overlap(one: Any, other: Any) -> bool:
        return bool(one["begun"] < other["ended"] and other["begun"] < one["ended"])

    pairs = [(a, b) for i, a in enumerate(runs) for b in runs[:i] if overlap(a, b)]
    assert pairs, "tests that are not exclusive run beside each other"
    assert not [pair for pair in pairs if "exclusive" in {run["what"] for run in pair}]
    assert not list(tmp_path.glob("mesh-lab-turns-*")), "the locks' directory is gone"


def test_a_failure_shows_the_seed_and_the_log_of_its_chaos_and_the_seed_makes_the_same_choices(
    project: pytest.Pytester,
) -> None:
    project.makepyfile("""
        from mesh_lab.testing import Chaos

        def test_it(chaos: Chaos):
            chaos.log.add(f"chose {chaos.any_of(range(10**9))}")
            assert False, "on purpose"
    """)
    first = project.runpytest_subprocess()
    first.stdout.fnmatch_lines(["*- chaos -*", "--mesh-chaos-seed=*", "* chose *"])
    seed = next(line for line in first.outlines if line.startswith("--mesh-chaos-seed="))
    again = project.runpytest_subprocess(seed)
    chosen = [next(line for line in run.outlines if " chose " in line).split()[-1] for run in (first, again)]
    assert chosen[0] == chosen[1]


def test_chaos_that_a_cluster_cannot_do_skips_its_test_with_the_reason(project: pytest.Pytester) -> None:
    project.makepyfile("""
        from mesh_lab.testing import Chaos, ChaosUnsupported

        def test_it(chaos: Chaos, monkeypatch):
            def no_faults(*args):
                raise ChaosUnsupported("no such node")
            monkeypatch.setattr("mesh_lab.harness.chaos.chaos.NetworkFault", no_faults)
            pod = {"metadata": {"name": "web", "namespace": "shop"}, "status": {"podIPs": []}}
            chaos.partition(pod)
    """)
    project.runpytest_subprocess("-rs").stdout.fnmatch_lines(["SKIPPED*no such node"])


@pytest.mark.parametrize(
    ("marker", "option", "why"),
    [
        ("mesh_injection(True)", "embedded", "*mesh_exclusive*"),
        ("mesh_exclusive", "existing", "*not the lab's*"),
        ("mesh_exclusive", "embedded", "*no pod of istiod*"),
    ],
)
def test_what_all_tests_share_is_killed_by_an_exclusive_test_on_a_cluster_of_the_labs(
    project: pytest.Pytester, marker: str, option: str, why: str
) -> None:
    project.makepyfile(f"""
        import pytest
        from mesh_lab.testing import Chaos

        @pytest.mark.{marker}
        def test_it(chaos: Chaos, mesh_api, monkeypatch):
            monkeypatch.setattr(mesh_api, "list_all", lambda *args: [], raising=False)
            chaos.kill_istiod()
    """)
    project.runpytest_subprocess(f"--mesh-cluster={option}").stdout.fnmatch_lines([f"E*{why}"])


def test_a_projects_own_fixture_chaos_takes_the_place_of_the_plugins(project: pytest.Pytester) -> None:
    project.makepyfile("""
        import pytest

        @pytest.fixture
        def chaos():
            return "monkeys"

        def test_it(chaos):
            assert chaos == "apes"
    """)
    result = project.runpytest_subprocess()
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    result.stdout.no_fnmatch_line("*--mesh-chaos-seed*")
