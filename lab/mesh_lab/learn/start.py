"""The objects that a lesson starts with: its servers and clients, and the manifests of its folder."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.client.objects import Object, objects_in
from mesh_lab.harness.workloads import (
    TOKEN_VARIABLE,
    Images,
    Template,
    client_deployment,
    echo_deployment,
    echo_service,
    service_account,
)
from mesh_lab.learn.lesson import START, Lesson
from mesh_lab.learn.problems import BrokenLesson
from mesh_lab.learn.variants import Given

INJECT = "sidecar.istio.io/inject"


def workloads(lesson: Lesson, images: Images, token: str) -> list[Object]:
    """The servers and clients; their control ports take orders that carry `token`."""
    return [_with_token(obj, token) for obj in (*_servers(lesson, images), *_clients(lesson, images))]


def manifests(lesson: Lesson, folder: str, given: Given) -> list[Object]:
    """The objects of the YAML files in a folder of the lesson (or in one file), with the values filled in.

    Raises:
        BrokenLesson: a file is no YAML, or an object has no kind or name.
    """
    import yaml

    place = lesson.folder / folder
    found = []
    for file in sorted(place.glob("*.yaml")) if place.is_dir() else [place] if place.is_file() else []:
        text = lesson.text(file, given)
        try:
            objects = objects_in(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            raise BrokenLesson(file, mark.line + 1 if mark else 1, f"is no YAML: {error}") from error
        for obj in objects:
            if not (isinstance(obj, dict) and obj.get("kind") and obj.get("apiVersion") and obj.get("metadata")):
                raise BrokenLesson(file, 1, "an object has no apiVersion, kind or metadata")
        found += objects
    return found


def start(lesson: Lesson, given: Given, images: Images, token: str) -> list[Object]:
    """All objects of the start, without their namespace."""
    return [*workloads(lesson, images, token), *manifests(lesson, START, given)]


def _servers(lesson: Lesson, images: Images) -> Iterator[Object]:
    for name, server in lesson.about.servers.items():
        template = Template(name, images.echo, labels=_injected(lesson, server.sidecar))
        yield service_account(template.account)
        yield echo_service(name)
        for version in server.versions:
            yield echo_deployment(template, version, server.replicas)


def _clients(lesson: Lesson, images: Images) -> Iterator[Object]:
    for name, client in lesson.about.clients.items():
        template = Template(name, images.client, labels=_injected(lesson, client.sidecar))
        yield service_account(template.account)
        yield client_deployment(template, capture=client.capture)


def _injected(lesson: Lesson, sidecar: bool) -> dict[str, str]:
    by_namespace = lesson.about.injection == "enabled"
    return {} if sidecar == by_namespace else {INJECT: str(sidecar).lower()}


def _with_token(obj: Object, token: str) -> Object:
    """The object; the token of the process that makes it would have each command replace all pods."""
    for container in obj.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
        for variable in container.get("env", ()):
            if variable["name"] == TOKEN_VARIABLE:
                variable["value"] = token
    return obj
