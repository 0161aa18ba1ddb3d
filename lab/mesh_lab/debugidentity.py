"""How the lab's own tools show istiod's debug interface who they are.

It answers its own loopback, and otherwise a token (see `controlplane.debug.access`). What comes through the API
server's service proxy is not from its loopback, and the proxy keeps the caller's own credentials back. So a client with
the right to make tokens of istiod's service account, as an administrator has it, makes one, and sends it in a header of
its own. The token is for istiod only: the API server does not take it.
https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

HEADER = "X-Istiod-Authorization"
AUDIENCE = "istio-ca"
TOKENS = "/api/v1/namespaces/istio-system/serviceaccounts/istiod/token"
_LIFE_S = 3600
_REQUEST: Mapping[str, Any] = {
    "apiVersion": "authentication.k8s.io/v1",
    "kind": "TokenRequest",
    "spec": {"audiences": [AUDIENCE], "expirationSeconds": _LIFE_S},
}
_UNAUTHORIZED = 401
_T = TypeVar("_T")
Headers = Mapping[str, str]


class DebugIdentity:
    """A token of istiod's service account, made when it is first asked for and anew at half of its life."""

    def __init__(self, create: Callable[[str, Mapping[str, Any]], Any]) -> None:
        """`create` posts an object to a path of the API and returns the answer."""
        self._create = create
        self._headers: Headers = {}
        self._until = 0.0

    def ask(self, send: Callable[[Headers], _T], code_of: Callable[[Exception], int]) -> _T:
        """`send` with the headers to send. When it fails with 401, by `code_of` what it raised, once more with a token.

        Raises what `send` and `create` do.
        """
        try:
            return send(self._headers if time.monotonic() < self._until else {})
        except Exception as error:  # what a client raises is its own
            if code_of(error) != _UNAUTHORIZED:
                raise
        token = self._create(TOKENS, _REQUEST)["status"]["token"]
        self._headers, self._until = {HEADER: f"Bearer {token}"}, time.monotonic() + _LIFE_S / 2
        return send(self._headers)
