"""The first program of a virtual machine: the redirection, Envoy and, once that is ready, the user's own program.

It does what `istio-start.sh` and Istio's agent do on a real one. Envoy's log, and this program's, go to standard error,
so that standard output is the user's. As process 1 of the machine it reaps orphans, and its end ends all the others.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NoReturn

from mesh_lab.controlplane.injection import bootstrap, machinesettings, redirection
from mesh_lab.controlplane.injection.bootstrap import PROXY_UID, READY_PORT
from mesh_lab.controlplane.injection.machinesettings import MachineFileError, MachineProxy
from mesh_lab.controlplane.trust.root import ROOT_KEY

_LIMIT = "MACHINE_WAIT_SECONDS"
_READY_EVERY = 0.05
_AGAIN_SECONDS = 1.0
_ASKED_WRONGLY = 2
_PROBER = "mesh_lab.controlplane.injection.machineprobe"
_AS_PROXY: Mapping[str, Any] = {"user": PROXY_UID, "group": PROXY_UID, "extra_groups": []}


def main() -> NoReturn:
    """Run until the user's program ends, with its exit code; without one, for ever.

    Raises:
        SystemExit: 2 when a file makes no sense, 1 when the proxy does not become ready in time.
    """
    try:
        proxy = _prepared(os.environ["MACHINE_NAME"], os.environ["MACHINE_ADDRESS"])
    except (MachineFileError, OSError) as error:
        _say(str(error))
        raise SystemExit(_ASKED_WRONGLY) from None
    run = Running(proxy)
    limit = float(os.environ.get(_LIMIT, "60"))
    if not run.until_ready(limit):
        _say(f"the sidecar is not ready after {limit:g} s; what the control plane has answered stands above")
        raise SystemExit(1)
    _say(f"the sidecar of {os.environ['MACHINE_NAME']} is ready at {os.environ['MACHINE_ADDRESS']}")
    raise SystemExit(run.until_end(sys.argv[1:]))


def _prepared(name: str, address: str) -> MachineProxy:
    """Read the files, and bring the redirection into force."""
    mesh, cluster_env = (Path(path).read_text() for path in (machinesettings.MESH, machinesettings.CLUSTER_ENV))
    proxy = machinesettings.read(mesh, cluster_env, name, address)
    root = Path(bootstrap.ROOT_DIRECTORY, ROOT_KEY)
    root.parent.mkdir(parents=True, exist_ok=True)
    root.write_text(Path(machinesettings.ROOT).read_text())
    hosts = Path(machinesettings.HOSTS)
    if hosts.exists():
        with Path("/etc/hosts").open("a") as file:
            file.write(hosts.read_text())
    command = ["nft", redirection.ruleset(proxy.interception)]
    loaded = subprocess.run(command, capture_output=True, text=True, check=False)
    if loaded.returncode:
        raise OSError(f"the redirection is refused: {loaded.stderr.strip()}")
    return proxy


class Running:
    """The machine's processes: Envoy, which is started again whenever it ends, and the user's."""

    def __init__(self, proxy: MachineProxy) -> None:
        self._proxy = proxy
        self._envoy = self._start_envoy()

    def until_ready(self, seconds: float) -> bool:
        """Whether Envoy is ready within a time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self._envoy.poll() is not None:
                time.sleep(_AGAIN_SECONDS)
                self._envoy = self._start_envoy()
            if _is_ready():
                return True
            time.sleep(_READY_EVERY)
        return False

    def until_end(self, command: list[str]) -> int:
        """Run the user's program; return its exit code, as a shell tells it."""
        prober = self._start_prober()
        try:
            users = subprocess.Popen(command).pid if command else 0
        except OSError as error:
            _say(f"{command[0]}: {error.strerror}")
            return 127
        while True:
            pid, status = os.wait()
            if pid == users:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
            if prober is not None and pid == prober.pid:
                time.sleep(_AGAIN_SECONDS)
                prober = self._start_prober()
            if pid == self._envoy.pid:
                _say(f"Envoy has ended with code {os.waitstatus_to_exitcode(status)}, and is started again")
                time.sleep(_AGAIN_SECONDS)
                self._envoy = self._start_envoy()

    def _start_prober(self) -> subprocess.Popen[bytes] | None:
        if self._proxy.probe is None:
            return None
        return subprocess.Popen([sys.executable, "-m", _PROBER], stdin=subprocess.DEVNULL, **_AS_PROXY)

    def _start_envoy(self) -> subprocess.Popen[bytes]:
        # It opens /dev/stdout by that path for its access log, which only the pipe's owner may do, and root.
        os.fchown(sys.stderr.fileno(), PROXY_UID, -1)
        environment: Mapping[str, str] = {**os.environ, **self._proxy.environment}
        return subprocess.Popen(
            ["envoy", *self._proxy.arguments],
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            env=environment,
            **_AS_PROXY,
        )


def _is_ready() -> bool:
    connection = HTTPConnection("127.0.0.1", READY_PORT, timeout=1)
    try:
        connection.request("GET", "/healthz/ready")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _say(text: str) -> None:
    sys.stderr.write(f"machine: {text}\n")


if __name__ == "__main__":
    main()
