"""A Kubernetes API in miniature for the client under test: real TLS, real certificates, answers that the test sets."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mesh_lab.kube import pki

Answer = Callable[[str], Any]
"""Takes the path with its query; returns a document, an `int` status with a message, or an iterator of watch events."""


class Quiet(BaseHTTPRequestHandler):
    """Answers GET from the server's `answer`."""

    protocol_version = "HTTP/1.1"
    server: Server
    connection: ssl.SSLSocket

    def do_GET(self) -> None:
        """Ask the test what to say."""
        self.server.paths.append(self.path)
        if token := self.headers.get("Authorization"):
            self.server.tokens.append(token)
        if shown := self.connection.getpeercert():
            self.server.certificates.append(shown["serialNumber"])
        answer = self.server.answer(self.path)
        if isinstance(answer, tuple):
            self._document(answer[0], {"kind": "Status", "message": answer[1]})
        elif isinstance(answer, dict):
            self._document(200, answer)
        else:
            self._events(answer)

    def do_POST(self) -> None:
        """The body is of no interest here."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def _document(self, code: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _events(self, events: Iterator[tuple[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for kind, obj in events:
            line = json.dumps({"type": kind, "object": obj}).encode() + b"\n"
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class' name
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Listens on a free port; `paths` are the requests in their order.

    `tokens` are what they authorized themselves by, `certificates` the serial numbers of those that they showed.
    """

    daemon_threads = True

    def __init__(self, answer: Answer, keys: pki.Pki) -> None:
        super().__init__(("127.0.0.1", 0), Quiet)
        self.answer = answer
        self.paths: list[str] = []
        self.tokens: list[str] = []
        self.certificates: list[str] = []
        context = keys.server_context()
        self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle is what some tests are about."""


@contextmanager
def serve(directory: Path, answer: Answer) -> Iterator[tuple[Server, Path]]:
    """A running server and a kubeconfig that leads to it."""
    keys = pki.ensure(directory / "pki")
    server = Server(answer, keys)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    kubeconfig = directory / "kubeconfig"
    pki.write_kubeconfig(kubeconfig, keys, name="lab", server=f"https://127.0.0.1:{server.port}")
    try:
        yield server, kubeconfig
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
