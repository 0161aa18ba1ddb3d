"""`mesh-lab-app fortio COMMAND`: the command line."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mesh_lab.apps.http.answers import ApiError
from mesh_lab.apps.http.client import Client, parse_url
from mesh_lab.apps.http.messages import REASONS
from mesh_lab.apps.samples.fortio.flags import FlagError, Options, parse
from mesh_lab.apps.samples.fortio.report import VERSION, as_json, closing, opening
from mesh_lab.apps.samples.fortio.running import Result, Worker, request_headers, run, warm_up

_USAGE = """usage: fortio COMMAND [FLAGS] [URL]
  load     make load and tell what came of it (-c connections, -qps rate or 0 for all one can, -n calls or -t time)
  curl     one request: headers to standard error, the body to standard output
  server   HTTP on 8080, TCP on 8078, gRPC on 8079, all echoes
  version  the version
"""
_LEVELS = ("debug", "verbose", "info", "warning", "error", "critical", "fatal")


def main(arguments: Sequence[str]) -> int:
    """Run a command; exit code 1 for wrong usage or no answer, as fortio's."""
    commands = {"load": _load, "curl": _curl, "server": _server}
    name = arguments[0] if arguments else ""
    if name in ("version", "-version", "--version"):
        sys.stdout.write(f"{VERSION}\n")
        return 0
    if name not in commands:
        sys.stderr.write(_USAGE)
        return 0 if name in ("help", "-h", "--help") else 1
    try:
        options = _checked(parse(arguments[1:]))
        return commands["curl" if name == "load" and options.curl else name](options)
    except (FlagError, ValueError) as error:
        sys.stderr.write(f"{error}\n{_USAGE}")
        return 1


def _checked(options: Options) -> Options:
    if options.loglevel.lower() not in _LEVELS:
        raise FlagError(f'invalid value "{options.loglevel}" for flag -loglevel: one of {", ".join(_LEVELS)}')
    return options


def _url(options: Options) -> str:
    if len(options.words) != 1:
        raise FlagError("Error: one URL expected, after the flags")
    url = options.words[0]
    url = url if "://" in url else f"http://{url}"
    if parse_url(url)[0].scheme != "http":
        raise FlagError(f"{url}: the lab's fortio speaks plain HTTP; TLS is the sidecar's")
    return url


def _load(options: Options) -> int:
    url = _url(options)
    if options.c < 1 or options.n < 0:
        raise FlagError("Error: -c must be at least 1, -n at least 0")
    if 0 < options.n < options.c:
        options = Options(**{**vars(options), "c": options.n})
    if not options.quiet:
        _note("info", f"Log level is now {options.loglevel.capitalize()}")
    sys.stdout.write("".join(f"{line}\n" for line in opening(options, url)))
    sys.stdout.flush()
    result = Result(options, url, [Worker(options, url) for _ in range(options.c)], options.r)
    failed = asyncio.run(_run(result))
    if failed is not None:
        _note("error", f"Aborting because of error {failed} for {url}: -allow-initial-errors goes on")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in closing(result)))
    if options.json:
        text = as_json(result)
        if options.json == "-":
            sys.stdout.write(text)
        else:
            Path(options.json).write_text(text, encoding="utf-8")
    return 0


async def _run(result: Result) -> int | None:
    if not result.options.n and (failed := await warm_up(result)) is not None:
        return failed
    await run(result)
    return None


def _curl(options: Options) -> int:
    url = _url(options)
    origin, target = parse_url(url)
    client = Client(origin, http2=options.h2, keep=False, timeout=options.timeout)
    method = options.X or ("POST" if options.payload else "GET")
    try:
        answer = asyncio.run(client.request(method, target, request_headers(options, origin), options.payload.encode()))
    except ApiError as error:
        _note("error", f"Unable to get an answer of {url}: {error}")
        return 1
    headers = sys.stdout if options.curl_stdout_headers else sys.stderr
    headers.write(f"{answer.protocol} {answer.status} {REASONS.get(answer.status, '')}\r\n")
    headers.write("".join(f"{name}: {value}\r\n" for name, value in answer.headers.pairs) + "\r\n")
    headers.flush()
    sys.stdout.buffer.write(answer.body)
    sys.stdout.flush()
    if answer.status // 100 != 2:
        _note("error", f"Error status {answer.status} : {url}")
        return 1
    return 0


def _server(options: Options) -> int:
    from mesh_lab.apps.samples.fortio.serving import serve

    ports = {name: text.rpartition(":")[2] for name, text in _ports(options).items()}
    for name, port in ports.items():
        if not port.isdigit() and port != "disabled":
            raise FlagError(f'invalid value "{port}" for flag -{name}')
    return asyncio.run(serve({name: int(port) for name, port in ports.items() if port.isdigit()}))


def _ports(options: Options) -> dict[str, str]:
    return {"http-port": options.http_port, "tcp-port": options.tcp_port, "grpc-port": options.grpc_port}


def _note(level: str, text: str) -> None:
    """A line of the log, in the form of fortio's."""
    sys.stderr.write(json.dumps({"ts": round(time.time(), 6), "level": level, "msg": text}) + "\n")
