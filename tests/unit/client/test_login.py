"""Users that a program logs in: what the program is given, what is made of its answer, when it is asked again."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from mesh_lab.client import login
from mesh_lab.client.api import Api
from mesh_lab.client.connection import ApiError
from mesh_lab.client.login import Login
from mesh_lab.errors import LabError
from mesh_lab.kube import pki
from tests.unit.client.serving import serve
from tests.unit.standins import StandIns, answer

V1 = "client.authentication.k8s.io/v1"


def given(token: str = "abc", *, lasts: float | None = None, **status: str) -> str:
    """What a program prints; `lasts` is in seconds from now."""
    said: dict[str, Any] = {"token": token, **status}
    if lasts is not None:
        said["expirationTimestamp"] = datetime.fromtimestamp(time.time() + lasts, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": said})


@pytest.fixture
def tools(tmp_path: Path) -> StandIns:
    return StandIns(tmp_path / "bin")


def user(tools: StandIns, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": V1, "command": str(tools.directory / "sign-in"), "args": ["get-token"], **fields}


def test_a_credential_is_kept_until_shortly_before_it_expires(tools: StandIns, monkeypatch: pytest.MonkeyPatch) -> None:
    tools.add("sign-in", answer("get-token", out=given(lasts=3600)))
    one = Login(user(tools), {}, tools.directory)
    assert one.credential().token == one.credential().token == "abc"
    assert tools.calls() == [["sign-in", "get-token"]]
    now = time.time()
    monkeypatch.setattr("mesh_lab.client.login.time.time", lambda: now + 3595)
    one.credential()
    assert len(tools.calls()) == 2


def test_a_credential_without_an_end_is_fetched_once(tools: StandIns) -> None:
    tools.add("sign-in", answer("get-token", out=given()))
    one = Login(user(tools), {}, tools.directory)
    assert one.credential() is one.credential()


def test_the_program_knows_the_cluster_and_has_its_own_environment(tmp_path: Path) -> None:
    script = tmp_path / "sign-in"
    script.write_text(f"""#!/bin/sh
printf %s "$KUBERNETES_EXEC_INFO" > {tmp_path}/info
printf '{given("%s")}' "$ROLE"
""")
    script.chmod(0o700)
    cluster = {
        "server": "https://there",
        "certificate-authority-data": "Y2E=",
        "extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}],
    }
    spec = {
        "apiVersion": V1,
        "command": "./sign-in",
        "env": [{"name": "ROLE", "value": "guest"}],
        "provideClusterInfo": True,
    }
    assert Login(spec, cluster, tmp_path).credential().token == "guest"
    info = json.loads((tmp_path / "info").read_text())
    assert (info["apiVersion"], info["kind"], info["spec"]["interactive"]) == (V1, "ExecCredential", False)
    assert info["spec"]["cluster"] == {
        "server": "https://there",
        "certificate-authority-data": "Y2E=",
        "config": {"audience": "x"},
    }


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("no JSON", "gave no credential"),
        (json.dumps({"apiVersion": V1, "kind": "ExecCredential"}), "gave no credential: KeyError"),
        (given().replace("/v1", "/v1beta1"), "instead of ExecCredential of client.authentication.k8s.io/v1"),
        (given(""), "neither a token nor a client certificate"),
        (given("", clientCertificateData="x"), "neither a token nor a client certificate"),
        (given(expirationTimestamp="tomorrow"), "gave no credential: ValueError"),
    ],
)
def test_an_answer_that_is_no_credential_is_reported(tools: StandIns, said: str, message: str) -> None:
    tools.add("sign-in", answer("get-token", out=said))
    with pytest.raises(LabError, match=message):
        Login(user(tools), {}, tools.directory).credential()


def test_a_program_that_fails_is_quoted_with_the_kubeconfigs_own_advice(tools: StandIns) -> None:
    tools.add("sign-in", answer("get-token", err=["the session has expired: run sign-in login\n"], code=1))
    with pytest.raises(LabError, match="the session has expired") as failure:
        Login(user(tools, installHint="See the handbook."), {}, tools.directory).credential()
    assert failure.value.hint == "See the handbook."


def test_a_program_that_is_missing_is_reported(tools: StandIns) -> None:
    with pytest.raises(LabError, match=r"cannot run .*sign-in: No such file") as failure:
        Login(user(tools), {}, tools.directory).credential()
    assert "does it log in?" in failure.value.hint


def test_a_program_that_hangs_is_ended(tools: StandIns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "_LIMIT_SECONDS", 0.5)
    tools.add("sign-in", answer("get-token", hangs=True))
    with pytest.raises(LabError, match=r"did not end within 0\.5 s"):
        Login(user(tools), {}, tools.directory).credential()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"apiVersion": "client.authentication.k8s.io/v1alpha1"}, "speaks 'client.authentication.k8s.io/v1alpha1'"),
        ({"interactiveMode": "Always"}, "asks its questions at a terminal"),
    ],
)
def test_what_the_lab_cannot_do_is_refused_before_anything_is_run(
    tools: StandIns, fields: dict[str, str], message: str
) -> None:
    tools.add("sign-in", answer("get-token", out=given()))
    with pytest.raises(LabError, match=message):
        Login(user(tools, **fields), {}, tools.directory).credential()
    assert tools.calls() == []


def logged_in(kubeconfig: Path, tools: StandIns) -> None:
    """Have the kubeconfig's user log in by the stand-in alone."""
    document = yaml.safe_load(kubeconfig.read_text())
    document["users"][0]["user"] = {"exec": user(tools)}
    kubeconfig.write_text(yaml.safe_dump(document))


