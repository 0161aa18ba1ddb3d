"""Whether a run's target is there, asked from where the load comes from: one of its workers."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

from mesh_lab.client.api import Api
from mesh_lab.errors import LabError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_CONNECT_SECONDS = 5
_SCRIPT = f"""
import json, socket, sys
host, port = sys.argv[1], int(sys.argv[2])
try:
    socket.getaddrinfo(host, port)
except OSError as error:
    print(json.dumps(["name", error.strerror]))
    sys.exit()
try:
    socket.create_connection((host, port), {_CONNECT_SECONDS}).close()
except OSError as error:
    print(json.dumps(["port", error.strerror or str(error)]))
else:
    print(json.dumps(["", ""]))
"""


def probe(api: Api, namespace: str, pod: str, target: str) -> None:
    """Look the target's name up in a worker, and open a connection to it.

    Raises:
        LabError: with exit code 2, there is no such name, or nothing listens there.
        CommandFailed: the worker cannot be asked.
    """
    parts = urlsplit(target)
    host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme]
    command = ("exec", "-n", namespace, pod, "-c", "locust", "--", "python3", "-c", _SCRIPT, host, str(port))
    wrong, why = json.loads(api.kubectl(*command))
    if wrong == "name":
        raise LabError(
            f"the target {target} does not exist: no {host} is known in the cluster ({why})",
            hint="A service is NAME.NAMESPACE there; `kubectl get services -A` lists them.",
            exit_code=2,
        )
    if wrong:
        raise LabError(
            f"the target {target} does not answer: {host} has nothing at port {port} ({why})",
            hint="`kubectl get services,endpointslices -A` lists ports, and the pods behind them.",
            exit_code=2,
        )
