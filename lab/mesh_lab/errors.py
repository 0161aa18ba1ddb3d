"""The exceptions that a person is meant to read."""

from __future__ import annotations


class LabError(Exception):
    """A failure that its reader can correct; the command line prints it without a traceback.

    `message` says what was wrong and where, `hint` what to do about it. The process then ends with `exit_code`
    (1: it failed; 2: wrong usage).
    """

    def __init__(self, message: str, *, hint: str = "", exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


class WaitTimeoutError(LabError, TimeoutError):
    """A condition did not hold in time; the message says what was the case instead."""


class ConfigurationRejected(LabError):  # noqa: N818 - what a proxy did with a resource
    """An applied resource is wrong, and has no effect until it is corrected; the lab itself is well."""
