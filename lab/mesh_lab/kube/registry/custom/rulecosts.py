"""What the rules in CEL of a definition may cost, before there are objects.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#resource-use-by-validation-functions
"""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.kube.errors import Cause
from mesh_lab.kube.registry.cel import costs
from mesh_lab.kube.registry.cel.declared import MOST_BYTES
from mesh_lab.kube.registry.cel.expressions import parse
from mesh_lab.kube.registry.custom import oldself
from mesh_lab.kube.registry.custom.rulenodes import Node
from mesh_lab.kube.registry.rules.causes import forbidden

_TOLD = 4
"""How many of the dearest rules are named."""
_ADVICE = (
    "try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
    "declared"
)


def check(nodes: list[Node], root: str) -> Iterator[Cause]:
    """Rules that may take too long, given the limits of the schema, which stands at `root`."""
    priced = []
    for node in nodes:
        for validation in node.schema.validations:
            place = f"{node.path}.{validation.place}"
            priced.append((f"{place}.rule", cost := _cost(validation.rule, node, times=True)))
            if cost > costs.LIMIT:
                yield _too_dear(f"{place}.rule", "estimated rule cost", cost, costs.LIMIT)
            if validation.message_expression:
                where = f"{place}.messageExpression"
                priced.append((where, cost := _cost(validation.message_expression, node, times=False)))
                if cost > costs.LIMIT:
                    yield _too_dear(where, "estimated messageExpression cost", cost, costs.LIMIT)
    total = sum(cost for _, cost in priced)
    if total > costs.TOTAL_LIMIT:
        why = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        dearest = sorted(priced, key=lambda each: -each[1])[:_TOLD]
        yield from (forbidden(path, why) for path, cost in dearest if cost >= costs.TOTAL_LIMIT / 100)
        what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        yield _too_dear(root, what, total, costs.TOTAL_LIMIT)


def _cost(text: str, node: Node, *, times: bool) -> int:
    assert node.declared is not None
    cost = costs.estimate(parse(text), {"self": node.declared, oldself.OLD: node.declared})
    if not times:
        return cost
    return cost * (MOST_BYTES // (node.declared.least_bytes + 1) if node.times is None else node.times)


def _too_dear(path: str, what: str, cost: int, limit: int) -> Cause:
    return forbidden(path, f"{what} exceeds budget by factor of {costs.factor(cost, limit)} ({_ADVICE})")
