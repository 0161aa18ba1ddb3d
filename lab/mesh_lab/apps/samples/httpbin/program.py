"""`mesh-lab-app go-httpbin` and `mesh-lab-app gunicorn`: httpbin by the command lines of the two published images."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from mesh_lab.apps.http.connection import Handler
from mesh_lab.apps.samples.httpbin.accesslog import logged, of_go_httpbin, of_gunicorn
from mesh_lab.apps.samples.httpbin.forms import GoForm, PythonForm
from mesh_lab.apps.samples.httpbin.handler import HttpBin
from mesh_lab.apps.service import run


def go_httpbin(arguments: Sequence[str]) -> int:
    """Serve as go-httpbin: on 8080, or where -port or PORT says."""
    parser = argparse.ArgumentParser(prog="go-httpbin", description="httpbin; answers have lists of values.")
    parser.add_argument("-port", "--port", type=int, default=int(os.environ.get("PORT", "8080")))
    parser.add_argument("-host", "--host", default=os.environ.get("HOST", ""), help="without effect: all addresses")
    parser.add_argument("-use-real-hostname", "--use-real-hostname", action="store_true")
    options = parser.parse_args(arguments)
    environment = {**os.environ, **({"USE_REAL_HOSTNAME": "true"} if options.use_real_hostname else {})}
    return run("go-httpbin", logged(HttpBin(GoForm(), environment), of_go_httpbin), [options.port])


def gunicorn(arguments: Sequence[str]) -> int:
    """Serve as the image kennethreitz/httpbin, whose command is `gunicorn -b 0.0.0.0:80 httpbin:app -k gevent`.

    Exit code 2 for another application: there is no gunicorn.
    """
    parser = argparse.ArgumentParser(prog="gunicorn", description="httpbin; answers have strings.")
    parser.add_argument("-b", "--bind", action="append", metavar="ADDRESS:PORT")
    for flags in (("-k", "--worker-class"), ("-w", "--workers"), ("-t", "--timeout")):
        parser.add_argument(*flags, help="without effect: the program serves all requests by itself")
    parser.add_argument("--access-logfile", metavar="-", help="a line for each request on standard output")
    for flag in ("--error-logfile", "--log-level"):
        parser.add_argument(flag, help="without effect")
    parser.add_argument("application", nargs="?", default="httpbin:app")
    options = parser.parse_args(arguments)
    if options.application != "httpbin:app":
        parser.error(f"the lab has no gunicorn, only httpbin:app; not {options.application}")
    ports = [address.rpartition(":")[2] for address in options.bind or ["0.0.0.0:80"]]
    if not all(port.isdigit() for port in ports):
        parser.error("--bind: ADDRESS:PORT expected")
    handler: Handler = HttpBin(PythonForm(), os.environ)
    if options.access_logfile:
        handler = logged(handler, of_gunicorn)
    return run("httpbin", handler, [int(port) for port in ports])
