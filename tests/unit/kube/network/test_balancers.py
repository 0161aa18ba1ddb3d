"""Each load balancer has an address of its own: kept, freed, reserved, asked for."""

from __future__ import annotations

from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.kube.network.balancers import Addresses
from mesh_lab.kube.network.endpoints import Name

INGRESS, WEB, SHOP = Name("istio-system", "ingress"), Name("default", "web"), Name("default", "shop")


def addresses(cidr: str = "127.80.0.0/16") -> Addresses:
    return Addresses(cidr, {"127.80.0.1": INGRESS})


def next_of(made: Addresses, name: Name) -> str:
    return next(made.candidates(name), "")


def test_the_lowest_is_next_and_the_reserved_one_is_for_its_service() -> None:
    made = addresses()
    assert list(islice(made.candidates(WEB), 2)) == ["127.80.0.2", "127.80.0.3"]
    assert list(islice(made.candidates(INGRESS), 2)) == ["127.80.0.1", "127.80.0.2"]
    made.give("127.80.0.2", WEB)
    assert (made.of(WEB), made.of(SHOP), next_of(made, SHOP)) == ("127.80.0.2", "", "127.80.0.3")
    made.free(WEB)
    made.free(WEB)
    assert (made.of(WEB), next_of(made, SHOP)) == ("", "127.80.0.2")


def test_an_address_that_is_avoided_is_given_only_when_asked_for() -> None:
    made = addresses()
    made.avoid("127.80.0.2")
    assert next_of(made, WEB) == "127.80.0.3"
    assert made.problem("127.80.0.2", WEB) == ""


def test_a_wish_is_for_an_address_of_the_range_that_no_other_has() -> None:
    made = addresses()
    made.give("127.80.0.9", WEB)
    assert made.problem("127.80.0.9", WEB) == ""
    assert made.problem("127.80.0.9", SHOP) == "127.80.0.9 is the address of Service default/web"
    for stranger in ("192.0.2.1", "127.80.0.0", "127.80.255.255", "127.81.0.1", "fd00::1", "here"):
        assert (
            made.problem(stranger, SHOP)
            == f"{stranger} is none of the lab's addresses for load balancers, 127.80.0.0/16"
        )


def test_what_was_had_before_is_kept_unless_it_is_anothers() -> None:
    made = addresses()
    assert made.keep("127.80.0.7", WEB)
    assert not made.keep("127.80.0.7", SHOP), "the first one has it"
    assert not made.keep("127.80.0.1", SHOP), "as all had in labs of before"
    assert made.keep("127.80.0.1", INGRESS)
    assert not made.keep("", SHOP)
    assert [made.of(each) for each in (WEB, SHOP, INGRESS)] == ["127.80.0.7", "", "127.80.0.1"]


def test_a_range_has_an_end() -> None:
    made = addresses("127.80.0.0/30")
    assert list(made.candidates(WEB)) == ["127.80.0.2"]
    made.give("127.80.0.2", WEB)
    assert list(made.candidates(SHOP)) == []
    assert list(made.candidates(INGRESS)) == ["127.80.0.1"]


def test_what_a_service_has_comes_before_others_and_what_is_reserved_for_it_before_that() -> None:
    made = addresses()
    made.give("127.80.0.8", WEB)
    assert list(islice(made.candidates(WEB), 2)) == ["127.80.0.8", "127.80.0.2"]
    made.give("127.80.0.4", INGRESS)
    assert list(islice(made.candidates(INGRESS), 3)) == ["127.80.0.1", "127.80.0.4", "127.80.0.2"]


STEPS = st.lists(st.tuples(st.integers(0, 5), st.sampled_from(("next", "free", "keep", "ask")), st.integers(0, 9)))


@given(STEPS)
def test_no_two_services_ever_have_one_address(steps: list[tuple[int, str, int]]) -> None:
    made = addresses("127.80.0.0/29")
    names = [INGRESS, *(Name("default", f"s{number}") for number in range(5))]
    for who, what, number in steps:
        name, address = names[who], f"127.80.0.{number}"
        if what == "free":
            made.free(name)
        elif what == "keep":
            made.keep(address, name)
        elif what == "ask" and not made.problem(address, name):
            made.give(address, name)
        elif what == "next" and (found := next_of(made, name)):
            made.give(found, name)
        held = [made.of(each) for each in names if made.of(each)]
        assert len(held) == len(set(held))
        assert not set(made.candidates(name)) & (set(held) - {made.of(name)})
