"""`mesh-lab-app tornado`: the page of Istio's sample websockets (hiroakis/tornado-websocket-example), on port 8888.

`/ws` is a WebSocket. What `/api?id=N&value=N` is told, all who listen there are told as JSON; `/` is a page of it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.http.websocket import WebSocket, accept
from mesh_lab.apps.service import run

PORT = 8888
_HTML = "text/html; charset=utf-8"
_ROWS = "".join(f'<tr id="row{n}"><td>id {n}</td><td id="{n}">0</td></tr>' for n in range(1, 10))
_PAGE = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>tornado WebSocket example</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto }}
td {{ border: 1px solid #8884; padding: .2rem 1rem }}
.open {{ color: green }} .closed {{ color: #b3261e }} .warning {{ background: #fd03 }} .error {{ background: #f003 }}
</style></head><body><h1>tornado WebSocket example</h1>
<p>WebSocket status : <span id="message" class="closed">closed</span></p><table>{_ROWS}</table>
<h2>REST API examples</h2><p><code>curl "http://HOST/api?id=1&amp;value=300"</code></p><script>
const message = document.getElementById("message");
const say = (text, kind) => {{ message.textContent = text; message.className = kind; }};
const scheme = location.protocol === "https:" ? "wss:" : "ws:";
const socket = new WebSocket(scheme + "//" + location.host + "/ws");
socket.onopen = () => say("open", "open");
socket.onclose = () => say("closed", "closed");
socket.onerror = () => say("error occurred", "closed");
socket.onmessage = (event) => {{
  const news = JSON.parse(event.data), cell = document.getElementById(news.id);
  say("received message", "open");
  if (!cell) return;
  cell.textContent = news.value;
  cell.parentNode.className = news.value > 500 ? "error" : news.value > 200 ? "warning" : "";
}};
</script></body></html>
"""


class Board:
    """The handler, and those who listen."""

    def __init__(self) -> None:
        self.listeners: set[WebSocket] = set()

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        if request.path == "/":
            return Response(200, _PAGE.encode(), _HTML)
        if request.path == "/ws":
            return accept(request, self._listen)
        if request.path != "/api":
            return Response(404, b"404: Not Found\n")
        query = request.query
        if missing := next((name for name in ("id", "value") if name not in query), None):
            return Response(400, f"Missing argument {missing}\n".encode())
        news = json.dumps({"id": query["id"], "value": query["value"]})
        for socket in self.listeners:
            socket.send(news)
        return Response(200, b"", _HTML)

    async def _listen(self, socket: WebSocket) -> None:
        self.listeners.add(socket)
        try:
            while await socket.receive() is not None:
                pass
        finally:
            self.listeners.discard(socket)


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="tornado", description="A page with a WebSocket.")
    parser.add_argument("--port", type=int, default=PORT)
    return run("tornado", Board(), [parser.parse_args(arguments).port])
