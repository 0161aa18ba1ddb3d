"""`python -m tests.conformance`: the Gateway API's conformance suite, on a lab of its own (`make conformance`).

It needs Go and, the first time, the module proxy; afterwards the modules are there. The suite runs in the lab's own
network, where each Gateway has an address. Gateways and the mesh are judged at a time, by two processes, whose reports
become one: `reports/gateway-api.yaml`, and `reports/gateway-api-*.log`.
https://gateway-api.sigs.k8s.io/concepts/conformance/
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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from mesh_lab.controlplane.xds.gatewayapi import features

VERSION = "v1.6.3"
API, SUITE = "sigs.k8s.io/gateway-api", "sigs.k8s.io/gateway-api/conformance"
LAB = "conformance"
PROFILES = (
    "GATEWAY-HTTP",
    "GATEWAY-GRPC",
    "GATEWAY-TLS",
    "GATEWAY-TCP",
    "GATEWAY-UDP",
    "MESH-HTTP",
    "MESH-GRPC",
)
USABLE, UNUSABLE = "127.80.255.1", "192.0.2.1"
"""An address of load balancers that no Service has, and one that is nobody's (RFC 5737)."""
CHANNEL = "experimental"
"""Of the definitions: it has all fields of the standard channel, and retries."""
_NAMESPACE = "gateway-conformance-infra"
ROOT = Path(__file__).resolve().parents[1]
HOME, REPORTS = ROOT / ".lab-suite", ROOT / "reports"
REPORT = REPORTS / "gateway-api.yaml"
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
    """The lab, with the definitions."""
    lab("up", "--no-samples")
    definitions = run("go", "list", "-m", "-f", "{{.Dir}}", API).strip()
    files = sorted(Path(definitions, "config", "crd", CHANNEL).glob("gateway.networking.*.yaml"))
    kubectl("apply", "--server-side", *(f"--filename={each}" for each in files))
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


class Part(NamedTuple):
    """Profiles that are judged in one go: those of gateways, or those of the mesh, whose namespaces are injected.

    What only the others need is not set up.
    """

    name: str
    profiles: tuple[str, ...]
    labels: str = ""

    @property
    def log(self) -> Path:
        """What the suite says."""
        return REPORTS / f"gateway-api-{self.name}.log"

    @property
    def report(self) -> Path:
        """The suite's report of this part."""
        return HOME / f"{self.name}.yaml"

    @property
    def features(self) -> list[str]:
        """What the lab says that it supports, without what is the other part's."""
        others = "Gateway" if self.name == "mesh" else "Mesh"
        return sorted(each for each in features.SUPPORTED if not each.startswith(others))


def parts_of(profiles: Sequence[str]) -> list[Part]:
    """The parts that there is something to do for."""
    gateways = tuple(each for each in profiles if not each.startswith("MESH"))
    mesh = tuple(each for each in profiles if each.startswith("MESH"))
    parts = [Part("gateway", gateways), Part("mesh", mesh, "istio-injection=enabled")]
    return [part for part in parts if part.profiles]


def start(program: Path, part: Part, only: str, config: Path) -> subprocess.Popen[bytes]:
    """Begin to judge a part."""
    part.report.unlink(missing_ok=True)
    command = [
        *inside(),
        str(program),
        "-test.v",
        "-test.timeout=40m",
        "-gateway-class=istio",
        f"-usable-address={USABLE}",
        f"-unusable-address={UNUSABLE}",
        f"-conformance-profiles={','.join(part.profiles)}",
        f"-supported-features={','.join(part.features)}",
        f"-namespace-labels={part.labels}",
        f"-run-test={only}",
        f"-report-output={part.report}",
        *(f"-{name}=mesh-lab" for name in ("organization", "project", "contact")),
        "-url=https://example.invalid",
        "-version=unreleased",
    ]
    with part.log.open("w") as stream:
        environment = {**os.environ, "KUBECONFIG": str(config)}
        return subprocess.Popen(command, env=environment, stdout=stream, stderr=subprocess.STDOUT)


def judge(program: Path, profiles: Sequence[str], only: str) -> int:
    """Run the suite with some profiles, both parts at a time: they have namespaces of their own. Its exit code."""
    parts, config, began = parts_of(profiles), kubeconfig(), time.monotonic()
    running = [start(program, part, only, config) for part in parts]
    if parts[0].name == "gateway" and Path(sys.base_prefix).is_relative_to("/root"):
        move_corefile()
    codes = [each.wait() for each in running]
    report = joined([part.report for part in parts])
    REPORT.write_text(yaml.safe_dump(report, sort_keys=False))
    text = "".join(part.log.read_text() for part in parts)
    sys.stdout.write(summary(text, time.monotonic() - began, report) + "\n")
    return max(codes)


def joined(reports: Sequence[Path]) -> dict[str, Any]:
    """The reports of the parts as one: they differ in the profiles only."""
    if missing := [str(report) for report in reports if not report.exists()]:
        sys.exit(f"the suite ended without {', '.join(missing)}: see {REPORTS}/gateway-api-*.log")
    found = [yaml.safe_load(report.read_text()) for report in reports]
    return {**found[0], "profiles": [profile for each in found for profile in each["profiles"]]}


def main() -> int:
    """Run the suite; 0 when all has passed."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--profile", action="append", help=f"one of the suite's; by default {', '.join(PROFILES)}")
    parser.add_argument("--run-test", default="", metavar="NAME", help="one test of the suite, instead of all")
    parser.add_argument("--keep", action="store_true", help="leave the lab up")
    options = parser.parse_args()
    program = build()
    REPORTS.mkdir(exist_ok=True)
    try:
        bring_up()
        return judge(program, tuple(options.profile or PROFILES), options.run_test)
    finally:
        if not options.keep:
            lab("reset")


def summary(text: str, seconds: float, report: Mapping[str, Any]) -> str:
    """What passed, and what failed by name."""
    failed = re.findall(r"^    --- FAIL: TestConformance/(\w+)", text, re.MULTILINE)
    passed = re.findall(r"^    --- PASS: TestConformance/(\w+)", text, re.MULTILINE)
    profiles = ", ".join(_verdict(each) for each in report["profiles"])
    told = f"{len(passed)} passed, {len(failed)} failed in {seconds:.0f} s; {profiles}; {REPORT}"
    return "\n".join([*(f"FAILED {name}" for name in failed), told])


def _verdict(profile: Mapping[str, Any]) -> str:
    told = (f"{part} {profile[part]['result']}" for part in ("core", "extended") if part in profile)
    return f"{profile['name']} ({', '.join(told)})"


if __name__ == "__main__":
    sys.exit(main())
