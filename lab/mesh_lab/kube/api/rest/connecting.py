"""Admission of requests to subresources: a CONNECT is reviewed with its options, an action with its body.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-rules
"""

from __future__ import annotations

from collections.abc import Mapping

from mesh_lab.kube.api.context import Call
from mesh_lab.kube.api.rest.parameters import write_options
from mesh_lab.kube.changes import Object
from mesh_lab.kube.registry.options import AdmissionRequest, Operation, WriteOptions
from mesh_lab.kube.resources import NODES, PODS, SERVICES

_PROXIES = {NODES.key: "NodeProxyOptions", PODS.key: "PodProxyOptions", SERVICES.key: "ServiceProxyOptions"}
KINDS: Mapping[str, Mapping[str, str]] = {
    "attach": {PODS.key: "PodAttachOptions"},
    "exec": {PODS.key: "PodExecOptions"},
    "portforward": {PODS.key: "PodPortForwardOptions"},
    "proxy": _PROXIES,
}
"""The kinds of the options of a CONNECT, by subresource and resource."""

_FLAGS = ("stdin", "stdout", "stderr", "tty")


async def admit(call: Call) -> None:
    """Review a CONNECT request.

    Raises:
        ApiError: a webhook denies it.
    """
    kind = KINDS[call.target.subresource].get(call.resource.key)
    if kind is not None:
        await _admit(call, Operation.CONNECT, {"kind": kind, "apiVersion": "v1", **_options(call)})


async def admitted(call: Call, body: Object) -> Object:
    """Review an action; return its body after the mutating webhooks.

    Raises:
        ApiError: a webhook denies it.
    """
    return await _admit(call, Operation.CREATE, body, write_options(call)) or body


async def _admit(call: Call, operation: Operation, obj: Object, options: WriteOptions | None = None) -> Object | None:
    request = AdmissionRequest(
        operation,
        call.resource,
        obj,
        name=call.name,
        namespace=call.namespace,
        subresource=call.target.subresource,
        user=call.user,
        dry_run=options is not None and options.dry_run,
        options=options,
    )
    admission = call.registry.admission
    changed = await admission.mutate(request)
    await admission.validate(request.of(changed))
    return changed


def _options(call: Call) -> Object:
    """Return the query's options as an object of their kind."""
    if call.target.subresource == "proxy":
        return {"path": call.target.rest}
    if call.target.subresource == "portforward":
        numbers = ",".join(call.request.query.getall("ports", [])).split(",")
        return {"ports": [int(number) for number in numbers if number.isdecimal()]}
    options: Object = {flag: True for flag in _FLAGS if call.flag(flag)}
    if container := call.query("container"):
        options["container"] = container
    if call.target.subresource == "exec":
        options["command"] = call.request.query.getall("command", [])
    return options
