"""Subresources that do something: a service account's token, a pod's eviction and binding."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from mesh_lab.kube.api.bodies import answers
from mesh_lab.kube.api.context import AUTHENTICATOR, Call
from mesh_lab.kube.api.rest import connecting
from mesh_lab.kube.api.rest.parameters import read_typed
from mesh_lab.kube.errors import Cause, bad_request, conflict, invalid, not_found
from mesh_lab.kube.registry.options import DeleteOptions, Patch, PatchKind, WriteOptions
from mesh_lab.kube.registry.tokens import ISSUER, USUAL_SECONDS
from mesh_lab.kube.resources import PODS
from mesh_lab.rfc3339 import timestamp


async def token(call: Call) -> web.Response:
    """Issue a token of the service account (`kubectl create token`, and clients that renew theirs)."""
    body = await connecting.admitted(call, await read_typed(call, "authentication.k8s.io/v1", "TokenRequest"))
    spec = body.get("spec") or {}
    audiences, expires_s = spec.get("audiences") or [ISSUER], spec.get("expirationSeconds", USUAL_SECONDS)
    issued, expiry = call.request.app[AUTHENTICATOR].tokens.issue(
        call.namespace, call.name, audiences=audiences, expires_s=expires_s, pod=_bound_pod(call, spec)
    )
    answer = {
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": {"name": call.name, "namespace": call.namespace, "creationTimestamp": timestamp()},
        "spec": {
            "audiences": audiences,
            "expirationSeconds": expires_s,
            "boundObjectRef": spec.get("boundObjectRef"),
        },
        "status": {"token": issued, "expirationTimestamp": timestamp(expiry)},
    }
    return answers.json_response(answer, status=201)


async def evict(call: Call) -> web.Response:
    """Delete the pod. There are no disruption budgets in the lab."""
    body = await read_typed(call, "policy/v1", "Eviction")
    name = (body.get("metadata") or {}).get("name") or call.name
    if name != call.name:
        raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({call.name})")
    body = await connecting.admitted(call, body)
    # The eviction has been admitted; the deletion that follows from it is not shown to webhooks again.
    options = replace(DeleteOptions.parse(body.get("deleteOptions") or {}, call.user), admitted=True)
    await call.registry.delete(call.resource, call.name, call.namespace, options=options)
    return answers.json_response(_success(), status=201)


async def bind(call: Call) -> web.Response:
    """Bind the pod to a node, as a custom scheduler does."""
    body = await connecting.admitted(call, await read_typed(call, "v1", "Binding"))
    node = (body.get("target") or {}).get("name")
    if not node:
        cause = Cause("target.name", "Required value", "FieldValueRequired")
        raise invalid("Binding", call.name, (cause,))
    pod = call.registry.get(call.resource, call.name, call.namespace)
    if present := (pod.get("spec") or {}).get("nodeName"):
        raise conflict("pods/binding", call.name, f"pod {call.name} is already assigned to node {present}")
    version = pod["metadata"]["resourceVersion"]
    change = Patch(PatchKind.MERGE, {"metadata": {"resourceVersion": version}, "spec": {"nodeName": node}})
    await call.registry.patch(call.resource, call.name, call.namespace, change, options=WriteOptions(user=call.user))
    return answers.json_response(_success(), status=201)


def _success() -> dict[str, object]:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _bound_pod(call: Call, spec: dict[str, object]) -> tuple[str, str] | None:
    """Return (name, uid) of the pod that the token is to be bound to.

    Raises:
        ApiError: 404 without such a pod, 400 when it does not fit the token, 422 for another kind than Pod.
    """
    reference = spec.get("boundObjectRef")
    if not isinstance(reference, dict):
        return None
    kind = reference.get("kind", "")
    if kind != "Pod":
        text = f'Invalid value: "{kind}": the lab binds tokens to pods only ("Pod")'
        raise invalid("TokenRequest", call.name, (Cause("spec.boundObjectRef.kind", text),), "authentication.k8s.io")
    name = str(reference.get("name", ""))
    pod = call.registry.find(PODS, name, call.namespace)
    if pod is None:
        raise not_found("pods", name)
    account = (pod.get("spec") or {}).get("serviceAccountName", "default")
    if account != call.name:
        raise bad_request(f"pod {name} runs as service account {account}, not {call.name}")
    uid = str(pod["metadata"]["uid"])
    if reference.get("uid") not in (None, "", uid):
        raise bad_request(f"the bound object's UID ({reference['uid']}) is not that of pod {name} ({uid})")
    return name, uid
