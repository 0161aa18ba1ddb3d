"""`mesh-lab-app istio-client`: the client beside Istio's echo server, which suites run in pods as `client URL`.

It prints each answer in lines FIELD=VALUE: the status and the headers of the answer, and what the echo server says of
the request. Redirects are not followed. https://github.com/istio/istio/tree/master/pkg/test/echo/cmd/client
"""

from __future__ import annotations

import argparse
import asyncio
import struct
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.http.answers import Answer, ApiError
from mesh_lab.apps.http.client import Client, parse_url

_ECHO = "/proto.EchoTestService/Echo"
_UNAVAILABLE, _OK = 503, 200


def main(arguments: Sequence[str]) -> int:
    """Send the requests; exit code 1 when one has no answer, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="client", description="Prints answers in lines FIELD=VALUE.")
    parser.add_argument("url")
    parser.add_argument("--method", default="GET")
    parser.add_argument("-H", "--header", action="append", default=[], metavar="NAME:VALUE")
    parser.add_argument("--count", type=int, default=1)
    options = parser.parse_args(arguments)
    headers = dict(_pair(each) for each in options.header)
    try:
        return asyncio.run(_run(options.url, options.method, headers, options.count))
    except ValueError as error:
        parser.error(str(error))


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name.strip().lower(), value.strip()


async def _run(url: str, method: str, headers: Mapping[str, str], count: int) -> int:
    scheme, _, rest = url.partition("://")
    calls = scheme == "grpc"
    origin, target = parse_url(f"http://{rest}" if calls else url)
    with closing(Client(origin, http2=calls, keep=calls)) as client:
        for number in range(count):
            try:
                answer = await (_call(client, headers) if calls else client.request(method, target, headers))
            except ApiError as error:
                sys.stderr.write(f"Error {error}\n")
                return 1
            sys.stdout.write(f"{told(number, url, answer, calls=calls)}\n")
    return 0


async def _call(client: Client, headers: Mapping[str, str]) -> Answer:
    fields = {"content-type": "application/grpc", "te": "trailers", **headers}
    return await client.request("POST", _ECHO, fields, struct.pack(">BI", 0, 0))


def told(number: int, url: str, answer: Answer, *, calls: bool) -> str:
    """One answer in lines; a call's code stands in HTTP's terms, as by Istio's client. An empty line ends it."""
    status, body = answer.status, answer.body.decode(errors="replace")
    if calls:
        failed = answer.headers.get("grpc-status") not in ("", "0") or answer.status != _OK
        status = _UNAVAILABLE if failed else _OK
        body = "" if failed else wire.text(wire.decode(answer.body[5:]), 1)
    lines = [f"[{number}] Url={url}", f"[{number}] StatusCode={status}"]
    fields = sorted((_canonical(name), value) for name, value in answer.headers.pairs)
    lines += [f"[{number}] ResponseHeader={name}:{value}" for name, value in fields]
    lines += [f"[{number} body] {line}" for line in body.splitlines() if line]
    return "".join(f"{line}\n" for line in lines)


def _canonical(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))
