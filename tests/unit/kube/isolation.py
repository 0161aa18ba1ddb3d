"""The node without a network that knows policies."""

from __future__ import annotations


class NoIsolation:
    """A network without policies."""

    async def admit(self, uid: str, addresses: tuple[str, ...]) -> None:
        """Let every pod in."""

    def release(self, uid: str) -> None:
        """Forget nothing."""

    def clear(self) -> None:
        """Forget nothing."""
