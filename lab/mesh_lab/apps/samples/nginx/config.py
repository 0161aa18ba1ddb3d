"""What the directives mean. Those without effect here are named; every other unknown one is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from mesh_lab.apps.samples.nginx.syntax import ConfigError, Directive, read

DEFAULT_ROOT = "/usr/share/nginx/html"
VARIABLES = frozenset(
    (
        "args",
        "host",
        "hostname",
        "remote_addr",
        "request_method",
        "request_uri",
        "scheme",
        "server_name",
        "server_port",
        "uri",
    )
)
_PREFIXES = ("http_", "arg_")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
# Accepted, for they change nothing that a client of a lab sees; by the block that they stand in.
_IDLE = {
    "main": "user worker_processes pid error_log worker_rlimit_nofile daemon master_process load_module",
    "events": "worker_connections multi_accept use accept_mutex",
    "http": """
        access_log client_body_buffer_size client_max_body_size default_type error_log gzip gzip_types gzip_vary
        keepalive_requests keepalive_timeout log_format sendfile server_tokens ssl_ciphers ssl_prefer_server_ciphers
        ssl_session_cache ssl_session_tickets ssl_session_timeout tcp_nodelay tcp_nopush types types_hash_max_size
        server_names_hash_bucket_size charset http2 ssl_protocols ssl_verify_depth
    """,
}
_IDLE_IN = {name: frozenset(text.split()) for name, text in _IDLE.items()}


@dataclass(frozen=True)
class Place:
    """What a server or a location answers with."""

    root: str = DEFAULT_ROOT
    index: tuple[str, ...] = ("index.html",)
    answer: tuple[int, str] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = ""


@dataclass(frozen=True)
class Location:
    """A location: how it is matched (`=`, `^~`, `~`, `~*` or by prefix) and what it answers with."""

    kind: str
    pattern: str
    place: Place


@dataclass(frozen=True)
class Tls:
    """A server's certificate, and whose certificates its clients must show."""

    certificate: str = ""
    key: str = ""
    client_authorities: str = ""
    verify: str = "off"


@dataclass(frozen=True)
class Listen:
    """A port; whether it speaks TLS, and whether the server answers names that no other has."""

    port: int
    tls: bool = False
    default: bool = False


@dataclass(frozen=True)
class Server:
    """A `server` block."""

    listens: tuple[Listen, ...]
    names: tuple[str, ...] = ("",)
    place: Place = field(default_factory=Place)
    locations: tuple[Location, ...] = ()
    tls: Tls = field(default_factory=Tls)


def load(path: Path) -> tuple[Server, ...]:
    """The servers of a configuration file and of those that it includes.

    Raises:
        ConfigError: something in it has no meaning here.
    """
    servers: list[Server] = []
    for directive in read(path):
        if directive.name == "http":
            servers += _http(path.parent, directive)
        elif directive.name == "events":
            for inner in _inner(directive):
                _idle(inner, "events")
        else:
            _idle(directive, "main")
    _check(servers, path)
    return tuple(servers)


def usual(directory: Path) -> tuple[Server, ...]:
    """The servers of the image's own configuration: those of `conf.d`, or one on port 80."""
    files = sorted((directory / "conf.d").glob("*.conf"))
    if not files:
        return (Server((Listen(80),), ("localhost",)),)
    servers = [
        server for file in files for server in _servers(directory, read(file), Place(), Tls(), "a file of conf.d")
    ]
    _check(servers, directory / "conf.d")
    return tuple(servers)


def _http(directory: Path, http: Directive) -> list[Server]:
    return list(_servers(directory, _inner(http), Place(), Tls(), "http"))


def _servers(directory: Path, directives: Iterable[Directive], place: Place, tls: Tls, where: str) -> Iterator[Server]:
    blocks = []
    for directive in _included(directory, directives):
        if directive.name == "server":
            blocks.append(directive)
        elif (changed := _placed(place, directive)) is not None:
            place = changed
        elif (secured := _secured(tls, directive)) is not None:
            tls = secured
        else:
            _idle(directive, "http", where)
    for block in blocks:
        yield _server(directory, block, place, tls)


def _server(directory: Path, block: Directive, place: Place, tls: Tls) -> Server:
    server = Server((), place=place, tls=tls)
    locations = []
    for directive in _included(directory, _inner(block)):
        if directive.name == "listen":
            server = replace(server, listens=(*server.listens, _listen(directive)))
        elif directive.name == "server_name":
            server = replace(server, names=directive.words)
        elif directive.name == "location":
            locations.append(directive)
        elif (changed := _placed(server.place, directive)) is not None:
            server = replace(server, place=changed)
        elif (secured := _secured(server.tls, directive)) is not None:
            server = replace(server, tls=secured)
        else:
            _idle(directive, "http", "server")
    found = tuple(_location(directory, directive, server.place) for directive in locations)
    return replace(server, listens=server.listens or (Listen(80),), locations=found)


