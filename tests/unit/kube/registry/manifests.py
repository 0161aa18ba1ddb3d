"""Manifests that the registry takes as they are; tests change one thing at a time."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import yaml

_DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: default, labels: {app: web}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: busybox:1
        ports: [{name: http, containerPort: 8080}]
        env: [{name: A, value: b}]
        readinessProbe: {httpGet: {port: http}}
        volumeMounts: [{name: scratch, mountPath: /scratch}]
      volumes: [{name: scratch, emptyDir: {}}]
"""
_POD = """
apiVersion: v1
kind: Pod
metadata: {name: one, namespace: default, labels: {app: one}}
spec:
  containers: [{name: main, image: "busybox:1"}]
"""
_SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
"""
_WEBHOOK = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: injector}
webhooks:
- name: injector.example.com
  clientConfig: {service: {namespace: default, name: injector, path: /inject}}
  rules: [{operations: [CREATE], apiGroups: [""], apiVersions: [v1], resources: [pods]}]
  sideEffects: None
  admissionReviewVersions: [v1]
"""
_CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: routes.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: routes, kind: Route, shortNames: [rt], categories: [mesh]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.weight, statusReplicasPath: .status.weight}
    additionalPrinterColumns: [{name: Host, type: string, jsonPath: .spec.host}]
    selectableFields: [{jsonPath: .spec.host}]
    schema:
      openAPIV3Schema: &schema
        type: object
        properties:
          spec:
            type: object
            required: [host]
            properties:
              host: {type: string, minLength: 1, maxLength: 20, pattern: '^[a-z.]+$'}
              weight: {type: integer, minimum: 0, maximum: 100, default: 100}
              ratio: {type: number, exclusiveMinimum: true, minimum: 0}
              mode: {type: string, enum: [SIMPLE, MUTUAL], default: SIMPLE}
              port: {x-kubernetes-int-or-string: true}
              note: {type: string, nullable: true}
              free: {type: object, x-kubernetes-preserve-unknown-fields: true}
              labels: {type: object, additionalProperties: {type: string}}
              hosts: {type: array, items: {type: string}, minItems: 1, x-kubernetes-list-type: set}
              matches:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items:
                  type: object
                  required: [name]
                  properties:
                    name: {type: string}
                    exact: {type: string}
                    prefix: {type: string}
                    kind: {type: string, default: http}
                  oneOf:
                  - required: [exact]
                  - required: [prefix]
                  - not: {anyOf: [{required: [exact]}, {required: [prefix]}]}
          status:
            type: object
            x-kubernetes-preserve-unknown-fields: true
  - name: v1beta1
    served: true
    storage: false
    deprecated: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema: *schema
"""


def deployment() -> dict[str, Any]:
    return _load(_DEPLOYMENT)


def pod(name: str = "one") -> dict[str, Any]:
    made = _load(_POD)
    made["metadata"]["name"] = name
    return made


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    made = _load(_SERVICE)
    made["metadata"]["name"] = name
    made["spec"] |= spec
    return made


def webhook() -> dict[str, Any]:
    return _load(_WEBHOOK)


def crd() -> dict[str, Any]:
    # The versions share one schema by reference in the text, and must not in the object.
    return deepcopy(_load(_CRD))


def config_map(name: str = "config", **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "data": data}


def set_at(obj: Any, path: str, value: Any) -> None:
    """Set, or with `...` remove, what a path such as `spec.ports.0.port` leads to."""
    *way, last = (int(part) if part.isdigit() else part for part in path.split("."))
    for part in way:
        obj = obj[part]
    if value is ...:
        del obj[last]
    else:
        obj[last] = value


def _load(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded
