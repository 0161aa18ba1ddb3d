"""`mesh-lab tools install`, from a publisher on the loopback: what is installed, and what never is."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.errors import LabError
from mesh_lab.install import downloads
from mesh_lab.install.downloads import CHECKSUMS, TOOLS, Tool, install_tools
from mesh_lab.settings import Istio, Kind, Lab, Settings

KIND = b"#!/bin/sh\necho kind v0.31.0\n"
ISTIOCTL = b"#!/bin/sh\necho istioctl\n"


class Publisher(ThreadingHTTPServer):
    """Serves `files`; `requested` are the paths in their order."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.files: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.requested: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answers(BaseHTTPRequestHandler):
    server: Publisher

    def do_GET(self) -> None:
        self.server.requested.append(self.path)
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:3] if self.path in self.server.cut else content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class' name
        """Say nothing."""


def archive(member: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        entry = tarfile.TarInfo(member)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("sys.platform", "linux")
    server = Publisher()
    packed = archive("istio-1.30.3/bin/istioctl", ISTIOCTL)
    server.files = {
        "/kind-linux-amd64": KIND,
        "/kind-linux-amd64.sha256sum": f"{digest(KIND)}  kind-linux-amd64\n".encode(),
        "/istio-linux-amd64.tar.gz": packed,
        "/istio-linux-amd64.tar.gz.sha256": f"{digest(packed)} istio-1.30.3-linux-amd64.tar.gz\n".encode(),
    }
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def tools(publisher: Publisher) -> dict[str, Tool]:
    return {
        "kind": Tool("kind", f"{publisher.url}/kind-{{os}}-{{arch}}", ".sha256sum"),
        "istioctl": Tool(
            "istioctl", f"{publisher.url}/istio-{{istio_os}}-{{arch}}.tar.gz", ".sha256", TOOLS["istioctl"].member
        ),
    }


def install(publisher: Publisher, directory: Path, **more: Any) -> list[Path]:
    return install_tools(Lab(Settings(), directory), lambda _: None, tools=tools(publisher), **more)


def test_both_are_put_in_place_and_can_be_run(publisher: Publisher, tmp_path: Path) -> None:
    pinned = {
        ("kind", Kind().version, "linux-amd64"): digest(KIND),
        ("istioctl", Istio().version, "linux-amd64"): digest(publisher.files["/istio-linux-amd64.tar.gz"]),
    }
    paths = install(publisher, tmp_path, checksums=pinned)
    assert paths == [tmp_path / ".lab/bin/kind", tmp_path / ".lab/bin/istioctl"]
    assert [path.read_bytes() for path in paths] == [KIND, ISTIOCTL]
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o755}
    # With a checksum of its own the publisher's is not asked for.
    assert publisher.requested == ["/kind-linux-amd64", "/istio-linux-amd64.tar.gz"]


def test_a_version_without_a_checksum_here_is_held_to_its_publishers(publisher: Publisher, tmp_path: Path) -> None:
    install(publisher, tmp_path, checksums={})
    assert "/kind-linux-amd64.sha256sum" in publisher.requested
    assert "/istio-linux-amd64.tar.gz.sha256" in publisher.requested


def test_what_is_there_is_not_downloaded_again_unless_it_was_changed(publisher: Publisher, tmp_path: Path) -> None:
    kind, _ = install(publisher, tmp_path, checksums={})
    publisher.requested.clear()
    install(publisher, tmp_path, checksums={})
    assert publisher.requested == []
    kind.write_bytes(KIND[:5])
    install(publisher, tmp_path, checksums={})
    assert kind.read_bytes() == KIND


def test_a_download_that_does_not_match_is_not_installed(publisher: Publisher, tmp_path: Path) -> None:
    with pytest.raises(LabError, match="is not what it should be") as failure:
        install(publisher, tmp_path, checksums=CHECKSUMS)
    assert CHECKSUMS["kind", Kind().version, "linux-amd64"] in failure.value.message
    assert not (tmp_path / ".lab/bin").exists()


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("/kind-linux-amd64", None, "404"),
        ("/kind-linux-amd64.sha256sum", b"<html>log in first</html>", "holds no checksum"),
        ("/istio-linux-amd64.tar.gz", b"no archive", "is no archive"),
        ("/istio-linux-amd64.tar.gz", archive("other/bin/istioctl", b"x"), "has no istio-"),
    ],
)
def test_what_a_publisher_gives_wrongly_is_reported(
    publisher: Publisher, tmp_path: Path, path: str, content: bytes | None, message: str
) -> None:
    del publisher.files[path]
    if content is not None:
        publisher.files[path] = content
        if path.endswith(".gz"):
            publisher.files[f"{path}.sha256"] = digest(content).encode()
    with pytest.raises(LabError, match=message):
        install(publisher, tmp_path, checksums={})
    assert not list(tmp_path.glob(".lab/bin/.*.new"))


def test_a_download_that_breaks_off_is_reported(publisher: Publisher, tmp_path: Path) -> None:
    publisher.cut.add("/kind-linux-amd64")
    with pytest.raises(LabError, match=r"cannot download|is not what it should be"):
        install(publisher, tmp_path, checksums={})
    assert not (tmp_path / ".lab/bin/kind").exists()


def test_no_way_out_is_reported_with_what_to_do(publisher: Publisher, tmp_path: Path) -> None:
    away = {name: Tool(name, "http://127.0.0.1:1/x", ".sha256") for name in TOOLS}
    with pytest.raises(LabError, match="cannot download") as failure:
        install_tools(Lab(Settings(), tmp_path), lambda _: None, tools=away)
    assert "HTTPS_PROXY" in failure.value.hint


def test_a_machine_that_nothing_is_published_for_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(LabError, match="riscv64"):
        install_tools(Lab(Settings(), tmp_path), lambda _: None)


def test_the_table_has_the_default_versions_for_every_platform() -> None:
    platforms = {f"{system}-{arch}" for system in ("linux", "darwin") for arch in ("amd64", "arm64")}
    for name, version in (("kind", Kind().version), ("istioctl", Istio().version)):
        assert {place for tool, of, place in CHECKSUMS if (tool, of) == (name, version)} == platforms
    assert all(len(value) == 64 and int(value, 16) for value in CHECKSUMS.values())
    assert all(tool.url.startswith("https://") for tool in TOOLS.values())
    assert not downloads._trusted("http://example.com/kind")
