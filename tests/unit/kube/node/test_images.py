"""Images are programs by name."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from mesh_lab.apps.__main__ import PROGRAMS
from mesh_lab.kube.config import ImageEntry
from mesh_lab.kube.node.images import Images, UnknownImageError, repository, scripts, tools
from mesh_lab.kube.node.sampleimages import SAMPLE_IMAGES


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("busybox", "busybox"),
        ("busybox:1.36", "busybox"),
        ("docker.io/library/busybox:1.36", "busybox"),
        ("localhost:5000/mesh-lab/apps:dev", "mesh-lab/apps"),
        ("registry.example/team/app@sha256:0123", "team/app"),
        ("docker.io/istio/examples-bookinfo-reviews-v2:1.20.3", "istio/examples-bookinfo-reviews-v2"),
    ],
)
def test_registry_tag_and_digest_do_not_count(reference: str, name: str) -> None:
    assert repository(reference) == name


@pytest.mark.parametrize("published", ["docker.io/istio", "registry.istio.io/release"])
def test_published_bookinfo_images_run_the_samples(published: str) -> None:
    image = Images({}).find(f"{published}/examples-bookinfo-reviews-v3:1.20.3")
    assert image.entrypoint == (sys.executable, "-m", "mesh_lab.apps.bookinfo", "reviews")
    assert image.env["SERVICE_VERSION"] == "v3"


def test_the_client_of_istios_tasks_is_known_where_there_is_a_curl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh_lab.kube.node.images.which", lambda _, **__: "/usr/bin/curl")
    assert Images({}).find("docker.io/curlimages/curl:8.16.0").entrypoint == ("curl",)
    monkeypatch.setattr("mesh_lab.kube.node.images.which", lambda _, **__: None)
    with pytest.raises(UnknownImageError):
        Images({}).find("docker.io/curlimages/curl:8.16.0")


@pytest.mark.parametrize(
    ("reference", "program", "arguments", "env"),
    [
        ("docker.io/mccutchen/go-httpbin:v2.15.0", "go-httpbin", (), {}),
        ("docker.io/kennethreitz/httpbin", "gunicorn", ("-b", "0.0.0.0:80", "httpbin:app"), {}),
        ("registry.istio.io/release/examples-helloworld-v2:1.0", "helloworld", (), {"SERVICE_VERSION": "v2"}),
        ("docker.io/istio/tcp-echo-server:1.3", "tcp-echo", (), {}),
    ],
)
def test_the_images_of_samples_run_the_programs_of_the_lab(
    reference: str, program: str, arguments: tuple[str, ...], env: dict[str, str]
) -> None:
    image = Images({}).find(reference)
    assert image.entrypoint == (sys.executable, "-m", "mesh_lab.apps", program)
    assert image.arguments == arguments
    assert env.items() <= image.env.items()


def test_every_program_of_an_image_is_one_of_the_labs() -> None:
    for sample in SAMPLE_IMAGES:
        assert {sample.program, *sample.commands.values()} <= PROGRAMS.keys()


def test_an_image_brings_its_own_commands_along_and_each_finds_those_that_hosts_lack() -> None:
    images = Images({})
    assert "-m mesh_lab.apps gunicorn" in scripts(images.find("kennethreitz/httpbin"))["gunicorn"]
    assert "gunicorn" not in scripts(images.find("busybox"))
    assert "pilot-agent" in scripts(images.find("busybox"))
    assert scripts(images.find("apache/skywalking-oap-server"))["swctl"].endswith('apps/tools/swctl.py "$@"\n')


def test_nc_and_nslookup_are_the_hosts_where_it_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh_lab.kube.node.images.which", lambda name, **_: None if name == "nc" else f"/bin/{name}")
    found = tools.__wrapped__()
    assert "netcat.py" in found["nc"]
    assert "nslookup" not in found


def test_an_unknown_image_names_those_that_exist_and_how_to_add_one() -> None:
    images = Images({"team/extra:v1": ImageEntry(command=("extra",))})
    with pytest.raises(UnknownImageError) as error:
        images.find("mongo:7")
    message = str(error.value)
    assert '"mongo:7"' in message
    assert "busybox" in message
    assert "team/extra" in message
    assert '[images."mongo"]' in message
    assert "meant?" not in message
    with pytest.raises(UnknownImageError, match=r"\(is mesh-lab/apps .*meant\?\)"):
        images.find("mesh-lab/app")


@pytest.mark.parametrize(("name", "why"), [("mysqldb", "it is MySQL"), ("details-v2", "no way")])
def test_a_sample_that_the_lab_has_not_says_why(name: str, why: str) -> None:
    reference = f"registry.istio.io/release/examples-bookinfo-{name}:1.20.3"
    with pytest.raises(UnknownImageError, match=why):
        Images({}).find(reference)
    assert Images({reference: ImageEntry(command=("x",))}).find(reference).entrypoint == ("x",)


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("docker.io/grafana/grafana:12.0.1", "it is Grafana"),
        ("quay.io/kiali/kiali:v2.27", "it is Kiali"),
        ("docker.io/grafana/loki:3.6.7", "it is Loki"),
    ],
)
def test_an_addon_that_the_lab_has_not_says_what_to_do_instead(reference: str, why: str) -> None:
    with pytest.raises(UnknownImageError, match=f"{why}, which the lab has not; "):
        Images({}).find(reference)


def test_own_images_win_and_keep_their_settings() -> None:
    entry = ImageEntry(command=("serve",), args=("--fast",), env={"A": "1"}, user=7)
    image = Images({"docker.io/library/busybox:x": entry}).find("busybox")
    assert (image.entrypoint, image.arguments, image.env, image.user) == (("serve",), ("--fast",), {"A": "1"}, 7)
    assert image.identity != Images({}).find("busybox").identity


def test_an_environment_is_entered_as_its_activate_does() -> None:
    entry = ImageEntry(command=("uvicorn",), path="/home/me/shop", python="/home/me/venv", shown=("/home/me/shop",))
    image = Images({"me/shop": entry}).find("me/shop")
    assert image.env["PATH"].startswith("/home/me/venv/bin:")
    assert image.env["PATH"].endswith("/bin"), "the lab's tools and the host's programs come after"
    assert image.env["VIRTUAL_ENV"] == "/home/me/venv"
    assert (image.working_dir, image.shown) == ("/home/me/shop", ("/home/me/shop",))
    own = ImageEntry(command=("x",), python="/venv", env={"PATH": "/mine", "PYTHONUNBUFFERED": ""})
    assert Images({"me/x": own}).find("me/x").env["PATH"] == "/venv/bin:/mine"


def test_the_page_of_limits_names_every_image() -> None:
    text = (Path(__file__).parents[4] / "docs/limits.md").read_text(encoding="utf-8")
    for found in re.findall(r"`([^`]*\{[^`]*\}[^`]*)`", text):
        before, _, rest = found.partition("{")
        names, _, after = rest.partition("}")
        text += " ".join(f" {before}{name}{after}" for name in names.split(","))
    text += text.replace("istio/", "release/") + text.replace("istio-testing/", "testing/")
    missing = [image.name for image in Images({}).all() if image.name not in text]
    assert missing == []


def test_the_hosts_prometheus_is_run_or_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("mesh_lab.kube.node.images.search_path", lambda: str(tmp_path))
    with pytest.raises(UnknownImageError, match="and the host has none in /usr/local/sbin or /usr/local/bin"):
        Images({}).find("docker.io/prom/prometheus:v3.10.0")
    program = tmp_path / "prometheus"
    program.touch(mode=0o755)
    found = Images({}).find("docker.io/prom/prometheus:v3.10.0")
    assert found.entrypoint == (sys.executable, "-m", "mesh_lab.prometheus", str(program))
