"""nginx: the configurations of Istio's tasks, and what has no meaning here."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import pytest

from mesh_lab.apps.http.answers import Answer
from mesh_lab.apps.http.client import Client, Origin, fetch
from mesh_lab.apps.http.messages import Headers, Request
from mesh_lab.apps.http.server import Server as HttpServer
from mesh_lab.apps.samples.nginx import config, program
from mesh_lab.apps.samples.nginx.handler import Nginx, choose
from mesh_lab.apps.samples.nginx.syntax import ConfigError, read
from tests.unit.apps.conftest import Start

from .certificates import Authority, Files

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a configuration file."""

    def to_file(text: str) -> Path:
        path = tmp_path / "nginx.conf"
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


async def ask(
    servers: tuple[config.Server, ...], path: str = "/", host: str = "a", method: str = "GET"
) -> tuple[int, str]:
    response = await Nginx(servers)(Request(method, path, Headers([("host", host)]), port=80))
    assert isinstance(response.body, bytes)
    return response.status, response.body.decode()


def test_words_quotes_comments_and_lines_are_told_apart(write: Write) -> None:
    text = 'a \'b c\' "d\\"e" # comment ; {\n  f;\nevents {\n}\nhttp { g ${h}i; }\n'
    first, second, third = read(write(text))
    assert (first.name, first.words, first.block) == ("a", ("b c", 'd"e', "f"), None)
    assert (second.name, second.block, second.place.rpartition(":")[2]) == ("events", (), "3")
    assert third.block is not None
    assert third.block[0].words == ("${h}i",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("events {", "unexpected end of file"),
        ("a", "unexpected end of file"),
        ("}", 'unexpected "}"'),
        (";", 'unexpected ";"'),
        ("http { server { listen 80; proxy_pass http://x; } }", 'no directive "proxy_pass" \\(of server\\)'),
        ("stream { }", 'no directive "stream" \\(of main\\)'),
        ("http { }", "there is no server"),
        ("http { server { listen x; } }", 'of the "listen" directive'),
        ("http { server { listen 80 quic; } }", 'invalid parameter "quic"'),
        ("http { server { listen 443 ssl; } }", 'no "ssl_certificate" is defined'),
        ("http { server { return 99; } }", 'invalid return code "99"'),
        ("http { server { return 200 $nope; } }", 'unknown "nope" variable'),
        ("http { server { location ~ ( { } } }", "regular expression"),
        ("http { server { include nothing.conf; } }", "failed"),
        ("http { server; }", 'has no opening "{"'),
        (
            "http { server { listen 80; } server { listen 80 ssl; ssl_certificate a; ssl_certificate_key b; } }",
            "port 80",
        ),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(write: Write, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        config.load(write(text))
    assert "nginx.conf" in str(error.value)


def test_the_line_of_a_directive_is_told(write: Write) -> None:
    with pytest.raises(ConfigError, match=r"nginx\.conf:4$"):
        config.load(write("events {}\nhttp {\n  server {\n    upstream x;\n  }\n}\n"))


async def test_locations_are_matched_as_nginx_does(write: Write) -> None:
    servers = config.load(
        write(
            """http { server {
            location / { return 200 prefix; }
            location /deep/ { return 200 deep; }
            location = /exact { return 200 exact; }
            location ~ \\.txt$ { return 200 text; }
            location ^~ /kept/ { return 200 kept; }
            location ~* \\.PNG$ { return 404; }
            location /away { return 301 https://$host$request_uri; }
            } }"""
        )
    )
    paths = ("/", "/deep/x", "/exact", "/deep/x.txt", "/kept/x.txt")
    assert [(await ask(servers, path))[1] for path in paths] == ["prefix", "deep", "exact", "text", "kept"]
    assert (await ask(servers, "/x.png"))[0] == 404
    moved = await Nginx(servers)(Request("GET", "/away?x=1", Headers([("host", "a:80")]), port=80))
    assert (moved.status, dict(moved.fields)["location"]) == (301, "https://a/away?x=1")


async def test_variables_and_headers_are_put_in(write: Write) -> None:
    answer = 'return 200 "$scheme $arg_a $http_x_b $server_name";'
    text = f"http {{ add_header X-Host $hostname; server {{ server_name n; {answer} }} }}"
    request = Request("GET", "/?a=1", Headers([("host", "n"), ("x-b", "2")]), port=80)
    response = await Nginx(config.load(write(text)))(request)
    assert response.body == b"http 1 2 n"
    assert "X-Host" in dict(response.fields)


async def test_files_are_served_from_the_root_and_from_nowhere_else(write: Write, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "sub").mkdir(parents=True)
    (site / "index.html").write_text("first page")
    (tmp_path / "secret").write_text("no")
    (site / "link").symlink_to(tmp_path / "secret")
    servers = config.load(write(f"http {{ server {{ root {site}; index index.html; }} }}"))
    assert await ask(servers) == (200, "first page")
    assert (await ask(servers, "/index.html"))[0] == 200
    assert [(await ask(servers, path))[0] for path in ("/../secret", "/link", "/sub/", "/sub", "/x")] == [
        403,
        403,
        403,
        301,
        404,
    ]
    assert (await ask(servers, method="POST"))[0] == 405


async def test_without_a_configuration_there_is_the_page_of_welcome(tmp_path: Path) -> None:
    status, page = await ask(config.usual(tmp_path))
    assert (status, "<title>Welcome to nginx!</title>" in page) == (200, True)
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "default.conf").write_text("server { listen 8080; return 200 mine; }")
    servers = config.usual(tmp_path)
    assert program.ports(servers) == [8080]
    assert await ask(servers) == (200, "mine")


def test_the_server_is_chosen_by_name_then_by_default(write: Write) -> None:
    servers = config.load(
        write(
            "http { server { server_name a.example; } server { server_name *.example; }"
            " server { listen 80 default_server; server_name x; } server { listen 81; server_name y; } }"
        )
    )
    chosen = [choose(servers, 80, name).names[0] for name in ("A.example", "b.example", "z", "y")]
    assert chosen == ["a.example", "*.example", "x", "x"]
    assert choose(servers, 81, "z").names[0] == "y"


class Tls:
    """A server with the configuration of the task on mutual TLS, and clients of it."""

    def __init__(self, directory: Path, verify: str) -> None:
        self.authority = Authority(directory, "example.com")
        self.one = self.authority.issue("my-nginx.mesh-external")
        self.two = self.authority.issue("other.mesh-external")
        self.port = 0
        self._text = f"""
        events {{ }}
        http {{
          log_format main '$remote_addr - $remote_user [$time_local]  $status "$request"';
          access_log /var/log/nginx/access.log main;
          error_log  /var/log/nginx/error.log;
          ssl_client_certificate {self.authority.certificate};
          ssl_verify_client {verify};
          server {{
            listen 443 ssl;
            root /usr/share/nginx/html;
            index index.html;
            server_name my-nginx.mesh-external;
            ssl_certificate {self.one.certificate};
            ssl_certificate_key {self.one.key};
          }}
          server {{
            listen 443 ssl; server_name other.mesh-external; return 200 other;
            ssl_certificate {self.two.certificate}; ssl_certificate_key {self.two.key};
          }}
        }}"""

    def servers(self, file: Path) -> tuple[config.Server, ...]:
        file.write_text(self._text, encoding="utf-8")
        return config.load(file)

    async def start(self, file: Path) -> HttpServer:
        servers = self.servers(file)
        server = HttpServer(Nginx(servers))
        self.port = await server.listen("127.0.0.1", 0, program.context(servers, 443))
        return server

    async def get(self, name: str = "my-nginx.mesh-external", shown: Files | None = None) -> Answer:
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        if shown is not None:
            context.load_cert_chain(shown.certificate, shown.key)
        with closing(Client(Origin("https", "127.0.0.1", self.port, name), tls=context, keep=False)) as client:
            return await client.request("GET", "/", {"host": name})


@pytest.fixture
async def mutual(tmp_path: Path) -> AsyncIterator[Tls]:
    tls = Tls(tmp_path, "on")
    server = await tls.start(tmp_path / "nginx.conf")
    yield tls
    await server.close(0.1)


async def test_a_client_without_a_certificate_is_told_so(mutual: Tls) -> None:
    answer = await mutual.get()
    assert answer.status == 400
    assert "No required SSL certificate was sent" in answer.body.decode()


async def test_a_client_with_a_certificate_gets_the_page(mutual: Tls) -> None:
    answer = await mutual.get(shown=mutual.authority.issue("client.example.com"))
    assert answer.status == 200
    assert "Welcome to nginx!" in answer.body.decode()


async def test_each_name_has_its_certificate(tmp_path: Path) -> None:
    tls = Tls(tmp_path, "off")
    server = await tls.start(tmp_path / "nginx.conf")
    assert "Welcome to nginx!" in (await tls.get()).body.decode()
    assert (await tls.get("other.mesh-external")).body == b"other"
    await server.close(0.1)


def test_the_command_checks_and_refuses(write: Write, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert program.main(["-t", "-c", str(write("events {} http { server { listen 80; } }"))]) == 0
    assert "test is successful" in capsys.readouterr().err
    assert program.main(["-c", str(write("http { server { listen 80; lua_code x; } }"))]) == 1
    assert 'nginx: [emerg] the lab\'s nginx has no directive "lua_code"' in capsys.readouterr().err
    missing = "http { server { listen 443 ssl; ssl_certificate /no/a; ssl_certificate_key /no/b; } }"
    assert program.main(["-g", "daemon off;", "-c", str(write(missing))]) == 1
    assert 'cannot load certificate "/no/a"' in capsys.readouterr().err


async def test_the_log_has_a_line_for_each_request(
    start: Start, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _, url = await start(Nginx(config.usual(tmp_path)))
    await fetch(f"{url}/x", headers={"user-agent": "me"})
    assert '"GET /x HTTP/1.1" 404' in capsys.readouterr().out
