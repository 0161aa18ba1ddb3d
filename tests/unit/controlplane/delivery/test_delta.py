"""The delta protocol, held to a model of a client: whatever happens in between, it ends with what it should have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh_lab.controlplane.delivery.delta import SUBSCRIPTION_LIMIT, Session
from mesh_lab.controlplane.delivery.messages import Request, Response
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.xds.typeurls import CDS, EDS, LDS, RDS, SDS

NAMES = ("a", "b", "c")


@dataclass(frozen=True)
class Thing:
    """A resource; what it refers to stands in its version, so that equal versions are equal resources."""

    name: str
    version: str
    origins: tuple[Origin, ...] = ()
    refers: frozenset[str] = frozenset()
    secrets: tuple[str, ...] = ()

    @property
    def body(self) -> bytes:
        return self.version.encode()


def desired(clusters: Mapping[str, str], routed: Mapping[str, frozenset[str]]) -> dict[str, dict[str, Thing]]:
    """Clusters by name and version; listeners, each with a route of its name that refers to clusters."""
    return {
        CDS: {name: Thing(name, version) for name, version in clusters.items()},
        EDS: {name: Thing(name, "endpoints") for name in clusters},
        LDS: {name: Thing(name, "listener", refers=frozenset({name})) for name in routed},
        RDS: {name: Thing(name, f"to {sorted(to)}", refers=to) for name, to in routed.items()},
    }


@dataclass
class Client:
    """Does what Envoy does: subscribes to what its clusters and listeners refer to, refuses what is bad."""

    session: Session
    has: dict[str, dict[str, Thing]] = field(default_factory=lambda: {url: {} for url in (CDS, EDS, LDS, RDS)})
    names: dict[str, set[str]] = field(default_factory=lambda: {EDS: set(), RDS: set()})
    known: set[str] = field(default_factory=set)
    inbox: list[Response] = field(default_factory=list)
    warming: set[str] = field(default_factory=set)
    now: float = 0.0

    def begin(self) -> None:
        """Open a stream, naming what is held."""
        self.known.clear()
        for url in (CDS, LDS):
            self.send(Request(url))
        for url in (EDS, RDS):
            if self.names[url]:
                self.send(Request(url, subscribe=tuple(sorted(self.names[url]))))

    def reconnect(self, session: Session) -> None:
        """The stream has broken; what had not arrived is lost."""
        self.session = session
        self.inbox.clear()
        self.begin()

    def send(self, request: Request) -> None:
        if request.type_url not in self.known:
            self.known.add(request.type_url)
            held = {name: thing.version for name, thing in self.has[request.type_url].items()}
            request = Request(request.type_url, request.nonce, request.error, request.subscribe, (), held)
        self.session.request(request)

    def fetch(self) -> None:
        """What the server sends now goes onto the wire."""
        self.inbox += self.session.pump(self.now)
        in_flight = [response.type_url for response in self.inbox]
        assert len(in_flight) == len(set(in_flight)), "one response of a type at a time"

    def step(self) -> None:
        """Take one response off the wire and answer it."""
        if not self.inbox:
            return
        response = self.inbox.pop(0)
        url = response.type_url
        bad = [thing for thing in response.resources if thing.version.startswith("bad")]
        if bad:
            self.session.request(Request(url, response.nonce, error=f"bad: {bad[0].name}"))
            return
        for thing in response.resources:
            assert isinstance(thing, Thing)
            self.apply(url, thing)
        for name in response.removed:
            self.drop(url, name)
        self.session.request(Request(url, response.nonce))
        self.follow_references()

    def apply(self, url: str, thing: Thing) -> None:
        if url == CDS:
            self.warming.add(thing.name)
        if url == EDS:
            self.warming.discard(thing.name)
        if url == RDS:
            refused = self.session.desired()[CDS].keys() - self.has[CDS].keys()
            assert thing.refers <= self.has[CDS].keys() | refused, "a route only names clusters that are there"
        self.has[url][thing.name] = thing

    def drop(self, url: str, name: str) -> None:
        self.has[url].pop(name, None)
        if url == CDS:
            self.warming.discard(name)
            assert all(name not in route.refers for route in self.routes()), "no cluster goes while it is in use"

    def routes(self) -> list[Thing]:
        return [route for name, route in self.has[RDS].items() if name in self.has[LDS]]

    def follow_references(self) -> None:
        for url, wanted in ((EDS, set(self.has[CDS])), (RDS, set(self.has[LDS]))):
            more, less = wanted - self.names[url], self.names[url] - wanted
            self.names[url] = wanted
            for name in less:
                self.has[url].pop(name, None)
            if more or less:
                self.send(Request(url, subscribe=tuple(sorted(more)), unsubscribe=tuple(sorted(less))))

    def settle(self) -> None:
        """Let everything arrive."""
        for _ in range(200):
            self.fetch()
            if not self.inbox:
                if self.session.wake_at is None:
                    return
                self.now = self.session.wake_at
            self.step()
        raise AssertionError("it does not come to rest")


clusters = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(["1", "2", "bad"]))


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, dict[str, Thing]]:
    """Routes refer to clusters that there are."""
    made = draw(clusters)
    targets = st.frozensets(st.sampled_from(sorted(made))) if made else st.just(frozenset[str]())
    return desired(made, draw(st.dictionaries(st.sampled_from(NAMES), targets)))


moves = st.one_of(worlds(), st.sampled_from(["fetch", "step", "step", "settle", "reconnect", "forget"]))


@given(st.lists(moves, max_size=40), worlds())
@settings(max_examples=300, deadline=None)
def test_whatever_happens_a_client_ends_with_what_it_should_have(
    schedule: list[object], last: dict[str, dict[str, Thing]]
) -> None:
    session = Session()
    session.update(desired({}, {}), 1)
    client = Client(session)
    client.begin()
    number = 1
    good: dict[str, dict[str, Thing]] = desired({}, {})
    for move in [*schedule, last]:
        if move == "fetch":
            client.fetch()
        elif move == "step":
            client.step()
        elif move == "settle":
            client.settle()
        elif move in ("reconnect", "forget"):
            if move == "forget":
                client.has = {url: {} for url in client.has}
                client.names = {EDS: set(), RDS: set()}
                client.warming.clear()
            session = Session()
            session.update(good, number)
            client.reconnect(session)
        elif isinstance(move, dict):
            number += 1
            good = move
            session.update(good, number)
    client.settle()
    for url in (CDS, LDS):
        wanted = {name: thing.version for name, thing in good[url].items()}
        held = {name: thing.version for name, thing in client.has[url].items()}
        bad = {name for name, version in wanted.items() if version == "bad"}
        assert {n: v for n, v in held.items() if n not in bad} == {n: v for n, v in wanted.items() if n not in bad}
        assert "bad" not in held.values()
        assert {name for (kind, name) in session.rejections() if kind == url} == bad
    assert {route.name: route.version for route in client.routes()} == {n: t.version for n, t in good[RDS].items()}
    assert not client.warming, "every cluster that was sent has had its endpoints after it"
    assert {name for _, name in session.pending()} == {n for n, t in good[CDS].items() if t.version == "bad"}


def answer(session: Session, response: Response, error: str | None = None) -> None:
    session.request(Request(response.type_url, response.nonce, error))


def test_who_asks_for_everything_is_answered_even_when_there_is_nothing() -> None:
    session = Session()
    session.update(desired({}, {}), 1)
    session.request(Request(CDS))
    (response,) = session.pump(0)
    assert (response.type_url, response.resources, response.removed) == (CDS, (), ())
    answer(session, response)
    assert session.pump(0) == []


def test_an_answer_to_anything_but_what_is_in_flight_says_nothing() -> None:
    session = Session()
    session.update(desired({"a": "1"}, {}), 1)
    session.request(Request(CDS))
    (response,) = session.pump(0)
    session.request(Request(CDS, nonce="of another time"))
    session.request(Request(CDS, nonce="of another time", error="no"))
    assert session.pending() == [(CDS, "a"), (EDS, "a")]
    assert not session.rejections()
    answer(session, response)
    assert session.pending() == [(EDS, "a")]


def test_one_bad_resource_among_good_ones_is_found_and_does_not_hold_them_up() -> None:
    session = Session()
    session.update(desired({"a": "1", "b": "bad", "c": "1"}, {}), 1)
    session.request(Request(CDS))
    sent: list[tuple[str, ...]] = []
    while responses := session.pump(0):
        (response,) = responses
        sent.append(tuple(thing.name for thing in response.resources))
        answer(session, response, "b is bad" if "b" in sent[-1] else None)
    assert sent == [("a", "b", "c"), ("a",), ("b",), ("c",)]
    assert [(name, bad.message) for (_, name), bad in session.rejections().items()] == [("b", "b is bad")]
    session.update(desired({"a": "1", "b": "2", "c": "1"}, {}), 2)
    (response,) = session.pump(0)
    answer(session, response)
    assert not session.rejections()
    assert session.held(CDS)["b"].version == "2"


def test_a_changed_cluster_gets_its_endpoints_again() -> None:
    session = Session()
    session.update(desired({"a": "1"}, {}), 1)
    session.request(Request(CDS))
    answer(session, session.pump(0)[0])
    session.request(Request(EDS, subscribe=("a",)))
    answer(session, session.pump(0)[0])
    session.update(desired({"a": "2"}, {}), 2)
    assert [response.type_url for response in session.pump(0)] == [CDS, EDS]


def test_a_cluster_stays_while_a_rejected_route_leaves_its_predecessor_in_use() -> None:
    session = Session()
    session.update(desired({"a": "1"}, {"r": frozenset({"a"})}), 1)
    client = Client(session)
    client.begin()
    client.settle()
    moved = desired({"b": "1"}, {"r": frozenset({"b"})})
    session.update({**moved, RDS: {"r": Thing("r", "bad", refers=frozenset({"b"}))}}, 2)
    client.settle()
    assert client.has[CDS].keys() == {"a", "b"}
    session.update(moved, 3)
    client.settle()
    assert client.has[CDS].keys() == {"b"}


def test_endpoints_are_sent_again_to_a_client_that_comes_back_waiting_for_them() -> None:
    session = Session()
    session.update(desired({"a": "1"}, {}), 1)
    session.request(Request(EDS, subscribe=("a",), initial_versions={"a": "endpoints"}))
    assert [thing.name for thing in session.pump(0)[0].resources] == ["a"]


def test_new_routes_wait_for_endpoints_but_not_for_ever() -> None:
    session = Session()
    session.update(desired({"a": "1"}, {"l": frozenset({"a"})}), 1)
    session.request(Request(CDS))
    session.request(Request(LDS))
    (response,) = session.pump(0)
    assert response.type_url == CDS
    answer(session, response)
    assert session.pump(10) == []
    assert session.wake_at == 10 + SUBSCRIPTION_LIMIT
    assert [r.type_url for r in session.pump(session.wake_at)] == [LDS]
    assert session.wake_at is None


def test_a_change_of_endpoints_waits_for_nothing() -> None:
    session = Session()
    world = desired({"a": "1"}, {"l": frozenset({"a"})})
    session.update(world, 1)
    for url in (CDS, LDS):
        session.request(Request(url))
    answer(session, session.pump(0)[0])
    session.request(Request(EDS, subscribe=("a",)))
    answer(session, session.pump(0)[0])
    (unanswered,) = session.pump(0)
    assert unanswered.type_url == LDS
    session.update({**world, EDS: {"a": Thing("a", "other endpoints")}}, 2)
    assert [(r.type_url, r.resources[0].version) for r in session.pump(0)] == [(EDS, "other endpoints")]


ORIGIN = Origin("VirtualService", "default", "vs", "7")
OTHER = Origin("Service", "default", "web", "8")


def routed(version: str, *origins: Origin) -> dict[str, dict[str, Thing]]:
    return {RDS: {"r": Thing("r", version, origins)}}


def begun(*origins: Origin) -> Session:
    session = Session()
    session.update(routed("1", *origins), 1)
    session.request(Request(RDS, subscribe=("r",)))
    answer(session, session.pump(0)[0])
    return session


def test_an_object_is_behind_until_what_was_made_of_it_is_acknowledged() -> None:
    session = begun(ORIGIN)
    session.update(routed("2", ORIGIN), 2)
    assert session.behind(ORIGIN.key, 2) == ([(RDS, "r")], [])
    assert session.behind(ORIGIN.key, 1) == ([], []), "what it was before, the client has"
    (response,) = session.pump(0)
    session.update(routed("3", ORIGIN, OTHER), 3)
    answer(session, response)
    assert session.behind(ORIGIN.key, 2) == ([], [])
    assert session.behind(ORIGIN.key, 3) == ([(RDS, "r")], [])
    assert session.behind(OTHER.key, 3) == ([(RDS, "r")], [])


def test_an_object_that_no_longer_has_a_part_is_behind_while_the_client_holds_the_old() -> None:
    session = begun(ORIGIN, OTHER)
    session.update(routed("2", OTHER), 2)
    assert session.behind(ORIGIN.key, 2) == ([(RDS, "r")], [])
    assert session.concerns(ORIGIN.key)
    answer(session, session.pump(0)[0])
    assert session.behind(ORIGIN.key, 2) == ([], [])
    assert not session.concerns(ORIGIN.key)


def test_going_back_while_the_new_is_on_its_way_is_not_yet_live() -> None:
    session = begun(ORIGIN)
    session.update(routed("2", ORIGIN), 2)
    (response,) = session.pump(0)
    session.update(routed("1", ORIGIN), 3)
    assert session.behind(ORIGIN.key, 3) == ([(RDS, "r")], [])
    answer(session, response)
    (again,) = session.pump(0)
    assert again.resources[0].version == "1"
    answer(session, again)
    assert session.behind(ORIGIN.key, 3) == ([], [])


def test_a_refusal_is_put_down_to_what_has_changed() -> None:
    session = begun(ORIGIN, OTHER)
    newer = ORIGIN._replace(resource_version="9")
    session.update(routed("2", newer, OTHER), 2)
    answer(session, session.pump(0)[0], "no")
    assert session.rejections()[(RDS, "r")].suspects == (newer,)
    lacking, refused = session.behind(ORIGIN.key, 2)
    assert lacking == [(RDS, "r")]
    assert [bad.message for bad in refused] == ["no"]
    assert session.pump(0) == [], "what was refused is not sent again"


def test_a_client_that_comes_back_with_other_versions_is_behind_in_all_that_differs() -> None:
    session = Session()
    session.update(routed("2", ORIGIN), 5)
    session.request(Request(RDS, subscribe=("r",), initial_versions={"r": "1"}))
    assert session.behind(("VirtualService", "default", "deleted meanwhile"), 5)[0] == [(RDS, "r")]


def test_a_secret_that_is_gone_leaves_the_last_one_in_use() -> None:
    session = Session()
    session.request(Request(SDS, subscribe=("s",)))
    session.set_secrets({"s": Thing("s", "1")})
    answer(session, session.pump(0)[0])
    session.set_secrets({})
    assert session.pump(0) == []
    assert session.pending() == []


def test_a_client_that_comes_back_with_a_secret_that_is_gone_lacks_nothing() -> None:
    # A gateway's listener that is drained holds on to its certificate, for minutes: nothing may wait for that.
    session = begun(ORIGIN)
    session.request(Request(SDS, subscribe=("s",), initial_versions={"s": "1"}))
    session.set_secrets({})
    assert session.behind(ORIGIN.key, 1) == ([], [])
    assert session.pending() == []


def test_a_secret_that_goes_before_its_renewal_was_taken_leaves_nothing_to_wait_for() -> None:
    session = begun(ORIGIN)
    session.request(Request(SDS, subscribe=("s",), initial_versions={"s": "1"}))
    session.set_secrets({"s": Thing("s", "2")})
    session.set_secrets({})
    assert session.pending() == []


def test_a_new_secret_concerns_whatever_waits_for_it() -> None:
    session = begun(ORIGIN)
    session.request(Request(SDS, subscribe=("s",)))
    assert session.pending() == [(SDS, "s")]
    session.update(routed("1", ORIGIN), 2)
    session.set_secrets({"s": Thing("s", "1", (OTHER,))})
    assert session.behind(ORIGIN.key, 2) == ([(SDS, "s")], [])
    answer(session, session.pump(0)[0])
    session.set_secrets({"s": Thing("s", "2", (OTHER,))})
    assert session.behind(ORIGIN.key, 2) == ([], []), "a renewed one concerns only who made it"


def test_each_secret_that_an_object_holds_is_sent_by_itself_for_envoy_rejects_one_only_once() -> None:
    session = begun(ORIGIN)
    session.request(Request(SDS, subscribe=("bad", "good", "own")))
    secrets = {"bad": Thing("bad", "1", (OTHER,)), "good": Thing("good", "1", (OTHER,)), "own": Thing("own", "1")}
    session.set_secrets(secrets)
    sent = []
    while responses := session.pump(0):
        (response,) = responses
        sent.append([resource.name for resource in response.resources])
        answer(session, response, "no certificate" if sent[-1] == ["bad"] else None)
    assert sent == [["own"], ["bad"], ["good"]]
    assert {name for _, name in session.rejections()} == {"bad"}


def test_a_rejected_secret_stands_in_the_way_of_those_who_name_it_and_of_nobody_else() -> None:
    session = begun(ORIGIN)
    session.update(routed("1", ORIGIN), 7)
    session.request(Request(SDS, subscribe=("s",)))
    session.set_secrets({"s": Thing("s", "1", (OTHER,))})
    assert session.behind(OTHER.key, 2) == ([(SDS, "s")], [])
    assert session.behind(ORIGIN.key, 2) == ([], [])
    answer(session, session.pump(0)[0], "no certificate")
    lacking, refused = session.behind(OTHER.key, 2)
    assert lacking == [(SDS, "s")], "a client that starts again asks anew for what was named long ago"
    assert [each.message for each in refused] == ["no certificate"]
    session.update(routed("2", ORIGIN), 8)
    for response in session.pump(0):
        answer(session, response)
    assert session.behind(ORIGIN.key, 8) == ([], [])


def test_a_listener_that_is_accepted_serves_only_once_its_secret_was_asked_for_and_taken() -> None:
    session = Session()
    session.request(Request(LDS))
    session.update({LDS: {"l": Thing("l", "1", (ORIGIN,), secrets=("s",))}}, 1)
    for response in session.pump(0):
        answer(session, response)
    assert session.behind(ORIGIN.key, 1)[0] == [(SDS, "s")]
    assert session.pending() == [(SDS, "s")]
    session.request(Request(SDS, subscribe=("s",)))
    session.set_secrets({"s": Thing("s", "1", (OTHER,))})
    assert session.behind(ORIGIN.key, 1)[0] == [(SDS, "s")]
    answer(session, session.pump(0)[0])
    assert session.behind(ORIGIN.key, 1) == ([], [])
    assert session.pending() == []
