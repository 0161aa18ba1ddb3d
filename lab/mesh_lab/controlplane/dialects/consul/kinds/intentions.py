"""ServiceIntentions: who may call a service.

https://developer.hashicorp.com/consul/docs/connect/config-entries/service-intentions
"""

from __future__ import annotations

from typing import Literal

from mesh_lab.controlplane.dialects.consul.kinds.common import HeaderMatch, Method
from mesh_lab.controlplane.model.base import HeaderName, JsonObject, Spec

Action = Literal["", "allow", "deny"]


class HeaderPermission(HeaderMatch, frozen=True):
    """A condition on a header, which may also contain something, in whatever case."""

    name: HeaderName
    contains: str = ""
    ignore_case: bool = False


class IntentionHTTPPermission(Spec, frozen=True):
    """Requests that meet all of these conditions; of the paths at most one."""

    path_exact: str = ""
    path_prefix: str = ""
    path_regex: str = ""
    header: list[HeaderPermission] = []
    methods: list[Method] = []


class IntentionPermission(Spec, frozen=True):
    """What is done with requests of one form; the first permission that matches counts."""

    action: Action = ""
    http: IntentionHTTPPermission | None = None
    jwt: JsonObject | None = None


class SourceIntention(Spec, frozen=True):
    """A service, or `*` for all, that may call or may not: wholly, or by its requests."""

    name: str = ""
    namespace: str = ""
    peer: str = ""
    partition: str = ""
    sameness_group: str = ""
    action: Action = ""
    permissions: list[IntentionPermission] = []
    description: str = ""


class IntentionDestination(Spec, frozen=True):
    """The service that is called, or `*` for all."""

    name: str = ""
    namespace: str = ""


class ServiceIntentions(Spec, frozen=True):
    """Who may call a service. Of several sources that match the most exact counts."""

    destination: IntentionDestination = IntentionDestination()
    sources: list[SourceIntention] = []
    jwt: JsonObject | None = None
