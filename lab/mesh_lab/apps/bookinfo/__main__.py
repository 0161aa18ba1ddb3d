"""`python -m mesh_lab.apps.bookinfo NAME [PORT]`: one of the four services, or the ratings' database."""

from __future__ import annotations

import argparse
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
    parser = argparse.ArgumentParser(prog="bookinfo", description="One of Bookinfo's services.")
    parser.add_argument("service", choices=(*SERVICES, "mongodb"))
    parser.add_argument("port", type=int, nargs="?", help=f"default {PORT}; of mongodb 27017")
    for flag in ("--ipv6", "--bind_ip_all"):
        parser.add_argument(flag, action="store_true", help="of mongodb; without effect, for it is so")
    options = parser.parse_args(arguments)
    if options.service == "mongodb":
        from mesh_lab.apps.bookinfo import mongodb

        return mongodb.serve(options.port or mongodb.PORT)
    handler = import_module(f"mesh_lab.apps.bookinfo.{options.service}").service()
    return run(options.service, handler, [options.port or PORT])


if __name__ == "__main__":
    sys.exit(main())
