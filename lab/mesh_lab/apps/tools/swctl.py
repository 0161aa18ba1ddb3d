"""`swctl health`, which the manifest of SkyWalking's server has its readiness probe run in the pod.

Run as a file by a bare interpreter, to answer within a probe's second, so it imports nothing of the lab.
"""

from __future__ import annotations

import sys
from http.client import HTTPConnection, HTTPException

_PORT = 12800
_SECONDS = 10.0


def main(arguments: list[str], port: int = _PORT) -> int:
    """The exit code: 0, 1 where the server is not well, 2 for wrong usage."""
    if arguments != ["health"]:
        sys.stderr.write("usage: swctl health\n")
        return 2
    connection = HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", "/healthcheck")
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        sys.stderr.write(f"swctl: 127.0.0.1:{port}: {error}\n")
        return 1
    finally:
        connection.close()
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
