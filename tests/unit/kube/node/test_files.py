"""The files of containers that run for real: their root file system, and volumes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from shlex import quote

import pytest

from tests.unit.kube.node.conftest import ROOT, Node, until
from tests.unit.kube.node.pods import IDLE, Object, container, finished, once, pod_object, ready, restarted, status_of


def config_map(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": data}


def test_a_container_has_its_own_files_and_names(output: Callable[..., str]) -> None:
    text = output("own", "hostname; cat /etc/hosts /etc/resolv.conf; ls /; echo $$$$; id -u; echo > /tmp/writable")
    lines = text.splitlines()
    assert lines[0] == "own"
    assert "nameserver 10.96.0.10" in lines
    assert {"usr", "proc", "tmp", "etc"} <= set(lines)
    assert lines[-2:] == ["1", "0"]  # process 1 of its namespace, root of its image


def test_an_image_of_ones_own_shows_its_folder_and_nothing_beside_it(node: Node) -> None:
    own = {"name": "main", "image": "own/program:1.0"}
    node.run(pod_object("ownprogram", own, restartPolicy="Never"), finished)
    place, *lines = node.output("ownprogram").splitlines()
    node.delete(name="ownprogram", grace=0)
    assert place.endswith("/program")
    # What it sees, nothing of what is in `hidden`, that it may not write, and that nothing is beside it.
    assert lines == ["hidden", "run.sh", "refused", "program"]


def test_the_service_accounts_files_are_mounted(output: Callable[..., str]) -> None:
    script = "cd /var/run/secrets/kubernetes.io/serviceaccount; cat namespace; echo; cat ca.crt; echo; wc -c < token"
    namespace, authority, size = output("account", script).split()
    assert (namespace, authority) == ("default", "AUTHORITY")
    assert int(size) > 200


def test_a_pod_has_one_volume_for_its_token(node: Node) -> None:
    pod = node.run(pod_object("onetoken", container("main", "sh", "-c", IDLE)), ready)
    assert node.volumes(name="onetoken") == [volume["name"] for volume in pod["spec"]["volumes"]]


def test_a_container_cannot_write_to_the_hosts_files(output: Callable[..., str], tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    python = quote(f"{sys.prefix}/mesh-lab-was-here")
    targets = ["/usr/here", "/bin/here", "/usr/lib/here", python, "/etc/ssl/certs/here", "/proc/sys/kernel/here"]
    script = f"""
        for f in {" ".join(targets)}; do echo x > "$f" && echo "wrote $f"; done
        mount -o remount,rw,bind /usr && echo "remounted"
        for f in /etc/passwd /tmp/mesh-lab-was-here {tmp_path}/here /dev/shm/mesh-lab-was-here; do
            mkdir -p $(dirname $f); echo x >> $f || echo "could not write $f"; done
        chmod 777 /etc/hosts; ls {tmp_path}
    """
    passwd = Path("/etc/passwd").read_bytes()
    for number, context in enumerate(({}, {"privileged": True}, {"capabilities": {"add": ["ALL"]}})):
        text = output(f"guest-{number}", f"({script}) 2>/dev/null", securityContext=context)
        assert text.split() == ["here"]  # its own copy of the directory, with the one file that it made
    assert Path("/etc/passwd").read_bytes() == passwd
    assert list(tmp_path.iterdir()) == []
    written = [*targets, "/tmp/mesh-lab-was-here", "/dev/shm/mesh-lab-was-here"]
    assert [path for path in written if Path(path).exists()] == []


def test_variables_and_volumes_come_from_a_config_map(node: Node, output: Callable[..., str]) -> None:
    node.create(obj=config_map("settings", a="1"))
    volumes = [{"name": "settings", "configMap": {"name": "settings"}}, {"name": "scratch", "emptyDir": {}}]
    fields = {
        "env": [
            {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "BOTH", "value": "$(KEY)-$(POD)"},
        ],
        "volumeMounts": [
            {"name": "settings", "mountPath": "/etc/settings"},
            {"name": "scratch", "mountPath": "/var/scratch"},
            {"name": "settings", "mountPath": "/opt/one-file", "subPath": "a"},
        ],
        "spec": {"volumes": volumes},
    }
    script = """
        echo $KEY $BOTH; cat /etc/settings/a; echo; cat /opt/one-file; echo
        echo x > /var/scratch/file; echo y > /etc/settings/a; ls /var/scratch
    """
    assert output("vars", f"({script}) 2>/dev/null", **fields).split() == ["1", "1-vars", "1", "1", "file"]


def test_a_symbolic_link_does_not_lead_a_sub_path_to_the_host(pod: Callable[..., Object], tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    volume = {"name": "v", "mountPath": "/v"}
    plant = container("plant", "ln", "-s", str(tmp_path), "/v/link", volumeMounts=[volume])
    obj = once("planted", "echo x > /v/file", volumeMounts=[{**volume, "subPath": "link"}])
    obj["spec"] |= {"initContainers": [plant], "volumes": [{"name": "v", "emptyDir": {}}]}
    assert status_of(pod(obj, finished))["state"]["terminated"]["reason"] == "StartError"
    assert list(tmp_path.iterdir()) == []


def test_a_volume_above_the_labs_own_files_does_not_hide_them(output: Callable[..., str]) -> None:
    """A lab may be installed below /tmp, where Bookinfo's manifests mount an emptyDir."""
    if ROOT.parent == Path("/"):
        pytest.skip("this checkout has no directory above it that a volume could be mounted at")
    mount = {"name": "v", "mountPath": str(ROOT.parent)}
    fields = {"volumeMounts": [mount], "spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}
    root, python = quote(str(ROOT)), quote(sys.executable)
    script = f"touch {root}/../own && cd {root} && {python} -c 'import mesh_lab; print(mesh_lab.__name__)'"
    assert output("above", script, **fields) == "mesh_lab\n"


def test_a_read_only_volume_above_the_lab_itself_is_reported(node: Node, pod: Callable[..., Object]) -> None:
    """There is no place in it to show the lab's programs at; an emptyDir has one."""
    above = f"/{ROOT.relative_to('/').parts[0]}"
    volumes = [{"name": "v", "downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.name"}}]}}]
    main = container("main", "true", volumeMounts=[{"name": "v", "mountPath": above}])
    done = pod(pod_object("above", main, volumes=volumes, restartPolicy="Never"), finished)
    reported = status_of(done)["state"]["terminated"]["message"]
    assert re.fullmatch(
        rf"mountPath: a read-only volume is mounted above {above}/.+, where the lab itself .*", reported
    )


