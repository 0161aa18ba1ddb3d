"""What stands between the node, which makes pods' networks, and the network, which knows the NetworkPolicies."""

from __future__ import annotations

from typing import Protocol


class IsolationError(Exception):
    """The rules that a pod is to begin with cannot be put in force; the message is for the pod's owner."""


class Isolation(Protocol):
    """Told of each pod's addresses before the pod has them, so that no packet slips past a policy."""

    async def admit(self, uid: str, addresses: tuple[str, ...]) -> None:
        """A pod is about to get addresses; returns when the policies hold for it.

        Raises:
            IsolationError: they cannot be put in force; the pod must not have the addresses.
        """
        ...

    def release(self, uid: str) -> None:
        """The pod has its addresses no more."""
        ...

    def clear(self) -> None:
        """No pod has an address: the node starts anew."""
        ...
