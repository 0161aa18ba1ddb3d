"""What is read from a kubeconfig, in the forms that clouds and people give it, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh_lab.client import kubeconfig
from mesh_lab.client.api import Api
from mesh_lab.errors import LabError
from tests.unit.client.serving import serve


def changed(file: Path, *, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> None:
    """Have fields of the only cluster, or all of the only user, be others; None takes a field away."""
    document = yaml.safe_load(file.read_text())
    merged = document["clusters"][0]["cluster"] | (cluster or {})
    document["clusters"][0]["cluster"] = {field: value for field, value in merged.items() if value is not None}
    if user is not None:
        document["users"][0]["user"] = user
    file.write_text(yaml.safe_dump(document))


def fetched(file: Path) -> Any:
    with Api(file) as api:
        return api.request("GET", "/a")


def server_of(file: Path) -> str:
    return str(yaml.safe_load(file.read_text())["clusters"][0]["cluster"]["server"])


def test_a_cluster_may_be_a_path_on_somebodys_server(tmp_path: Path) -> None:
    with serve(tmp_path, lambda path: {"path": path}) as (_, file):
        changed(file, cluster={"server": f"{server_of(file)}/k8s/clusters/c-1/"})
        assert fetched(file) == {"path": "/k8s/clusters/c-1/a"}


def test_a_token_is_read_from_its_file_each_time(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    with serve(tmp_path, lambda path: {"path": path}) as (server, file):
        changed(file, user={"tokenFile": "token"})
        with Api(file) as api:
            api.request("GET", "/a")
            (tmp_path / "token").write_text("second\n")
            api.request("GET", "/a")
    assert server.tokens == ["Bearer first", "Bearer second"]


def test_a_certificate_is_not_checked_where_the_kubeconfig_says_so(tmp_path: Path) -> None:
    with serve(tmp_path, lambda path: {"path": path}) as (_, file):
        changed(file, cluster={"certificate-authority-data": None, "insecure-skip-tls-verify": True})
        assert fetched(file) == {"path": "/a"}


def test_a_server_that_another_authority_vouches_for_is_not_trusted(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with (
        serve(tmp_path, lambda path: {"path": path}) as (_, file),
        serve(tmp_path / "other", lambda _: {}) as (_, more),
    ):
        authority = yaml.safe_load(more.read_text())["clusters"][0]["cluster"]["certificate-authority-data"]
        changed(file, cluster={"certificate-authority-data": authority})
        with pytest.raises(Exception, match=r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"):
            fetched(file)


@pytest.mark.parametrize("field", ["proxy-url", "tls-server-name"])
def test_what_the_lab_does_not_do_is_refused(tmp_path: Path, field: str) -> None:
    with serve(tmp_path, lambda path: {"path": path}) as (server, file):
        changed(file, cluster={field: "there.example"})
        with pytest.raises(LabError, match=f"asks for {field}, which the lab does not do"):
            Api(file)
    assert server.paths == []


@pytest.mark.parametrize(
    ("cluster", "user", "message"),
    [
        ({"server": "somewhere"}, None, "'somewhere' is no address"),
        ({"server": "https://"}, None, "'https://' is no address"),
        ({"server": "https://a:port"}, None, "not a kubeconfig that leads anywhere"),
        ({"certificate-authority-data": "bm9uZQ=="}, None, "the certificates for .* cannot be used"),
        ({}, {"client-certificate-data": "bm9uZQ==", "client-key-data": "bm9uZQ=="}, "certificates for .* cannot be"),
        ({}, {"client-certificate": "gone.crt", "client-key": "gone.key"}, r"cannot read .*gone\.crt: No such file"),
        ({}, {"tokenFile": "gone"}, r"cannot read the kubeconfig's token in .*gone"),
        ({}, {"username": "a", "password": "b"}, "neither a client certificate, a token nor a login program"),
    ],
)
def test_a_broken_kubeconfig_is_reported(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any] | None, message: str
) -> None:
    with serve(tmp_path, lambda path: {"path": path}) as (server, file):
        changed(file, cluster=cluster, user=user)
        with pytest.raises(LabError, match=message):
            Api(file)
    assert server.paths == []


@pytest.mark.parametrize("system", ["with files in memory", "without"])
def test_a_secret_is_in_a_file_only_as_long_as_it_is_needed(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if system == "without":
        monkeypatch.delattr(os, "memfd_create")
    read: Callable[[Path], bytes] = Path.read_bytes
    with kubeconfig.secret(b"hidden") as file:
        assert read(file) == b"hidden"
        assert file.is_relative_to("/proc") == (system != "without")
        assert system != "without" or file.stat().st_mode & 0o077 == 0
    assert not file.exists()
