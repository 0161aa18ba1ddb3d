"""`python -m tests.conformance`: the Gateway API's conformance suite, on a lab of its own (`make conformance`).

It needs Go and, the first time, the module proxy; afterwards the modules are there. The suite runs in the lab's own
network, where each Gateway has an address; for the mesh its namespaces are injected. Reports and logs are
`reports/PROFILE.yaml` and `reports/PROFILE.log`. https://gateway-api.sigs.k8s.io/concepts/conformance/
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from mesh_lab.controlplane.xds.gatewayapi import features

VERSION = "v1.6.3"
API, SUITE = "sigs.k8s.io/gateway-api", "sigs.k8s.io/gateway-api/conformance"
LAB = "conformance"
PROFILES = ("GATEWAY-HTTP", "MESH-HTTP")
_NAMESPACE = "gateway-conformance-infra"
ROOT = Path(__file__).resolve().parents[1]
HOME, REPORTS = ROOT / ".lab-suite", ROOT / "reports"
PORTS = {f"MESH_LAB_{name}_PORT": "0" for name in ("API", "HTTP", "HTTPS", "TCP")}

_MODULE = f"""module suite

go 1.26

require (
	{API} {VERSION}
	{SUITE} {VERSION}
)

replace {API} => {API} {VERSION}
"""
_TEST = f"""package suite

import (
	"testing"

	"{SUITE}"
)

func TestConformance(t *testing.T) {{ conformance.RunConformance(t) }}
"""


def run(*command: str, directory: Path = HOME) -> str:
    """Run a program; its output. What it complains of is shown, and ends this one."""
    done = subprocess.run(command, cwd=directory, env={**os.environ, **PORTS}, stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with exit code {done.returncode}")
    return done.stdout.decode()


def build() -> Path:
    """The suite as a program."""
    if shutil.which("go") is None:
        sys.exit("go is not installed: the suite is a program in Go (1.26 or later)")
    HOME.mkdir(exist_ok=True)
    (HOME / "go.mod").write_text(_MODULE)
    (HOME / "suite_test.go").write_text(_TEST)
    program = HOME / "suite"
    if not program.exists():
        sys.stderr.write("building the suite, which takes a minute or two\n")
        run("go", "mod", "tidy")
        run("go", "test", "-c", "-o", str(program), ".")
    return program


def lab(*arguments: str) -> str:
    """A command of the lab's."""
    return run(str(Path(sys.executable).parent / "mesh-lab"), "--name", LAB, *arguments)


def kubectl(*arguments: str) -> str:
    """A command on the lab's cluster."""
    return run("kubectl", "--kubeconfig", lab("status", "-o", "kubeconfig").strip(), *arguments)


def bring_up() -> None:
    """The lab, with the definitions of the standard channel."""
    lab("up", "--no-samples")
    definitions = run("go", "list", "-m", "-f", "{{.Dir}}", API).strip()
    kubectl("apply", "--server-side", "-f", f"{definitions}/config/crd/standard")
    kubectl("wait", "--for=create", "gatewayclass/istio", "--timeout=30s")
    kubectl("wait", "--for=condition=accepted", "gatewayclass/istio", "--timeout=30s")


def inside() -> list[str]:
    """What a command is preceded by to run in the lab's network."""
    first = int(json.loads(lab("status", "-o", "json"))["pid"])
    own, descendants = Path("/proc/self/ns/net").readlink(), [first]
    for pid in descendants:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        descendants += [int(child) for child in children]
        if Path(f"/proc/{pid}/ns/net").readlink() != own:
            user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
            return ["nsenter", "--target", str(pid), "--net", *user]
    sys.exit("the lab's network is not to be found among its processes")


def kubeconfig() -> Path:
    """The lab's, by the address that the API server has within."""
    address = kubectl("get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}")
    text = Path(lab("status", "-o", "kubeconfig").strip()).read_text()
    found = HOME / "kubeconfig"
    found.write_text(re.sub(r"server: .*", f"server: https://{address}:443", text))
    found.chmod(0o600)
    return found


def move_corefile() -> None:
    """Mount the suite's file for CoreDNS elsewhere: a volume at /root would hide an interpreter that is there."""
    kubectl("-n", _NAMESPACE, "wait", "--for=create", "deployment/coredns", "--timeout=120s")
    container = "/spec/template/spec/containers/0"
    patch = [
        {"op": "replace", "path": f"{container}/volumeMounts/0/mountPath", "value": "/etc/coredns"},
        {"op": "replace", "path": f"{container}/args/1", "value": "/etc/coredns/Corefile"},
    ]
    kubectl("-n", _NAMESPACE, "patch", "deployment/coredns", "--type=json", "-p", json.dumps(patch))


def claimed(*, in_mesh: bool) -> list[str]:
    """What the lab says that it supports, of the mesh or of gateways: what these need is set up only for them."""
    others = "Gateway" if in_mesh else "Mesh"
    return sorted(each for each in features.SUPPORTED if not each.startswith(others))


def judge(program: Path, profile: str, only: str) -> int:
    """Run the suite with one profile; its exit code."""
    log, report = REPORTS / f"{profile}.log", REPORTS / f"{profile}.yaml"
    in_mesh = profile.startswith("MESH")
    command = [
        *inside(),
        str(program),
        "-test.v",
        "-test.timeout=40m",
        "-gateway-class=istio",
        f"-conformance-profiles={profile}",
        f"-supported-features={','.join(claimed(in_mesh=in_mesh))}",
        f"-namespace-labels={'istio-injection=enabled' if in_mesh else ''}",
        f"-run-test={only}",
        f"-report-output={report}",
        *(f"-{name}=mesh-lab" for name in ("organization", "project", "contact")),
        "-url=https://example.invalid",
        "-version=unreleased",
    ]
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig())}
    started = time.monotonic()
    with log.open("w") as stream:
        suite = subprocess.Popen(command, env=environment, stdout=stream, stderr=subprocess.STDOUT)
        if not in_mesh and Path(sys.base_prefix).is_relative_to("/root"):
            move_corefile()
        code = suite.wait()
    sys.stdout.write(summary(log.read_text(), time.monotonic() - started, log, report) + "\n")
    return code


def main() -> int:
    """Run the suite; 0 when all has passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--profile", action="append", help=f"one of the suite's; by default {' and '.join(PROFILES)}")
    parser.add_argument("--run-test", default="", metavar="NAME", help="one test of the suite, instead of all")
    parser.add_argument("--keep", action="store_true", help="leave the lab up")
    options = parser.parse_args()
    program = build()
    REPORTS.mkdir(exist_ok=True)
    try:
        bring_up()
        codes = [judge(program, profile, options.run_test) for profile in options.profile or PROFILES]
    finally:
        if not options.keep:
            lab("reset")
    return max(codes)


def summary(text: str, seconds: float, log: Path, report: Path) -> str:
    """What passed, and what failed by name."""
    failed = re.findall(r"^    --- FAIL: TestConformance/(\w+)", text, re.MULTILINE)
    passed = re.findall(r"^    --- PASS: TestConformance/(\w+)", text, re.MULTILINE)
    told = f"{report.stem}: {len(passed)} passed, {len(failed)} failed in {seconds:.0f} s; {report}, {log}"
    return "\n".join([*(f"FAILED {name}" for name in failed), told])


if __name__ == "__main__":
    sys.exit(main())
