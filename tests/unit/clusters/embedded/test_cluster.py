"""The host process and how it is found, against a stand-in of the kube process: namespaces, signals, locks are real."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest

from mesh_lab.clusters.embedded import namespaces, ports, record
from mesh_lab.clusters.embedded.cluster import EmbeddedCluster
from mesh_lab.errors import LabError
from mesh_lab.settings import HostPort, Lab, Ports, Settings, Timeouts

STANDIN = Path(__file__).with_name("standin_kube.py")
PATIENCE_S = 10

pytestmark = pytest.mark.skipif(
    bool(namespaces.obstacles()), reason=f"no namespaces here: {[o.what for o in namespaces.obstacles()]}"
)

Make = Callable[..., EmbeddedCluster]


def ignore(_text: str) -> None:
    """Take progress and drop it."""


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[EmbeddedCluster] = []

    def cluster(behaviour: str = "ready", *, name: str = "lab", **settings: object) -> EmbeddedCluster:
        changes = {"ports": Ports(api=0, http=0, https=0), "timeouts": Timeouts(cluster=20, stop=2)} | settings
        lab = Lab(msgspec.structs.replace(Settings(name=name), **changes), tmp_path)
        command = (sys.executable, "-S", str(STANDIN), behaviour, "--config-fd", "{config_fd}")
        made.append(EmbeddedCluster(lab, os.environ, command))
        return made[-1]

    yield cluster
    for each in made:
        each.down(ignore)


def namespace_of(pid: int, kind: str = "pid") -> str:
    return str(Path(f"/proc/{pid}/ns/{kind}").readlink())


def members(namespace: str) -> set[int]:
    """The processes that are in a namespace."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if namespace_of(int(entry.name)) == namespace and record.started(int(entry.name)) is not None:
                found.add(int(entry.name))
    return found


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.01)


def kube_of(host: int) -> int:
    """The kube process: the child of `unshare`, which is the host process' only child."""
    (starter,) = record.children(host)
    (kube,) = record.children(starter)
    return kube


def get(port: int, host: str = "127.0.0.1") -> bytes:
    with socket.create_connection((host, port), timeout=PATIENCE_S) as connection:
        return connection.recv(64)


def test_a_lab_comes_up_is_found_and_goes_down_gracefully(make: Make, tmp_path: Path) -> None:
    cluster = make()
    lines: list[str] = []
    assert cluster.up(lines.append) is True
    assert lines == ["making certificates"]
    status = cluster.status()
    assert status.phase == "ready"
    assert status.pid is not None
    assert os.getsid(status.pid) == status.pid
    namespace = namespace_of(kube_of(status.pid))
    assert namespace != namespace_of(os.getpid())

    assert cluster.up(ignore) is False
    assert cluster.status().pid == status.pid

    assert cluster.down(ignore) is True
    assert (tmp_path / ".lab" / "stopped-gracefully").exists()
    assert not (tmp_path / ".lab" / "lab.json").exists()
    assert members(namespace) == set()
    assert cluster.status().phase == "stopped"
    assert cluster.down(ignore) is False


def test_the_kube_process_gets_its_configuration_and_sockets(make: Make, tmp_path: Path) -> None:
    cluster = make(host_ports=[HostPort(namespace="default", service="echo", port=80, host_port=free_port())])
    cluster.up(ignore)
    config = json.loads((tmp_path / ".lab" / "config.json").read_text())
    ports = cluster.status().ports
    assert config["name"] == "lab"
    assert config["api_port"] == ports["api"]
    assert [(e["namespace"], e["service"], e["port"], e["host_port"]) for e in config["host_ports"]] == [
        ("istio-system", "istio-ingressgateway", 80, ports["http"]),
        ("istio-system", "istio-ingressgateway", 443, ports["https"]),
        ("default", "echo", 80, ports["host_ports[0]"]),
    ]
    replies = json.loads((tmp_path / ".lab" / "listen.json").read_text())
    assert replies == [{"ok": True, "port": entry["host_port"]} for entry in config["host_ports"] for _ in range(2)]
    for port in ports.values():
        assert get(port).startswith(b"HTTP/1.1 200"), port
    for entry in config["host_ports"]:
        assert get(entry["host_port"], "127.80.0.1").startswith(b"HTTP/1.1 200"), "another address, the same number"


def test_the_kube_process_gives_large_blocks_of_memory_back(make: Make) -> None:
    cluster = make()
    cluster.up(ignore)
    processes = psutil.Process(cluster.status().pid).children(recursive=True)
    kube = next(process for process in processes if process.cmdline()[0] == sys.executable)
    assert int(kube.environ()["MALLOC_MMAP_THRESHOLD_"]) <= 128 * 1024


def test_containers_may_read_what_the_kube_process_makes_for_them(make: Make, tmp_path: Path) -> None:
    strict = os.umask(0o077)
    try:
        make().up(ignore)
    finally:
        os.umask(strict)
    assert (tmp_path / ".lab" / "config.json").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / ".lab").stat().st_mode & 0o777 == 0o700


