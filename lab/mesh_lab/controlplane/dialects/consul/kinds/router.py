"""ServiceRouter: rules for the requests to a service, of which the first that matches is taken.

https://developer.hashicorp.com/consul/docs/connect/config-entries/service-router
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from mesh_lab.controlplane.dialects.consul.kinds.common import HeaderMatch, HTTPHeaderModifiers, Method
from mesh_lab.controlplane.model.base import Duration, Spec, UInt32

StatusCode = Annotated[int, Meta(ge=100, le=599)]


class QueryParamMatch(Spec, frozen=True):
    """A condition on a query parameter: at most one of the tests."""

    name: Annotated[str, Meta(min_length=1, max_length=1024)]
    present: bool = False
    exact: str = ""
    regex: str = ""


class ServiceRouteHTTPMatch(Spec, frozen=True):
    """Conditions that must all hold; of the paths at most one."""

    case_insensitive: bool = False
    path_exact: str = ""
    path_prefix: str = ""
    path_regex: str = ""
    header: list[HeaderMatch] = []
    query_param: list[QueryParamMatch] = []
    methods: list[Method] = []


class ServiceRouteMatch(Spec, frozen=True):
    """What a rule is for; all requests, where it is empty."""

    http: ServiceRouteHTTPMatch | None = None


class ServiceRouteDestination(Spec, frozen=True):
    """Where the requests go, and how."""

    service: str = ""
    service_subset: str = ""
    namespace: str = ""
    partition: str = ""
    prefix_rewrite: str = ""
    idle_timeout: Duration | None = None
    request_timeout: Duration | None = None
    num_retries: UInt32 = 0
    retry_on_connect_failure: bool = False
    retry_on: list[str] = []
    retry_on_status_codes: list[StatusCode] = []
    request_headers: HTTPHeaderModifiers | None = None
    response_headers: HTTPHeaderModifiers | None = None


class ServiceRoute(Spec, frozen=True):
    """One rule."""

    match: ServiceRouteMatch | None = None
    destination: ServiceRouteDestination | None = None


class ServiceRouter(Spec, frozen=True):
    """The rules in their order. What none is for goes to the service itself."""

    routes: list[ServiceRoute] = []
