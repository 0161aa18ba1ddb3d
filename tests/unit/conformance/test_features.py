"""Which markers claim a case, and what is wrong with the others."""

from __future__ import annotations

import pytest

from mesh_lab.conformance.features import APIS, PROTOCOLS, Case, claimed


def test_a_marker_claims_a_case_by_its_arguments() -> None:
    case = claimed(["traffic/split"], {"protocol": "http2", "api": "httproute"}, {})
    assert case == Case("traffic/split", "http2", "httproute")
    assert str(case) == "traffic/split over HTTP/2 by HTTPRoute"


def test_what_a_marker_leaves_out_the_parameters_say_and_the_marker_comes_first() -> None:
    parameters = {"protocol": "grpc", "api": "virtualservice", "other": object()}
    assert claimed(["a/b"], {}, parameters) == Case("a/b", "grpc", "virtualservice")
    assert claimed(["a/b"], {"api": "none"}, parameters) == Case("a/b", "grpc", "none")


def test_the_resources_are_all_kinds_of_the_mesh_and_none() -> None:
    assert {"none", "virtualservice", "httproute", "grpcroute", "tcproute", "servicesplitter"} <= APIS.keys()
    assert list(PROTOCOLS) == ["http1", "http2", "grpc", "tcp"]


@pytest.mark.parametrize(
    ("positional", "named", "wrong"),
    [
        ([], {}, "nothing is no feature: write one, as 'traffic/split'"),
        (["a/b", "c/d"], {}, "'a/b', 'c/d' is no feature"),
        (["split"], {}, "'split' is no feature"),
        ([7], {}, "7 is no feature"),
        (["a/b"], {"protocol": "http3", "api": "none"}, "unknown protocol 'http3'; known are http1, http2, grpc, tcp"),
        (["a/b"], {"protocol": ["tcp"], "api": "none"}, r"unknown protocol \['tcp'\]"),
        (["a/b"], {"protocol": "tcp", "api": "HTTPRoute"}, "unknown api 'HTTPRoute'; known are none, virtualservice"),
        (["a/b"], {"protocol": "tcp"}, "no api: the marker says it, or a parameter of that name does"),
        (["a/b"], {"protocol": "tcp", "api": "none", "over": 1}, "unknown argument 'over'; known are protocol, api"),
    ],
)
def test_a_marker_that_is_wrong_is_told_how(positional: list[object], named: dict[str, object], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        claimed(positional, named, {})
