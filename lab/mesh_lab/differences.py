"""Where the lab's control plane differs from Istio on purpose. `python -m mesh_lab.differences` prints it as a page.

A difference that is not in this table is a fault. Each names the test that holds it: change them together.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PAGE = "docs/differences.md"
_UNIT = "tests/unit/controlplane"

_HEAD = """\
# How it differs from Istio

On purpose, that is; any other difference is a fault, and worth an issue. It concerns the embedded cluster with the
lab's own control plane: on kind and on other clusters there is Istio itself. limits.md lists what the lab does not have
at all.

`make docs` makes this page of the table in `lab/mesh_lab/differences.py`. Each line is held by the test that it names.
"""


@dataclass(frozen=True)
class Difference:
    """One difference. `test` is a test's file and name, as pytest takes them."""

    area: str
    id: str
    what: str
    istio: str
    here: str
    reason: str
    test: str


DIFFERENCES: Sequence[Difference] = (
    Difference(
        "Requests",
        "attempt-count",
        "`x-envoy-attempt-count`",
        "Each request has it.",
        "Requests have it where a rule of their VirtualService asks for `retries`.",
        "To write, pack and read it was 3% of what a request costs, and elsewhere it says 1.",
        f"{_UNIT}/xds/test_actions.py::test_a_request_has_its_attempt_number_where_a_rule_asks_for_retries",
    ),
    Difference(
        "Requests",
        "http2-between-sidecars",
        "HTTP/2 between sidecars",
        "`h2UpgradePolicy` is `DO_NOT_UPGRADE` unless the mesh or a rule says otherwise.",
        "It is `UPGRADE`, where all pods of a service have sidecars and no rule sets a limit that only HTTP/1.1 knows.",
        "One connection between two sidecars instead of one for each request under way.",
        f"{_UNIT}/xds/test_clusters.py::test_between_sidecars_http_goes_over_http2_and_mutual_tls_to_the_services_own_identity",
    ),
    Difference(
        "Requests",
        "alias-of-an-alias",
        "A route to an ExternalName Service that stands for another ExternalName Service",
        "It leads to a cluster that does not exist, and so to 503.",
        "It leads to the service at the end of the chain, as a request to that name does.",
        "DNS leads there, too, and Istio has it down as a gap of its own.",
        f"{_UNIT}/xds/test_aliases.py::test_a_route_to_an_alias_leads_to_what_it_stands_for",
    ),
    Difference(
        "Requests",
        "rbac-in-routes",
        "Where AuthorizationPolicies and RequestAuthentications are, for HTTP",
        "In the listeners. A connection serves one more request by the old rules, or is drained for up to 45 s.",
        "In the routes, and in what Envoy discovers for its filters of tokens and authorisers (ECDS): a changed policy "
        "holds from the next request on, and no connection is drained.",
        "A policy is in force when `mesh-lab wait` says so. `istioctl x authz check` reads the listeners, and finds "
        "`_anonymous_match_nothing_` there; `istioctl pc routes POD -o json` has the policies.",
        f"{_UNIT}/xds/test_rbac.py::test_a_policy_changes_the_routes_and_keeps_http_chains",
    ),
    Difference(
        "Requests",
        "http-is-told-by-the-older-parser",
        "How HTTP is told on a port of undeclared protocol",
        "By Envoy's newer parser: text without a line's end waits until the detection's time is over.",
        "By its older one: such text passes as TCP at once, and so do HTTP methods that it does not know.",
        "With the newer parser `hello` without a newline waits without end, and 64 KiB of it are dropped.",
        f"{_UNIT}/xds/test_sniffing.py::test_text_of_any_length_without_a_line_passes",
    ),
    Difference(
        "Requests",
        "client-names-in-xfcc",
        "DNS names in `x-forwarded-client-cert` that a sidecar writes",
        "Asked for; certificates of the mesh have none.",
        "Not asked for.",
        "To look for what is not there at each request was 5% of a proxy's work.",
        f"{_UNIT}/xds/test_inbound.py::test_the_application_gets_the_clients_identity_from_its_proxy_only",
    ),
    Difference(
        "Requests",
        "tls-on-sidecar-ingress",
        "`tls` of a Sidecar's `ingress` listeners",
        "Ended where istiod runs with `ENABLE_TLS_ON_SIDECAR_INGRESS`; otherwise passed over in silence.",
        "Ended, with mutual TLS of the port `DISABLE`; elsewhere the Sidecar says that it has no effect.",
        "What a resource says is done or told.",
        f"{_UNIT}/xds/test_ingress.py::test_tls_of_a_stated_port_is_ended_with_the_sidecars_files",
    ),
    Difference(
        "Metrics",
        "request-count-lags",
        "`istio_requests_total`",
        "A counter of its own, up to date at once.",
        "Made of the durations' histogram at each scrape; it lags behind by up to a second.",
        "A counter beside the histogram would be formatted again at each request, for 3% of what that costs.",
        f"{_UNIT}/xds/test_telemetry.py::test_durations_and_sizes_are_histograms_under_istios_names",
    ),
    Difference(
        "Metrics",
        "answers-by-code",
        "Envoy's own counters of answers (`upstream_rq_2xx` and the like)",
        "Counted, and left out of what is kept.",
        "Not counted, unless the pod asks for more statistics (`proxyStatsMatcher`, `statsInclusion...` annotations).",
        "To look for them was 4% of a request. Istio's metrics know the code in any case.",
        f"{_UNIT}/xds/test_http.py::test_nobody_counts_answers_that_no_statistics_keep",
    ),
    Difference(
        "Metrics",
        "remaining-limits",
        "What remains of connection limits (`circuit_breakers...remaining_...`)",
        "Counted for each cluster.",
        "Counted where a DestinationRule sets a limit.",
        "Without a limit the remainder is a number short of 2^32, looked up at each request.",
        f"{_UNIT}/xds/test_clusters.py::test_what_remains_is_counted_where_there_is_any_limit",
    ),
    Difference(
        "Proxies",
        "workers",
        "Worker threads of a proxy (`concurrency`)",
        "2, or as many as its CPU limit allows.",
        "1, unless `proxy.istio.io/config`, a `ProxyConfig` or the mesh's settings say otherwise.",
        "Two workers on two cores had 13% less throughput, and circuit breakers count for each worker.",
        f"{_UNIT}/injection/test_bootstrap.py::test_a_proxy_has_one_worker_and_takes_turns_unless_configured_otherwise",
    ),
    Difference(
        "Proxies",
        "turns",
        "Requests of one connection that are taken at a time (`http.max_requests_per_io_cycle`)",
        "All that have arrived.",
        "16.",
        "Else 64 requests on one HTTP/2 connection go from stage to stage in step: 5 to 10% fewer a second.",
        f"{_UNIT}/injection/test_bootstrap.py::test_a_proxy_has_one_worker_and_takes_turns_unless_configured_otherwise",
    ),
    Difference(
        "Proxies",
        "certificates-by-istiod",
        "Where a proxy gets its key and certificate",
        "Its agent makes the key, and has istiod sign it.",
        "istiod makes both, and sends them over the authenticated stream that brings the rest of the configuration.",
        "There is no agent: a process less in each pod.",
        f"{_UNIT}/test_whole.py::test_a_proxy_shows_the_certificate_of_its_own_identity",
    ),
    Difference(
        "Resources",
        "unknown-fields",
        "Fields of Istio's API that the lab does not have",
        "There are none.",
        "Refused, with the field's path; one that the lab knows and cannot carry out draws a warning on the resource.",
        "What has no effect must not look as if it had.",
        f"{_UNIT}/model/test_decoding.py::test_what_does_not_fit_is_refused_with_its_place",
    ),
    Difference(
        "Resources",
        "findings-on-resources",
        "What `istioctl analyze` finds",
        "Printed by that command, or written into the status where istiod is configured to do so.",
        "A condition and an Event on the resource, always; `mesh-lab wait` prints it, too.",
        "A mistake should show where its author looks first.",
        f"{_UNIT}/test_whole.py::test_a_finding_is_a_condition_while_it_holds_and_an_event_each_time_that_it_comes_up",
    ),
    Difference(
        "Requests",
        "misdirected",
        "A request for the host of another HTTPS listener of the Gateway API's, on one connection",
        "404.",
        "421 (Misdirected Request), so that the client opens another connection.",
        "The specification asks for it (GEP-3567): browsers send requests for several hosts on one connection.",
        f"{_UNIT}/xds/gatewayapi/test_misdirected.py::test_a_request_for_another_listeners_host_is_misdirected",
    ),
    Difference(
        "Requests",
        "certificate-for-backends",
        "`tls.backend.clientCertificateRef` of the Gateway API's Gateways",
        "Is looked at, and not shown to backends.",
        "Is shown to the backends that a BackendTLSPolicy is for.",
        "The specification has it so, and Envoy can do it.",
        f"{_UNIT}/xds/gatewayapi/test_backendtls.py::test_a_gateway_shows_backends_its_certificate_and_sidecars_none",
    ),
    Difference(
        "Resources",
        "gateway-secrets",
        "A server of a Gateway whose Secret is missing",
        "Its port is held back until the Secret is there.",
        "It is left out, and its port serves the other servers; the Gateway has an error.",
        "One missing certificate should not take down the other hosts of a port.",
        f"{_UNIT}/xds/test_gatewaytls.py::test_tls_ends_with_the_hosts_own_secret",
    ),
    Difference(
        "Certificates",
        "plugged-chain",
        "A Secret `cacerts` whose `cert-chain.pem` lacks the signing certificate",
        "Taken; then every handshake fails.",
        "Refused: istiod says so and does not start.",
        "Otherwise nothing would tell the reason of the failures.",
        f"{_UNIT}/trust/test_plugged.py::test_what_is_broken_is_named_and_no_other_root_takes_its_place",
    ),
    Difference(
        "Certificates",
        "new-root",
        "A further root in the Secret `cacerts`, beside the one in use",
        "Taken up where istiod has `ISTIO_MULTIROOT_MESH`; otherwise it is ignored.",
        "Taken up at once. An Event on the Secret says what waits for a restart of istiod: another root instead.",
        "So a root is replaced without a failed connection: a second one, a signer under it, then only the second. "
        "Restart pods in between: Envoy reads the root of its own connection to istiod once.",
        f"{_UNIT}/trust/test_plugged.py::test_a_further_root_is_taken_up_at_once_and_then_a_signer_under_it",
    ),
    Difference(
        "Resources",
        "homes-of-namespaces",
        "A namespace that several control planes see",
        "Each writes its own root into it, in turn; `discoverySelectors` have to keep them apart.",
        "It belongs to one: that of its label `istio.io/rev`, or else the default one. Only that one writes its root "
        "and the statuses of its resources.",
        "Two that write the same object in turn never end, and the pods get either root by chance.",
        f"{_UNIT}/world/test_revisions.py::test_a_namespace_belongs_to_one_control_plane",
    ),
    Difference(
        "Resources",
        "unknown-revision",
        "A resource labelled with a revision that is not there",
        "No control plane acts on it.",
        "Every control plane does, and warns.",
        "A policy whose label has a typing error would let everybody in.",
        f"{_UNIT}/world/test_revisions.py::"
        "test_a_resource_for_another_revision_is_that_ones_for_as_long_as_it_is_there",
    ),
    Difference(
        "The way in",
        "ingress-ports",
        "The ports of the Service `istio-ingressgateway`",
        "`http2` is 80 and `https` is 443.",
        "`http2` and `https` have the lab's own numbers, 8080 and 8443, and so has `tcp` of the profile demo; in the "
        "cluster 80 and 443 answer, too.",
        "What the Service says has to answer on the host, where no ordinary user can have port 80.",
        "tests/e2e/test_ingress.py::test_the_ways_in_that_tutorials_look_up_lead_in_from_the_host",
    ),
    Difference(
        "The way out",
        "names-outside",
        "Names outside of the cluster",
        "Lead to the internet.",
        "Those of Istio's tasks lead to servers of the lab ([internet.md](internet.md)); others do not exist.",
        "A lesson about egress must not depend on the network of the place, nor on what others serve today.",
        "tests/e2e/test_outside.py::test_https_is_trusted_and_speaks_http2",
    ),
    Difference(
        "The way out",
        "names-of-entries",
        "A host that only a ServiceEntry with an address knows",
        "Resolves where proxies capture DNS (`ISTIO_META_DNS_CAPTURE`).",
        "Resolves always, for every pod, by the cluster's DNS. An address that the host was given resolves only where "
        "proxies capture DNS, as in Istio.",
        "A written address is one that the pod can reach without a sidecar, too, where there is a server.",
        "tests/unit/kube/network/test_entrynames.py::test_a_host_has_the_first_address_that_is_no_range",
    ),
    Difference(
        "The way out",
        "dns-capture",
        "A proxy that captures DNS (`ISTIO_META_DNS_CAPTURE`)",
        "Its agent answers over UDP and TCP, and passes on questions of every type.",
        "Envoy answers over UDP, and knows questions for addresses only (A, AAAA). Hosts are given an address of IPv4 "
        "(240.240.0.0/16), and one of IPv6 (2001:2::/48) beside it only where the cluster has both families.",
        "There is no agent beside the proxy, and an address that no pod can send to helps nobody.",
        f"{_UNIT}/xds/test_dnscapture.py::test_hosts_of_entries_have_their_addresses_and_all_else_is_asked_for",
    ),
    Difference(
        "The way out",
        "both-families-by-the-nodes",
        "A cluster of both IP families",
        "Istio serves both where istiod and proxies have `ISTIO_DUAL_STACK=true`.",
        "The mesh serves both wherever the nodes have two ranges of pods (`podCIDRs`); the variable changes nothing.",
        "Without it the second address of a pod would lead past its sidecar, and past what a policy demands.",
        f"{_UNIT}/xds/test_families.py::test_listeners_are_at_both_families_and_envoy_takes_them",
    ),
    Difference(
        "The way out",
        "tls-without-its-secret",
        "A sidecar and a DestinationRule with `credentialName`, but without `workloadSelector`",
        "The sidecar sends plain text.",
        "It begins TLS without the Secret, and trusts the machine's authorities.",
        "What a rule wants encrypted must not be sent in the clear.",
        f"{_UNIT}/xds/test_entries.py::test_a_sidecar_has_the_secret_of_a_rule_that_selects_it",
    ),
)


def page(differences: Sequence[Difference] = DIFFERENCES) -> str:
    """The page, in Markdown."""
    return "".join((_HEAD, *_sections(differences)))


def _sections(differences: Sequence[Difference]) -> Iterator[str]:
    for area in dict.fromkeys(each.area for each in differences):
        yield f"\n## {area}\n\n| | Istio | here | why | held by |\n|---|---|---|---|---|\n"
        for each in (each for each in differences if each.area == area):
            file, _, name = each.test.partition("::")
            held = f"[`{name}`](../{file})"
            yield f'| <a id="{each.id}"></a>{each.what} | {each.istio} | {each.here} | {each.reason} | {held} |\n'


if __name__ == "__main__":
    sys.stdout.write(page())