def _location(directory: Path, block: Directive, place: Place) -> Location:
    kind, pattern = ("", *block.words) if len(block.words) == 1 else (*block.words, "", "")[:2]
    if kind not in ("", "=", "^~", "~", "~*") or not pattern:
        raise ConfigError('invalid number of arguments in "location" directive', block.place)
    if kind in ("~", "~*"):
        try:
            re.compile(pattern)
        except re.error as error:
            raise ConfigError(f"the regular expression {pattern!r}: {error}", block.place) from None
    for directive in _included(directory, _inner(block)):
        changed = _placed(place, directive)
        if changed is None:
            _idle(directive, "http", "location")
        else:
            place = changed
    return Location(kind, pattern, place)


def _placed(place: Place, directive: Directive) -> Place | None:
    """The place with the directive, or None where it is of another sort."""
    words = directive.words
    if directive.name == "root":
        return replace(place, root=_one(directive))
    if directive.name == "index":
        return replace(place, index=words)
    if directive.name == "default_type":
        return replace(place, content_type=_one(directive))
    if directive.name == "add_header":
        if len(words) not in (2, 3):
            raise ConfigError('invalid number of arguments in "add_header" directive', directive.place)
        return replace(place, headers=(*place.headers, (words[0], _text(words[1], directive))))
    if directive.name == "return":
        return replace(place, answer=_return(directive))
    return None


def _return(directive: Directive) -> tuple[int, str]:
    words = directive.words
    if len(words) == 1 and words[0].startswith(("http://", "https://", "$scheme")):
        return 302, _text(words[0], directive)
    if not words or len(words) > 2 or not words[0].isdigit() or not 200 <= int(words[0]) <= 599:
        raise ConfigError(f'invalid return code "{" ".join(words)}"', directive.place)
    return int(words[0]), _text(words[1], directive) if len(words) == 2 else ""


def _text(text: str, directive: Directive) -> str:
    for braced, plain in _VARIABLE.findall(text):
        name = braced or plain
        if name not in VARIABLES and not name.startswith(_PREFIXES):
            raise ConfigError(f'unknown "{name}" variable', directive.place)
    return text


def expand(text: str, value: Callable[[str], str]) -> str:
    """A text with its variables put in."""
    return _VARIABLE.sub(lambda match: value(match[1] or match[2]), text)


_TLS_FIELDS = {
    "ssl_certificate": "certificate",
    "ssl_certificate_key": "key",
    "ssl_client_certificate": "client_authorities",
    "ssl_trusted_certificate": "client_authorities",
    "ssl_verify_client": "verify",
}


def _secured(tls: Tls, directive: Directive) -> Tls | None:
    name = _TLS_FIELDS.get(directive.name)
    if name is None:
        return None
    value = _one(directive)
    if name == "verify" and value not in ("on", "off", "optional"):
        raise ConfigError(f'invalid value "{value}" in "ssl_verify_client" directive', directive.place)
    return replace(tls, **{name: value})


def _listen(directive: Directive) -> Listen:
    words = directive.words
    port = words[0].rpartition(":")[2] if words else ""
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f'invalid host in "{words[0] if words else ""}" of the "listen" directive', directive.place)
    for word in words[1:]:
        if word not in ("ssl", "default_server", "http2", "reuseport") and not word.startswith("ipv6only="):
            raise ConfigError(f'invalid parameter "{word}"', directive.place)
    return Listen(int(port), "ssl" in words, "default_server" in words)


def _included(directory: Path, directives: Iterable[Directive]) -> Iterator[Directive]:
    for directive in directives:
        if directive.name != "include":
            yield directive
            continue
        pattern = _one(directive)
        path = Path(pattern) if pattern.startswith("/") else directory / pattern
        if path.name == "mime.types":
            continue  # types come from the host's list
        files = sorted(path.parent.glob(path.name))
        if not files and not set("*?[") & set(path.name):
            raise ConfigError(f'open() "{path}" failed', directive.place)
        for file in files:
            yield from _included(directory, read(file))


def _idle(directive: Directive, block: str, where: str = "") -> None:
    if directive.name not in _IDLE_IN[block]:
        raise ConfigError(
            f'the lab\'s nginx has no directive "{directive.name}" (of {where or block})', directive.place
        )


def _inner(directive: Directive) -> tuple[Directive, ...]:
    if directive.block is None:
        raise ConfigError(f'directive "{directive.name}" has no opening "{{"', directive.place)
    return directive.block


def _one(directive: Directive) -> str:
    if len(directive.words) != 1:
        raise ConfigError(f'invalid number of arguments in "{directive.name}" directive', directive.place)
    return directive.words[0]


def _check(servers: list[Server], path: Path) -> None:
    if not servers:
        raise ConfigError("there is no server", str(path))
    for server in servers:
        if any(listen.tls for listen in server.listens) and not (server.tls.certificate and server.tls.key):
            raise ConfigError(f'no "ssl_certificate" is defined for the server "{server.names[0]}"', str(path))
        if server.tls.verify == "on" and not server.tls.client_authorities:
            raise ConfigError("no ssl_client_certificate for ssl_verify_client", str(path))
    kinds: dict[int, tuple[bool, str, str]] = {}
    for tls, listen in ((server.tls, listen) for server in servers for listen in server.listens):
        kind = (listen.tls, tls.verify, tls.client_authorities) if listen.tls else (False, "", "")
        if kinds.setdefault(listen.port, kind) != kind:
            raise ConfigError(f"servers of port {listen.port} that differ in ssl or ssl_verify_client", str(path))
