"""Deletes events after an hour, as kube-apiserver does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry.options import DeleteOptions
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import EVENTS
from mesh_lab.rfc3339 import parse

log = logging.getLogger(__name__)

LIFETIME = timedelta(hours=1)
INTERVAL_SECONDS = 60.0


def expired(events: Iterable[dict[str, Any]], moment: datetime) -> list[dict[str, Any]]:
    """Return the events that did not recur within the last hour."""
    return [each for each in events if moment - _last_seen(each, moment) > LIFETIME]


def _last_seen(event: dict[str, Any], fallback: datetime) -> datetime:
    series = event.get("series") or {}
    texts = (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    )
    text = next((each for each in texts if each), None)
    return fallback if text is None else parse(text)


async def expire_events(registry: Registry) -> None:
    """Delete expired events once a minute, until cancelled."""
    while True:
        for each in expired(registry.list(EVENTS), datetime.now(UTC)):
            metadata = each["metadata"]
            try:
                options = DeleteOptions(uid=metadata["uid"])
                await registry.delete(EVENTS, metadata["name"], metadata["namespace"], options=options)
            except ApiError as error:
                log.debug("event %s/%s not deleted: %s", metadata["namespace"], metadata["name"], error)
        await asyncio.sleep(INTERVAL_SECONDS)
