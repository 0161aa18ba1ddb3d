"""`nc`: TCP between a socket and standard input and output, with the options that tutorials use.

`nc HOST PORT`, `nc -l -p PORT` and `nc -l PORT` (`-k`: one connection after the other), `-z` (only connect), `-v`,
`-w SECONDS`, `-N` and `-q SECONDS`. It imports nothing of the lab, to be there at once.
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import sys
import time

_CHUNK = 65536


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 0, 1 where there was no connection, 2 for wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    port = options.source_port if options.listen else None
    words = list(options.words)
    if port is None:
        if not words or not words[-1].isdigit():
            parser.error("a port is missing: nc HOST PORT, or nc -l -p PORT")
        port = int(words.pop())
    try:
        if options.listen:
            return _listen(words[0] if words else "", port, options)
        if len(words) != 1:
            parser.error("a host is missing: nc HOST PORT")
        return _connect(words[0], port, options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 1


def _listen(host: str, port: int, options: argparse.Namespace) -> int:
    try:
        listener = _listener(host, port)
    except OSError as error:
        return _failed(f"{host or '*'} {port}: {error.strerror or error}")
    if options.verbose:
        _say(f"listening on {host or '[any]'} {listener.getsockname()[1]} ...")
    with listener:
        while True:
            connection, peer = listener.accept()
            if options.verbose:
                _say(f"connect from {peer[0]} {peer[1]}")
            with connection:
                if not options.zero:
                    _carry(connection, options)
            if not options.keep:
                return 0


def _listener(host: str, port: int) -> socket.socket:
    if host or not socket.has_dualstack_ipv6():
        return socket.create_server((host, port))
    return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)


def _connect(host: str, port: int, options: argparse.Namespace) -> int:
    try:
        connection = socket.create_connection((host, port), timeout=options.wait)
    except OSError as error:
        return _failed(f"{host} {port}: {error.strerror or error}")
    with connection:
        if options.verbose:
            _say(f"{host} ({connection.getpeername()[0]}) {port} open")
        if not options.zero:
            connection.settimeout(None)
            _carry(connection, options)
    return 0


def _carry(connection: socket.socket, options: argparse.Namespace) -> None:
    """Carry bytes until the other side has ended; after our own end for at most `-q` or `-w` seconds of silence."""
    given: int | None = 0
    patience: float | None = options.wait
    deadline = None if patience is None else time.monotonic() + patience
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        sources: list[socket.socket | int] = [connection] if given is None else [connection, given]
        ready, _, _ = select.select(sources, [], [], left)
        if not ready:
            return
        if connection in ready:
            data = _received(connection, verbose=options.verbose)
            if not data:
                return
            _write(data)
        if given is not None and given in ready:
            data = os.read(given, _CHUNK)
            if data:
                connection.sendall(data)
            else:
                given = None
                connection.shutdown(socket.SHUT_WR)
                if options.quit is not None:
                    patience = options.quit
        deadline = None if patience is None else time.monotonic() + patience


def _received(connection: socket.socket, *, verbose: bool) -> bytes:
    """What the other side sent; nothing at its end, which a reset is as well, as for the nc of busybox."""
    try:
        return connection.recv(_CHUNK)
    except ConnectionError as error:
        if verbose:
            _say(str(error.strerror or error))
        return b""


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def _say(line: str) -> None:
    sys.stderr.write(f"nc: {line}\n")


def _failed(line: str) -> int:
    _say(line)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("nc", description="TCP from and to the standard input and output.")
    parser.add_argument("-l", dest="listen", action="store_true", help="wait for a connection")
    parser.add_argument("-k", dest="keep", action="store_true", help="with -l: one connection after the other")
    parser.add_argument("-p", dest="source_port", type=int, metavar="PORT", help="with -l: the port")
    parser.add_argument("-z", dest="zero", action="store_true", help="only connect")
    parser.add_argument("-v", dest="verbose", action="store_true", help="say what happens")
    parser.add_argument("-n", action="store_true", help="addresses only; without effect")
    parser.add_argument("-N", dest="shut", action="store_true", help="end with the input; always so")
    parser.add_argument("-w", dest="wait", type=float, metavar="SECONDS", help="give up after silence")
    parser.add_argument("-q", dest="quit", type=float, metavar="SECONDS", help="time to wait after the input's end")
    parser.add_argument("words", nargs="*", metavar="[HOST] PORT")
    return parser


if __name__ == "__main__":
    sys.exit(main())