def test_its_token_is_sent(tmp_path: Path, tools: StandIns) -> None:
    tools.add("sign-in", answer("get-token", out=given("of-the-cloud", lasts=3600)))
    with serve(tmp_path, lambda path: {"path": path}) as (server, kubeconfig):
        logged_in(kubeconfig, tools)
        with Api(kubeconfig) as api:
            api.request("GET", "/a")
    assert server.tokens == ["Bearer of-the-cloud"]
    assert len(tools.calls()) == 1


def test_its_client_certificate_is_used(tmp_path: Path, tools: StandIns) -> None:
    with serve(tmp_path, lambda path: {"path": path}) as (_, kubeconfig):
        own = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]
        fields = {"Certificate": "client-certificate-data", "Key": "client-key-data"}
        pem = {f"client{part}Data": base64.b64decode(own[field]).decode() for part, field in fields.items()}
        tools.add("sign-in", answer("get-token", out=given("", **pem)))
        logged_in(kubeconfig, tools)
        with Api(kubeconfig) as api:
            assert api.request("GET", "/a") == {"path": "/a"}


def certificate(directory: Path) -> tuple[dict[str, str], str]:
    """A new client certificate of the server's authority, as a program gives it, and its serial number."""
    for file in ("admin.crt", "admin.key"):
        (directory / "pki" / file).unlink()
    pair = pki.ensure(directory / "pki").admin
    serial = x509.load_pem_x509_certificate(pair.certificate.read_bytes()).serial_number
    pem = {"clientCertificateData": pair.certificate.read_text(), "clientKeyData": pair.key.read_text()}
    return pem, f"{serial:X}".zfill(len(f"{serial:X}") + len(f"{serial:X}") % 2)


def by_requests(api: Api, path: str) -> Any:
    return api.request("GET", path)


def by_orders_to_pods(api: Api, path: str) -> Any:
    with api.begin("POST", path, b"{}", timeout=10) as exchange:
        return json.loads(exchange.rest())


@pytest.mark.parametrize("asking", [by_requests, by_orders_to_pods])
def test_a_client_certificate_is_replaced_when_its_time_is_over(
    tmp_path: Path,
    tools: StandIns,
    monkeypatch: pytest.MonkeyPatch,
    asking: Callable[[Api, str], Any],
) -> None:
    with serve(tmp_path, lambda path: {"path": path}) as (server, kubeconfig):
        (first, one), (second, other) = certificate(tmp_path), certificate(tmp_path)
        tools.add("sign-in", answer("get-token", out=given("", lasts=3600, **first)))
        logged_in(kubeconfig, tools)
        with Api(kubeconfig) as api:
            assert [asking(api, "/a"), asking(api, "/b")] == [{"path": "/a"}, {"path": "/b"}]
            tools.add("sign-in", answer("get-token", out=given("", lasts=7200, **second)))
            now = time.time()
            monkeypatch.setattr("mesh_lab.client.login.time.time", lambda: now + 3595)
            assert [asking(api, "/c"), asking(api, "/d")] == [{"path": "/c"}, {"path": "/d"}]
    assert server.certificates == [one, one, other, other]
    assert len(tools.calls()) == 2


def test_a_credential_that_the_cluster_refuses_is_replaced_before_its_time(tmp_path: Path, tools: StandIns) -> None:
    def judged(path: str) -> Any:
        return {"path": path} if server.tokens[-1] == "Bearer new" else (401, "Unauthorized")

    tools.add("sign-in", answer("get-token", out=given("old")))
    with serve(tmp_path, judged) as (server, kubeconfig):
        logged_in(kubeconfig, tools)
        with Api(kubeconfig) as api:
            tools.add("sign-in", answer("get-token", out=given("new")))
            assert api.request("GET", "/a") == {"path": "/a"}
            assert len(tools.calls()) == 2
            # One that is refused again is reported, and not asked for for ever.
            tools.add("sign-in", answer("get-token", out=given("old")))
            server.answer = lambda _: (401, "Unauthorized")
            with pytest.raises(ApiError, match="Unauthorized"):
                api.request("GET", "/b")
    assert len(tools.calls()) == 3


def test_a_login_that_fails_is_reported(tmp_path: Path, tools: StandIns) -> None:
    tools.add("sign-in", answer("get-token", err=["who are you?\n"], code=1))
    with serve(tmp_path, lambda path: {"path": path}) as (_, kubeconfig):
        logged_in(kubeconfig, tools)
        with pytest.raises(LabError, match=r"who are you\?"):
            Api(kubeconfig)
