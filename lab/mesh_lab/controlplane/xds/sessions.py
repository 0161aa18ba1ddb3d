"""Sessions: a client's requests stay with one endpoint, which a cookie or a header names.

The endpoint's address is in it, so that no proxy has to remember anything.
https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/stateful_session_filter
"""

from __future__ import annotations

from envoy.config.route.v3.route_components_pb2 import Route
from envoy.extensions.filters.http.stateful_session.v3.stateful_session_pb2 import (
    StatefulSession,
    StatefulSessionPerRoute,
)
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.extensions.http.stateful_session.cookie.v3.cookie_pb2 import CookieBasedSessionState
from envoy.extensions.http.stateful_session.header.v3.header_pb2 import HeaderBasedSessionState

from mesh_lab.controlplane.model.internal import Session
from mesh_lab.controlplane.xds.built import any_of
from mesh_lab.controlplane.xds.durations import duration

_FILTER = "envoy.filters.http.stateful_session"
_WHOLE_SITE = "/"


def idle_filter() -> HttpFilter:
    """The filter, without effect until a route brings a configuration for it."""
    return HttpFilter(name=_FILTER, typed_config=any_of(StatefulSession()), disabled=True)


def keep(route: Route, session: Session) -> None:
    """Keep the clients of a route with their endpoints, while those are there."""
    made = StatefulSession()
    state = made.session_state
    if session.header:
        state.name = "envoy.http.stateful_session.header"
        state.typed_config.CopyFrom(any_of(HeaderBasedSessionState(name=session.name)))
    else:
        cookie = CookieBasedSessionState()
        cookie.cookie.name, cookie.cookie.path = session.name, _WHOLE_SITE
        if session.lifetime:
            cookie.cookie.ttl.CopyFrom(duration(session.lifetime))
        state.name = "envoy.http.stateful_session.cookie"
        state.typed_config.CopyFrom(any_of(cookie))
    route.typed_per_filter_config[_FILTER].CopyFrom(any_of(StatefulSessionPerRoute(stateful_session=made)))