def test_the_kube_process_has_a_network_of_its_own(make: Make) -> None:
    before = Path("/proc/net/dev").read_text()
    mounts = Path("/proc/self/mountinfo").read_text()
    cluster = make()
    cluster.up(ignore)
    pid = cluster.status().pid
    assert pid is not None
    assert namespace_of(kube_of(pid), "net") != namespace_of(os.getpid(), "net")
    assert "pod0" in Path(f"/proc/{kube_of(pid)}/net/dev").read_text()
    assert names(before) == names(Path("/proc/net/dev").read_text())
    assert mounts == Path("/proc/self/mountinfo").read_text()


def names(table: str) -> list[str]:
    return [line.split(":")[0].strip() for line in table.splitlines()[2:]]


@pytest.mark.parametrize("victim", ["host", "starter", "kube"])
def test_nothing_is_left_whichever_process_is_killed(make: Make, victim: str) -> None:
    cluster = make()
    cluster.up(ignore)
    host = cluster.status().pid
    assert host is not None
    (starter,) = record.children(host)
    kube = kube_of(host)
    namespace = namespace_of(kube)
    assert len(members(namespace)) >= 2
    os.kill({"host": host, "starter": starter, "kube": kube}[victim], signal.SIGKILL)
    eventually(lambda: not members(namespace), "the namespace is empty")
    eventually(lambda: record.started(host) is None, "the host process has ended")
    eventually(lambda: not cluster.status().running, "the lab is seen to have stopped")
    assert cluster.up(ignore) is True


def test_nothing_is_left_of_a_start_killed_at_any_moment(make: Make) -> None:
    """The host process is killed ever later, from before it starts anything until it is ready."""
    cluster = make()
    cluster.up(ignore)
    cluster.down(ignore)
    stages = 12
    for stage in range(stages):
        starting = threading.Thread(target=try_up, args=(cluster,))
        starting.start()
        eventually(lambda: cluster.status().running, "it has started")
        time.sleep(stage * 0.004)
        pid = cluster.status().pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        starting.join(PATIENCE_S)
        assert not starting.is_alive()
        eventually(lambda: not standins(cluster), f"no process is left at stage {stage}")
    assert cluster.up(ignore) is True


def try_up(cluster: EmbeddedCluster) -> None:
    with contextlib.suppress(LabError):
        cluster.up(ignore)


