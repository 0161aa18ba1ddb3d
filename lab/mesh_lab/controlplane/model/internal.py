"""The one model in which all dialects meet: Istio's types, with what those cannot say.

Translation reads these; it does not know which kind a rule was written in. What the types of a dialect mean is said by
the module that reads them. None of these is a part of any definition (CRD).
"""

from __future__ import annotations

from mesh_lab.controlplane.model.base import Duration, Spec, StringMatch
from mesh_lab.controlplane.model.destinationrule import ClientTLSSettings, DestinationRule
from mesh_lab.controlplane.model.gateway import Gateway
from mesh_lab.controlplane.model.virtualservice import HTTPRedirect, HTTPRoute, RegexRewrite


class SegmentMatch(StringMatch, frozen=True):
    """A path by its first segments: `/foo` is for `/foo` and `/foo/bar`, not for `/foobar`."""

    segments: str = ""


class Redirect(HTTPRedirect, frozen=True):
    """A redirect whose path is made of the request's."""

    uri_regex_rewrite: RegexRewrite | None = None


class Session(Spec, frozen=True):
    """By what a client's requests stay with one endpoint: a cookie, or a `header`, of a name.

    A cookie is kept for its `lifetime`, without one as long as the browser runs.
    """

    name: str
    header: bool = False
    lifetime: str = ""


class Rule(HTTPRoute, frozen=True):
    """A rule that says more than a VirtualService's can.

    `missing_cluster` is the status of answers for a share of requests whose backend is not there. A stream without any
    traffic is ended after `idle_timeout`.
    """

    missing_cluster: int = 0
    session: Session | None = None
    idle_timeout: Duration | None = None


class ServiceGateway(Gateway, frozen=True):
    """A Gateway of the pods behind some Services (`namespace/name`), instead of those that a selector names.

    `certificate` is the Secret (`namespace/name`) that is shown to servers which a `BackendTLS` is for.
    """

    services: tuple[str, ...] = ()
    certificate: str = ""


class BackendTLS(ClientTLSSettings, frozen=True):
    """TLS to servers that is not a DestinationRule's: verified by authorities that the control plane sends.

    `authority` is the policy (`namespace/name`) that names them, empty for the system's; `certificate` the client's
    own. `trusts_nobody`: no server is trusted, since the policy cannot be carried out.
    """

    authority: str = ""
    certificate: str = ""
    trusts_nobody: bool = False


class BackendRule(DestinationRule, frozen=True):
    """The policies of a host that are not a DestinationRule's: they fill in what those leave out."""
