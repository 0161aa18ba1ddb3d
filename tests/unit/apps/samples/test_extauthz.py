"""The external authorizer, asked as Envoy asks it."""

from __future__ import annotations

import pytest

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.grpc.server import GrpcServer
from mesh_lab.apps.http.client import fetch
from mesh_lab.apps.samples import extauthz
from tests.unit.apps.conftest import Start
from tests.unit.apps.grpc.calls import call

DENIAL = "denied by ext_authz for not found header `x-ext-authz: allow` in the request"


async def test_over_http_the_header_decides(start: Start) -> None:
    _, url = await start(extauthz.check_http)
    allowed = await fetch(f"{url}/headers", headers={"x-ext-authz": "allow", extauthz.OVERRIDE: "mine"})
    assert (allowed.status, allowed.body) == (200, b"")
    assert allowed.headers.get("x-ext-authz-check-result") == "allowed"
    assert allowed.headers.get(extauthz.OVERRIDE) == "mine"
    assert "x-ext-authz:[allow]" in allowed.headers.get("x-ext-authz-check-received")
    assert "/headers, headers: map[" in allowed.headers.get("x-ext-authz-check-received")
    denied = await fetch(url, method="POST", headers={"x-ext-authz": "deny"}, body=b"a\r\nb")
    assert (denied.status, denied.body.decode()) == (403, DENIAL)
    assert denied.headers.get("x-ext-authz-check-result") == "denied"
    assert "body: [a  b]" in denied.headers.get("x-ext-authz-check-received")


def check_request(headers: dict[str, str], source: str) -> bytes:
    pairs = [wire.encode({1: name, 2: value}) for name, value in headers.items()]
    http = wire.encode({2: "GET", 3: pairs, 4: "/headers", 5: "httpbin:8000"})
    sides = {1: wire.encode({4: source}), 2: wire.encode({4: "spiffe://td/ns/foo/sa/httpbin"})}
    return wire.encode({1: wire.encode({**sides, 4: wire.encode({2: http})})})


@pytest.mark.parametrize("version", ["v2", "v3"])
@pytest.mark.parametrize(
    ("headers", "source", "allowed"),
    [
        ({"x-ext-authz": "allow"}, "spiffe://td/ns/foo/sa/curl", True),
        ({"x-ext-authz": "deny"}, "spiffe://td/ns/foo/sa/a", False),
        ({}, "spiffe://td/ns/foo/sa/a", True),
        ({}, "spiffe://td/ns/foo/sa/curl", False),
        ({}, "", False),
    ],
)
async def test_over_grpc_the_header_decides_or_else_the_service_account(
    start: Start, version: str, headers: dict[str, str], source: str, allowed: bool
) -> None:
    path = f"/envoy.service.auth.{version}.Authorization/Check"
    _, url = await start(GrpcServer({path: extauthz.Grpc("a").check}))
    response = await call(url, path, check_request(headers, source))
    assert 1 in response, "Envoy takes a response without a status for an error"
    code = wire.integer(wire.message(response, 1), 1)
    answer = wire.message(response, 3 if allowed else 2)
    fields = {
        wire.text(option, 1): wire.text(option, 2)
        for option in (wire.message(one, 1) for one in wire.messages(answer, 2))
    }
    assert code == (0 if allowed else 7)
    assert fields["x-ext-authz-check-result"] == ("allowed" if allowed else "denied")
    assert fields[extauthz.OVERRIDE] == "grpc-additional-header-override-value"
    assert 'path:"/headers" host:"httpbin:8000"' in fields["x-ext-authz-check-received"]
    if not allowed:
        assert wire.integer(wire.message(answer, 1), 1) == 403
        assert wire.text(answer, 3) == DENIAL