def standins(cluster: EmbeddedCluster) -> set[int]:
    """Processes whose log is this cluster's: the host process and all that it started."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "fd" / "2").readlink() == cluster.log and record.started(int(entry.name)) is not None:
                found.add(int(entry.name))
    return found


def test_a_kube_process_that_will_not_end_is_killed(make: Make) -> None:
    cluster = make("stubborn", timeouts=Timeouts(cluster=20, stop=1))
    cluster.up(ignore)
    pid = cluster.status().pid
    assert pid is not None
    namespace = namespace_of(kube_of(pid))
    assert cluster.down(ignore) is True
    assert members(namespace) == set()
    assert "did not end in time" in cluster.log.read_text()


def test_the_output_of_a_kube_process_that_ends_too_early_is_shown(make: Make) -> None:
    cluster = make("crash")
    with pytest.raises(LabError) as failure:
        cluster.up(ignore)
    assert "exit code 3" in failure.value.message
    assert "the journal is damaged: page 7" in failure.value.message
    assert str(cluster.log) in failure.value.hint
    assert cluster.status().phase == "stopped"
    assert standins(cluster) == set()


def test_a_start_that_takes_too_long_is_given_up(make: Make) -> None:
    cluster = make("hang", timeouts=Timeouts(cluster=1, stop=1))
    with pytest.raises(LabError, match="not ready after 1 s"):
        cluster.up(ignore)
    assert standins(cluster) == set()


def test_an_interrupted_start_ends_what_it_started(make: Make) -> None:
    cluster = make("hang")

    def interrupt(_text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cluster.up(interrupt)
    assert standins(cluster) == set()
    assert not (cluster.log.parent / "lab.json").exists()


@pytest.mark.parametrize("label", ["api", "http", "https"])
def test_the_holder_of_a_port_in_use_is_named(make: Make, label: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        cluster = make(ports=Ports(**({"api": 0, "http": 0, "https": 0} | {label: port})))
        with pytest.raises(LabError) as failure:
            cluster.up(ignore)
    assert f"port {port} is in use" in failure.value.message
    assert f"(pid {os.getpid()})" in failure.value.message
    assert f"MESH_LAB_{label.upper()}_PORT" in failure.value.hint
    assert standins(cluster) == set()


def test_the_lab_that_has_a_port_is_named(make: Make, tmp_path: Path) -> None:
    """Its sockets are in `unshare` and in a Python, which nobody would recognise."""
    other = make(name="other")
    other.up(ignore)
    status = other.status()
    for label in ("api", "http"):
        port = status.ports[label]
        with pytest.raises(LabError) as failure:
            make(ports=Ports(**({"api": 0, "http": 0, "https": 0} | {label: port}))).up(ignore)
        place = f"the lab 'other' in {tmp_path}/.lab-other (first process {status.pid})"
        assert failure.value.message == f"port {port} is in use: {place} listens on it"


def test_two_labs_run_side_by_side(make: Make, tmp_path: Path) -> None:
    one, two = make(), make(name="two")
    assert one.up(ignore)
    assert two.up(ignore)
    assert one.status().pid != two.status().pid
    one.down(ignore)
    assert two.status().phase == "ready"
    assert (tmp_path / ".lab-two" / "lab.json").exists()


def test_of_two_concurrent_ups_only_one_starts_the_lab(make: Make) -> None:
    clusters = [make(), make()]
    results: list[bool] = []

    def start(cluster: EmbeddedCluster) -> None:
        results.append(cluster.up(ignore))

    threads = [threading.Thread(target=start, args=(cluster,)) for cluster in clusters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert sorted(results) == [False, True]


def test_ports_that_differ_from_the_running_labs_are_reported(make: Make) -> None:
    make().up(ignore)
    port = free_port()
    lines: list[str] = []
    assert make(ports=Ports(api=0, http=port, https=0)).up(lines.append) is False
    assert len(lines) == 1
    assert f"for port {port}, `mesh-lab down` first" in lines[0]


def test_reset_keeps_the_tools_that_were_installed(make: Make, tmp_path: Path) -> None:
    tool = tmp_path / ".lab" / "bin" / "kind"
    tool.parent.mkdir(parents=True)
    tool.touch()
    cluster = make()
    assert cluster.reset(ignore) is False
    cluster.up(ignore)
    assert cluster.reset(ignore) is True
    assert list((tmp_path / ".lab").rglob("*")) == [tool.parent, tool]
    assert cluster.reset(ignore) is False


def test_reset_deletes_the_state_and_nothing_else(make: Make, tmp_path: Path) -> None:
    cluster = make()
    cluster.up(ignore)
    (tmp_path / ".lab" / "journal.db").write_text("precious")
    cluster.down(ignore)
    assert (tmp_path / ".lab" / "journal.db").exists()
    cluster.up(ignore)
    assert cluster.reset(ignore) is True
    assert not (tmp_path / ".lab").exists()
    assert cluster.reset(ignore) is False
    foreign = tmp_path / ".lab"
    foreign.mkdir()
    (foreign / "thesis.tex").touch()
    with pytest.raises(LabError, match="does not look like a lab's state"):
        cluster.reset(ignore)
    assert (foreign / "thesis.tex").exists()


def test_a_state_directory_that_cannot_be_made_is_named(make: Make, tmp_path: Path) -> None:
    (tmp_path / ".lab").write_text("a file")
    with pytest.raises(LabError, match=r"cannot write to .*\.lab"):
        make().up(ignore)


def test_a_lab_of_another_user_is_reported_and_left_as_it_is(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = make()
    cluster.up(ignore)
    with monkeypatch.context() as other:
        other.setattr(os, "access", lambda *_: False)
        other.setattr(os, "geteuid", lambda: 4294967000)
        owner = ports.user((tmp_path / ".lab").stat().st_uid)
        for ask in (
            cluster.status,
            lambda: cluster.up(ignore),
            lambda: cluster.down(ignore),
            lambda: cluster.reset(ignore),
        ):
            with pytest.raises(LabError, match=re.escape(f"the state in {tmp_path}/.lab is that of {owner}")):
                ask()
    assert cluster.status().phase == "ready"


def test_a_record_with_the_process_id_of_another_process_is_ignored(make: Make, tmp_path: Path) -> None:
    (tmp_path / ".lab").mkdir()
    ticks = record.started(os.getpid())
    assert ticks is not None
    stale = {"pid": os.getpid(), "start_ticks": ticks - 1, "phase": "ready", "ports": {}}
    (tmp_path / ".lab" / "lab.json").write_text(json.dumps(stale))
    assert make().status().phase == "stopped"


def test_the_host_process_stays_small(make: Make) -> None:
    cluster = make()
    cluster.up(ignore)
    rollup = Path(f"/proc/{cluster.status().pid}/smaps_rollup").read_text()
    rss = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Rss:"))
    assert rss < 15_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_damaged_journal_is_recovered_while_the_lab_is_down_and_its_files_are_kept(
    make: Make, tmp_path: Path
) -> None:
    cluster = make()
    cluster.up(ignore)
    with pytest.raises(LabError, match="the lab is running"):
        cluster.recover()
    cluster.down(ignore)
    (tmp_path / ".lab" / "journal.db").write_text("no journal")
    lines = cluster.recover()
    assert "is damaged" in lines[0]
    assert "kept: 0 objects" in lines
    assert [path.name for path in (tmp_path / ".lab").glob("damaged-*/*")] == ["journal.db"]


def test_a_package_mesh_lab_in_the_current_directory_is_not_imported(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "project"
    (odd / "mesh_lab").mkdir(parents=True)
    (odd / "mesh_lab" / "__init__.py").write_text("raise SystemExit('this is another lab')\n")
    monkeypatch.chdir(odd)
    cluster = make()
    assert cluster.up(ignore) is True
    assert cluster.down(ignore) is True
