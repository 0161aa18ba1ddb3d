"""`python -m mesh_lab.apps.bookinfo NAME [PORT]`: one of the four services, or the ratings' database."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

if __name__ == "__main__":
    # asyncio loads ssl where there is one, which is 1.5 MB in each of six pods. TLS is the sidecar's here.
    sys.modules.setdefault("ssl", None)  # type: ignore[arg-type]

from mesh_lab.apps.service import run

SERVICES = ("productpage", "details", "reviews", "ratings")
PORT = 9080


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM; exit code 1 when the port cannot be opened."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len(given) == 1 and given[0] in SERVICES:
        return _serve(given[0], PORT)
    import argparse  # only here: it is 0.4 MB in each of the sample's six pods, which have no more to say than a name

    parser = argparse.ArgumentParser(prog="bookinfo", description="One of Bookinfo's services.")
    parser.add_argument("service", choices=(*SERVICES, "mongodb"))
    parser.add_argument("port", type=int, nargs="?", help=f"default {PORT}; of mongodb 27017")
    for flag in ("--ipv6", "--bind_ip_all"):
        parser.add_argument(flag, action="store_true", help="of mongodb; without effect, for it is so")
    options = parser.parse_args(given)
    if options.service == "mongodb":
        from mesh_lab.apps.bookinfo import mongodb

        return mongodb.serve(options.port or mongodb.PORT)
    return _serve(options.service, options.port or PORT)


def _serve(service: str, port: int) -> int:
    handler = import_module(f"mesh_lab.apps.bookinfo.{service}").service()
    return run(service, handler, [port])


if __name__ == "__main__":
    sys.exit(main())
