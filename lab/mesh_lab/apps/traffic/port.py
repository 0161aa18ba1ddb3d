"""`--control N`: a control port beside a program's own ports."""

from __future__ import annotations

import argparse
import os

from mesh_lab.apps.http.connection import Handler
from mesh_lab.apps.http.messages import Request, Response

TOKEN_VARIABLE = "CONTROL_TOKEN"


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add `--control`."""
    parser.add_argument(
        "--control",
        type=int,
        metavar="N",
        help=f"a port whose clients send requests from here, with the token in {TOKEN_VARIABLE} (default: none)",
    )


def with_control(parser: argparse.ArgumentParser, port: int | None, handler: Handler) -> tuple[Handler, list[int]]:
    """The handler for all ports of a program, and the ports beside its own.

    Ends the program with exit code 2 when there is no token.
    """
    if port is None:
        return handler, []
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        parser.error(f"--control needs a token in the environment variable {TOKEN_VARIABLE}")
    from mesh_lab.apps.traffic.control import Control  # 20 ms of imports, which most pods do without

    control = Control(token)

    async def by_port(request: Request) -> Response:
        return await (control if request.port == port else handler)(request)

    return by_port, [port]