def test_changes_of_a_config_map_reach_a_running_container(node: Node, pod: Callable[..., Object]) -> None:
    node.create(obj=config_map("live", a="old"))
    # The script ends by itself as soon as it sees the new value.
    obj = once(
        "watching",
        "until grep -q new /m/a; do sleep 0.02; done; cat /m/a",
        volumeMounts=[{"name": "m", "mountPath": "/m"}],
    )
    obj["spec"]["volumes"] = [{"name": "m", "configMap": {"name": "live"}}]
    pod(obj, ready)
    node.change(kind="ConfigMap", name="live", fields={"data": {"a": "new"}})
    assert node.wait("watching", finished)["status"]["phase"] == "Succeeded"


def test_a_pod_waits_for_a_missing_volume_with_an_event(node: Node, pod: Callable[..., Object]) -> None:
    obj = once("patient", "cat /m/a", volumeMounts=[{"name": "m", "mountPath": "/m"}])
    obj["spec"]["volumes"] = [{"name": "m", "configMap": {"name": "late"}}]
    pod(obj, lambda p: p["status"].get("startTime"))
    until(
        lambda: any(
            e["reason"] == "FailedMount" and '"late" not found' in e["message"] for e in node.events(name="patient")
        )
    )
    node.create(obj=config_map("late", a="here"))
    node.wait("patient", finished)
    assert node.output("patient") == "here\n"


@pytest.mark.parametrize("medium", ["", "Memory"])
def test_an_empty_dir_holds_no_more_than_its_size_limit(node: Node, pod: Callable[..., Object], medium: str) -> None:
    name = f"limited{medium.lower()}"
    volumes = [{"name": "v", "emptyDir": {"medium": medium, "sizeLimit": "1Mi"}}]
    main = container("main", "sh", "-c", IDLE, volumeMounts=[{"name": "v", "mountPath": "/v"}])
    pod(pod_object(name, main, volumes=volumes))
    assert node.sh(name, "head -c 500000 /dev/zero > /v/a && stat -c %a /v") == (0, "777\n", "")
    code, _, reported = node.sh(name, "head -c 1000000 /dev/zero > /v/b")
    assert (code, "No space left on device" in reported) == (1, True)
    node.kill_runtime()
    node.wait(name, lambda p: restarted(1)(p) and ready(p))
    assert node.sh(name, "wc -c < /v/a") == (0, "500000\n", "")
    node.delete(name=name, grace=0)
    until(lambda: "size=1024k" not in node.shell(command="cat /proc/mounts"))


def test_the_root_file_system_may_be_read_only_or_limited(output: Callable[..., str]) -> None:
    script = "touch /file 2>/dev/null || echo refused"
    assert output("sealed", script, securityContext={"readOnlyRootFilesystem": True}) == "refused\n"
    script = "dd if=/dev/zero of=/tmp/big bs=1M count=8 2>&1 | grep -o 'No space left' || true"
    assert output("small", script, resources={"limits": {"ephemeral-storage": "4Mi"}}) == "No space left\n"


def test_a_container_has_the_users_groups_and_capabilities_of_its_pod(output: Callable[..., str]) -> None:
    spec = {"securityContext": {"runAsUser": 1337, "runAsGroup": 1337, "fsGroup": 77}}
    assert output("user", "id -u; id -G; echo ok > /dev/stdout", spec=spec).split() == ["1337", "1337", "77", "ok"]
    script = "ip link add d0 type veth peer name d1 2>&1 && echo added || true"
    assert "added" not in output("plain", script)
    assert "added" in output("admin", script, securityContext={"capabilities": {"add": ["NET_ADMIN"]}})
