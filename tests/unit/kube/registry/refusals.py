"""What is refused, and in which words. Each case changes one thing of a manifest that is taken as it is."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.resources import Resource

Case = tuple[str, Any, str, str]
"""Path and value to set in a manifest (...: to delete); the field of the cause, and what its message begins with."""
TEMPLATE = "spec.template.spec"
CONTAINER = f"{TEMPLATE}.containers.0"
IN_CONTAINER = "spec.template.spec.containers[0]"
RFC_1123 = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"


async def refused(registry: Registry, resource: Resource, obj: dict[str, Any]) -> dict[str, str]:
    """The causes of the refusal, message by field."""
    with pytest.raises(ApiError) as caught:
        await registry.create(resource, obj)
    assert (caught.value.code, caught.value.reason) == (422, "Invalid"), caught.value.message
    for cause in caught.value.causes:
        assert f"{cause.field}: {cause.message}" in caught.value.message or not cause.field
    return {cause.field: cause.message for cause in caught.value.causes}
