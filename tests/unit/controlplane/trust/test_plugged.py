"""The Secret `cacerts`: used as Istio uses it, or refused by name."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from cryptography import x509

from mesh_lab.controlplane.trust.plugged import UnusableRootError, authority_in
from mesh_lab.controlplane.trust.root import Trust
from tests.unit.controlplane.authorities import Signer, istio_form, secret, signer
from tests.unit.controlplane.trust.test_root import Store

KEY = ("secrets", "istio-system", "cacerts")


@pytest.fixture(scope="module")
def root() -> Signer:
    return signer("root")


@pytest.fixture(scope="module")
def signing(root: Signer) -> Signer:
    return signer("signing", root)


def with_secret(data: dict[str, bytes]) -> Store:
    store = Store()
    store.objects[KEY] = secret(data)
    return store


def events(store: Store) -> list[tuple[str, str]]:
    return [(obj["reason"], obj["message"]) for (plural, *_), obj in store.objects.items() if plural == "events"]


async def load(store: Store) -> Trust:
    return await Trust.load(store, "istio-system", "cluster.local")


async def test_it_signs_in_the_name_of_the_root_and_shows_the_way_to_it(root: Signer, signing: Signer) -> None:
    store = with_secret(istio_form(signing, root))
    authority = (await load(store)).authority
    assert authority.roots == root.pem
    leaf, *above = x509.load_pem_x509_certificates(authority.issue_workload("spiffe://a/ns/b/sa/c", timedelta(1)).chain)
    leaf.verify_directly_issued_by(signing.certificate)
    assert above == [signing.certificate, root.certificate]
    assert ("secrets", "istio-system", "istio-ca-secret") not in store.objects, "no other root is made"


async def test_the_form_of_kubernetes_is_taken_too(root: Signer, signing: Signer) -> None:
    store = with_secret({"tls.crt": signing.pem, "tls.key": signing.key, "ca.crt": root.pem})
    authority = (await load(store)).authority
    assert (authority.certificate, authority.roots, authority.chain) == (signing.pem, root.pem, signing.pem + root.pem)


async def test_a_root_may_sign_itself_with_a_key_of_either_kind() -> None:
    for kind in ("rsa", "ec"):
        own = signer("own", kind=kind)
        authority = authority_in(secret(istio_form(own, own, own.pem)))
        assert authority is not None
        (leaf, *_) = x509.load_pem_x509_certificates(authority.issue_server(("a.example",), timedelta(1)).chain)
        leaf.verify_directly_issued_by(own.certificate)


async def test_a_secret_without_its_keys_is_not_meant() -> None:
    store = with_secret({"other": b"x"})
    await load(store)
    assert ("secrets", "istio-system", "istio-ca-secret") in store.objects


BROKEN = {
    "no chain": (lambda r, s: istio_form(s, r, b""), "has no cert-chain.pem"),
    "only a key": (lambda _, s: {"ca-key.pem": s.key}, "has no ca-cert.pem, root-cert.pem, cert-chain.pem"),
    "no PEM": (lambda r, s: istio_form(s, r) | {"root-cert.pem": b"x"}, "root-cert.pem is no PEM"),
    "another's key": (lambda r, s: istio_form(s, r) | {"ca-key.pem": r.key}, "key of its certificate"),
    "another root": (lambda _, s: istio_form(s, signer("root")), "no chain in cert-chain.pem leads from ca-cert.pem"),
    "not in the chain": (lambda r, s: istio_form(s, r, r.pem), "does not have the certificate of ca-cert.pem in it"),
    "no authority": (lambda r, _: istio_form(signer("x", r, ca=False), r), "not that of an authority"),
    "expired": (lambda r, _: istio_form(signer("x", r, days=-1), r), "is valid from"),
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_what_is_broken_is_named_and_no_other_root_takes_its_place(
    root: Signer, signing: Signer, broken: str
) -> None:
    made, said = BROKEN[broken]
    store = with_secret(made(root, signing))
    with pytest.raises(UnusableRootError, match=said):
        await load(store)
    ((reason, message),) = events(store)
    assert (reason, said in message) == ("UnusableAuthority", True)
    assert ("secrets", "istio-system", "istio-ca-secret") not in store.objects


async def said_of(store: Store, trust: Trust, event: str, data: dict[str, bytes]) -> list[tuple[str, str]]:
    """The Events after a change of the Secret, which is listed twice."""
    task = asyncio.create_task(trust.report(store))
    before = len(events(store))
    for _ in range(2):
        trust.observe(event, secret(data))
    await store.until(lambda: len(events(store)) > before)
    task.cancel()
    await asyncio.wait({task})
    return events(store)[before:]


async def test_another_signer_of_the_same_root_is_taken_up_at_once(root: Signer, signing: Signer) -> None:
    trust = await load(with_secret(istio_form(signing, root)))
    other = signer("another", root, kind="ec")
    trust.observe("MODIFIED", secret(istio_form(other, root)))
    assert trust.authority.certificate == other.pem
    assert trust.changed.count == 1
    trust.observe("MODIFIED", secret(istio_form(other, root)))
    assert trust.changed.count == 1


async def test_a_further_root_is_taken_up_at_once_and_then_a_signer_under_it(root: Signer, signing: Signer) -> None:
    trust = await load(with_secret(istio_form(signing, root)))
    other = signer("other")
    both = root.pem + other.pem
    trust.observe("MODIFIED", secret({**istio_form(signing, root), "root-cert.pem": both}))
    assert (trust.authority.roots, trust.changed.count) == (both, 1)
    trust.observe("MODIFIED", secret({**istio_form(other, other), "root-cert.pem": both}))
    assert (trust.authority.certificate, trust.changed.count) == (other.pem, 2)
    trust.observe("MODIFIED", secret(istio_form(other, other)))
    assert (trust.authority.roots, trust.changed.count) == (both, 2), "this one waits for a restart"
    assert trust.superseded
    trust.observe("MODIFIED", secret({**istio_form(other, other), "root-cert.pem": both}))
    assert not trust.superseded


@pytest.mark.parametrize(
    ("event", "data", "reason"),
    [
        ("MODIFIED", "another root", "RestartNeeded"),
        ("MODIFIED", "broken", "UnusableAuthority"),
        ("MODIFIED", "nothing", "AuthorityGone"),
        ("DELETED", "as it was", "AuthorityGone"),
    ],
)
async def test_what_is_not_taken_up_is_said_once(
    root: Signer, signing: Signer, event: str, data: str, reason: str
) -> None:
    store = with_secret(istio_form(signing, root))
    trust = await load(store)
    before, own = trust.authority, signer("own")
    contents = {
        "another root": istio_form(own, own),
        "broken": istio_form(signing, root, b"x"),
        "nothing": {},
        "as it was": istio_form(signing, root),
    }
    ((reported, _),) = await said_of(store, trust, event, contents[data])
    assert reported == reason
    assert trust.authority is before


async def test_one_that_comes_late_waits_for_a_restart(root: Signer, signing: Signer) -> None:
    store = Store()
    trust = await load(store)
    ((reason, message),) = await said_of(store, trust, "ADDED", istio_form(signing, root))
    assert reason == "RestartNeeded"
    assert "kubectl rollout restart deployment/istiod -n istio-system" in message
    assert trust.authority.roots != root.pem
