"""`mesh-lab-app send URL`: sends a stated number of requests, prints each result as a line of JSON, then a summary."""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
from collections.abc import Sequence

from mesh_lab.apps.traffic.plan import CONCURRENCY_WITH_RATE, MAX_CONCURRENCY, MAX_COUNT, TLS_VERSIONS, Plan
from mesh_lab.apps.traffic.run import run_plan


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 when every request got an answer, whatever its status; 1 when some got none; 2 for wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        plan = _plan(options)
    except ValueError as error:
        parser.error(str(error))
    gc.disable()  # a run is short and bounded; a garbage collection during it would show as a slow request
    try:
        return 0 if asyncio.run(run_plan(plan, sys.stdout.write)) else 1
    except ValueError as error:
        parser.error(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mesh-lab-app send", description="Sends requests, prints every result as JSON."
    )
    add = parser.add_argument
    add(
        "url",
        help="http://HOST[:PORT]/PATH, https://..., grpc://HOST[:PORT]/SERVICE/METHOD, grpcs://... or tcp://HOST:PORT",
    )
    add("--count", type=int, default=1, metavar="N", help=f"how many (default 1, at most {MAX_COUNT})")
    add("--rate", type=float, metavar="R", help="begin R a second, however long the answers take (default: no pause)")
    add(
        "--concurrency",
        type=int,
        metavar="C",
        help=f"under way at once (default 1, with --rate {CONCURRENCY_WITH_RATE}; at most {MAX_CONCURRENCY})",
    )
    add("--method", default="GET")
    add("--header", action="append", default=[], metavar="NAME:VALUE")
    add("--body", default="", metavar="TEXT", help="of each request")
    add("--timeout", type=float, default=10.0, metavar="S", help="for each request (default 10)")
    add("--deadline", type=float, default=120.0, metavar="S", help="for all of them (default 120)")
    add("--http2", action="store_true", help="HTTP/2 with prior knowledge (https: by ALPN)")
    add("--new-connections", action="store_true", help="a connection for each request")
    add("--distinct-ids", action="store_true", help="an x-request-id of its own for each request")
    add("--show-body", action="store_true", help="the body of each answer in its result (up to 64 KiB)")
    add("--show-header", action="append", default=[], metavar="NAME", help="this header of each answer in its result")
    add("--ca", metavar="FILE", help="trust the certificates in this file (https)")
    add("--ca-pem", metavar="TEXT", help="trust these certificates (https)")
    add("--certificate-pem", metavar="TEXT", help="show this certificate; its private key follows it (https)")
    add("--insecure", action="store_true", help="trust any certificate (https)")
    add("--server-name", default="", metavar="NAME", help="ask for the certificate of this name (https)")
    add("--tls-version", default="", metavar="V", help=f"offer this version only: {', '.join(TLS_VERSIONS)} (https)")
    add("--show-certificate", action="store_true", help="the server's certificate in each result (https)")
    add("--index-header", default="", metavar="NAME", help="the request's number, from 0, in this header of it")
    add("--summary-only", action="store_true", help="no line for each result")
    return parser


def _plan(options: argparse.Namespace) -> Plan:
    headers = {}
    for header in options.header:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise ValueError(f"--header {header!r} is not of the form NAME:VALUE")
        headers[name.strip().lower()] = value.strip()
    return Plan(
        url=options.url,
        count=options.count,
        rate=options.rate,
        concurrency=options.concurrency or (CONCURRENCY_WITH_RATE if options.rate else 1),
        method=options.method.upper(),
        headers=headers,
        body=options.body.encode(),
        timeout=options.timeout,
        deadline=options.deadline,
        http2=options.http2,
        new_connections=options.new_connections,
        distinct_ids=options.distinct_ids,
        show_body=options.show_body,
        show_headers=tuple(name.lower() for name in options.show_header),
        ca=options.ca,
        ca_pem=options.ca_pem,
        certificate_pem=options.certificate_pem,
        insecure=options.insecure,
        server_name=options.server_name,
        show_certificate=options.show_certificate,
        tls_version=options.tls_version,
        index_header=options.index_header.lower(),
        summary_only=options.summary_only,
    )
