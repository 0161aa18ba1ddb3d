"""Pinned programs from their publishers: downloaded over HTTPS, checked by SHA-256, put in place as a whole.

The checksums of the versions that lab.toml names by default are in `CHECKSUMS`. They were copied from public records of
these releases, not computed from downloads of our own; a download that does not match is refused. For any other version
the checksum file that the publisher puts beside the download is fetched over HTTPS and compared with.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import platform
import re
import ssl
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mesh_lab.clusters.base import Report
from mesh_lab.errors import LabError
from mesh_lab.settings import Lab

_TIMEOUT_SECONDS = 60.0
_MAX_BYTES = 512 * 2**20
_CHUNK = 2**20
_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


@dataclass(frozen=True)
class Tool:
    """Where a program comes from. `member` is its path in the archive, empty when the download is the program."""

    name: str
    url: str
    checksum_suffix: str
    member: str = ""


TOOLS = {
    "kind": Tool(
        "kind",
        "https://github.com/kubernetes-sigs/kind/releases/download/v{version}/kind-{os}-{arch}",
        ".sha256sum",
    ),
    "istioctl": Tool(
        "istioctl",
        "https://github.com/istio/istio/releases/download/{version}/istio-{version}-{istio_os}-{arch}.tar.gz",
        ".sha256",
        "istio-{version}/bin/istioctl",
    ),
}
CHECKSUMS: Mapping[tuple[str, str, str], str] = {
    ("kind", "0.31.0", "linux-amd64"): "eb244cbafcc157dff60cf68693c14c9a75c4e6e6fedaf9cd71c58117cb93e3fa",
    ("kind", "0.31.0", "linux-arm64"): "8e1014e87c34901cc422a1445866835d1e666f2a61301c27e722bdeab5a1f7e4",
    ("kind", "0.31.0", "darwin-amd64"): "a8b3cf77b2ad77aec5bf710d1a2589d9117576132af812885cad41e9dede4d4e",
    ("kind", "0.31.0", "darwin-arm64"): "88bf554fe9da6311c9f8c2d082613c002911a476f6b5090e9420b35d84e70c5c",
    ("istioctl", "1.30.3", "linux-amd64"): "55ada076ba1b37af49e8a24e5e539b4abccabdb33894c923279edd293eea3993",
    ("istioctl", "1.30.3", "linux-arm64"): "926d265818e8ab69de9f81bfe78447c3bc8f4ae32a356a39545b790bfcfd63e5",
    ("istioctl", "1.30.3", "darwin-amd64"): "9a2b70d8257861156336c89bf33251b90cc77924116c10a281d39d996d4f0bac",
    ("istioctl", "1.30.3", "darwin-arm64"): "4d78e3effac3253c9348cef73563af405dc3429bea9536eae98a724ee81761c7",
}
"""SHA-256 of the downloads, by program, version and platform."""


def install_tools(
    lab: Lab,
    report: Report,
    *,
    tools: Mapping[str, Tool] = TOOLS,
    checksums: Mapping[tuple[str, str, str], str] = CHECKSUMS,
) -> list[Path]:
    """Install kind and istioctl in the versions of the settings. A program that has that version stays.

    Raises:
        LabError: a download failed, or does not match its checksum.
    """
    wanted = {"kind": lab.settings.kind.version, "istioctl": lab.settings.istio.version}
    return [_install(tools[name], version, lab.tools_dir, report, checksums) for name, version in wanted.items()]


def _install(
    tool: Tool, version: str, directory: Path, report: Report, checksums: Mapping[tuple[str, str, str], str]
) -> Path:
    program, stamp = directory / tool.name, directory / f".{tool.name}"
    if _is_there(program, stamp, version):
        report(f"{tool.name} {version} is there")
        return program
    places = _places(version)
    url = tool.url.format(**places)
    report(f"downloading {url}")
    content = _fetch(url)
    expected = checksums.get((tool.name, version, f"{places['os']}-{places['arch']}"))
    origin = "the lab's table"
    if expected is None:
        origin = url + tool.checksum_suffix
        expected = _published(origin)
    if (found := _digest(content)) != expected:
        raise LabError(
            f"{url} is not what it should be: its SHA-256 is {found}, {origin} says {expected}",
            hint="Nothing was installed. A proxy in between may have changed it; try again, or install it by hand.",
        )
    binary = _member(content, tool.member.format(**places), url) if tool.member else content
    _place(binary, program)
    stamp.write_text(f"{version} {_digest(binary)}\n")
    report(f"{tool.name} {version} matches the checksum of {origin}")
    return program


def _is_there(program: Path, stamp: Path, version: str) -> bool:
    """Whether the program is there in this version.

    The stamp has the program's checksum: one that was cut short or changed is installed again.
    """
    if not program.is_file() or not stamp.is_file():
        return False
    return stamp.read_text().split() == [version, _digest(program.read_bytes())]


def _places(version: str) -> dict[str, str]:
    """Return the words for this machine in the publishers' file names.

    Raises:
        LabError: they do not build for this machine.
    """
    system, machine = sys.platform, platform.machine().lower()
    if system not in ("linux", "darwin") or machine not in _ARCHITECTURES:
        raise LabError(f"nothing is published for {system} on {machine}", hint="On Windows: in WSL 2.")
    istio_os = "osx" if system == "darwin" else system
    return {"version": version, "os": system, "istio_os": istio_os, "arch": _ARCHITECTURES[machine]}


def _published(url: str) -> str:
    """The checksum in a publisher's checksum file: the first word that looks like one."""
    text = _fetch(url)[:4096].decode("utf-8", "replace")
    found = re.search(r"\b[0-9a-f]{64}\b", text)
    if found is None:
        raise LabError(f"{url} holds no checksum")
    return found[0]


def _fetch(url: str) -> bytes:
    content = io.BytesIO()
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
            if not _trusted(response.url):
                raise LabError(f"{url} leads to {response.url}, which is not HTTPS")
            while chunk := response.read(_CHUNK):
                content.write(chunk)
                if content.tell() > _MAX_BYTES:
                    raise LabError(f"{url} is larger than {_MAX_BYTES // 2**20} MB")
    except urllib.error.HTTPError as error:
        raise LabError(f"{url}: {error.code} {error.reason}", hint=_HINT) from error
    except (urllib.error.URLError, http.client.HTTPException, ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise LabError(f"cannot download {url}: {reason}", hint=_HINT) from error
    return content.getvalue()


def _trusted(url: str) -> bool:
    """HTTPS, or this machine itself."""
    return url.startswith(("https://", "http://127.0.0.1:"))


def _member(archive: bytes, name: str, url: str) -> bytes:
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as files:
            file = files.extractfile(name)
            if file is None:
                raise LabError(f"{url}: {name} is not a file")
            return file.read()
    except KeyError as error:
        raise LabError(f"{url} has no {name}") from error
    except (tarfile.TarError, EOFError, OSError) as error:
        raise LabError(f"{url} is no archive: {error}") from error


def _place(content: bytes, program: Path) -> None:
    """Write the program atomically: a failure leaves the old one."""
    new = program.with_name(f".{program.name}.{os.getpid()}.new")
    try:
        program.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(content)
        new.chmod(0o755)
        new.replace(program)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise LabError(f"cannot write {program}: {error.strerror}") from error


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


_HINT = "Is there a way out of this network? HTTPS_PROXY is heeded; or put the program on PATH by hand."
