"""What Istio does where no rule says anything: a request is tried again when the first try can have had no effect."""

from __future__ import annotations

DEFAULT_RETRY_ON = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
DEFAULT_ATTEMPTS = 2
HOST_SELECTION_ATTEMPTS = 5
