"""A kube process that honours what the host process hands it, and does as the test says. Standard library alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def main() -> int:
    behaviour = sys.argv[1]
    with os.fdopen(int(sys.argv[3]), "rb") as document:
        config = json.loads(document.read())
    state = Path(config["state_dir"])
    threading.Thread(target=end_with_lifeline, args=(config["lifeline_fd"],), daemon=True).start()
    control = socket.socket(fileno=config["control_fd"])
    say(control, op="progress", text="making certificates")
    (state / "config.json").write_text(json.dumps(config))
    if behaviour == "crash":
        sys.stderr.write("the journal is damaged: page 7\n")
        return 3
    # A container: something that must not outlive the lab.
    subprocess.Popen(["/bin/sleep", "9999"])
    subprocess.run(["ip", "link", "add", "pod0", "type", "veth", "peer", "name", "pod1"], check=True)
    if behaviour == "hang":
        signal.pause()
    (state / "listen.json").write_text(json.dumps(listen_all(control, config)))
    threading.Thread(target=serve, args=(config["api_fd"],), daemon=True).start()
    if behaviour != "stubborn":
        signal.signal(signal.SIGTERM, lambda *_: stop(state))
    say(control, op="ready")
    while True:
        signal.pause()


def listen_all(control: socket.socket, config: dict[str, Any]) -> list[dict[str, Any]]:
    """At the load balancer's address first: what the host process has bound beforehand is at the other."""
    ports = [entry["host_port"] for entry in config["host_ports"]]
    return [listen(control, host, port) for port in ports for host in ("127.80.0.1", "127.0.0.1")]


def say(control: socket.socket, **message: Any) -> None:
    control.send(json.dumps(message).encode())


def listen(control: socket.socket, host: str, port: int) -> dict[str, Any]:
    say(control, op="listen", host=host, port=port)
    data, descriptors, _, _ = socket.recv_fds(control, 65536, 1)
    reply: dict[str, Any] = json.loads(data)
    if descriptors:
        threading.Thread(target=serve, args=(descriptors[0],), daemon=True).start()
    return reply


def serve(descriptor: int) -> None:
    listener = socket.socket(fileno=descriptor)
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(ANSWER)


def end_with_lifeline(descriptor: int) -> None:
    os.read(descriptor, 1)
    os._exit(4)


def stop(state: Path) -> None:
    (state / "stopped-gracefully").touch()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
