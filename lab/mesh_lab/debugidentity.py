"""How the lab's own tools authenticate to istiod's debug interface.

It accepts requests from its own loopback, and otherwise needs a token (see `controlplane.debug.access`). What comes
through the API server's service proxy is not from its loopback, and the proxy does not forward the caller's
credentials. So a client with the right to make tokens of istiod's service account, as an administrator has it, makes
one, and sends it in a header of its own. The token is for istiod only: the API server does not take it.
https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

HEADER = "X-Istiod-Authorization"
AUDIENCE = "istio-ca"
TOKENS = "/api/v1/namespaces/istio-system/serviceaccounts/istiod/token"
_LIFE_SECONDS = 3600
_REQUEST: Mapping[str, Any] = {
    "apiVersion": "authentication.k8s.io/v1",
    "kind": "TokenRequest",
    "spec": {"audiences": [AUDIENCE], "expirationSeconds": _LIFE_SECONDS},
}
_UNAUTHORIZED = 401
_T = TypeVar("_T")
Headers = Mapping[str, str]


class DebugIdentity:
    """A token of istiod's service account, made at its first use, and again at half of its life."""

    def __init__(self, create: Callable[[str, Mapping[str, Any]], Any]) -> None:
        """Keep `create`, which posts an object to a path of the API and returns the answer."""
        self._create = create
        self._headers: Headers = {}
        self._until = 0.0

    def ask(self, send: Callable[[Headers], _T], code_of: Callable[[Exception], int]) -> _T:
        """Call `send` with the headers to send; when its error is 401 by `code_of`, call it again with a token.

        Raises:
            Exception: what `send` and `create` raise.
        """
        try:
            return send(self._headers if time.monotonic() < self._until else {})
        except Exception as error:  # what a client raises is its own
            if code_of(error) != _UNAUTHORIZED:
                raise
        token = self._create(TOKENS, _REQUEST)["status"]["token"]
        self._headers, self._until = {HEADER: f"Bearer {token}"}, time.monotonic() + _LIFE_SECONDS / 2
        return send(self._headers)
