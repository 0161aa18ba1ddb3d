"""A line that takes longer: frames that nftables sends into it arrive on this machine again after a while.

The kernel's own way, the queueing discipline netem, is missing from many kernels; nftables' `fwd` and packet sockets
are not. A line is a pair of virtual Ethernet devices. What is forwarded to the first leaves the second, where a socket
reads it; what the socket sends there arrives on the first, as if it had come from the pod just now, and goes on from
there through all that the node does with packets. The header of virtio_net goes with each frame: packets of a sidecar
are often of many segments, and without a checksum yet.

Frames keep their order, as on a wire. A line holds so many of them; more are dropped.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import subprocess
from collections import deque

MOST_FRAMES = 20_000
TIME_LIMIT_SECONDS = 10.0

_ETH_P_ALL = 0x0003
_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING = 263, 15, 23
_LARGEST_FRAME = 1 << 17
_RECEIVE_BUFFER = 1 << 23
_AT_ONCE = 64
_OTHER_MAC = "0a:58:0a:f4:00:03"  # not the node's: what arrives for the node on that end is the socket's alone


class LineError(Exception):
    """A line cannot be made here; the message says why."""


class Line:
    """The middle of a line whose devices are laid: it takes so many seconds, more or less the jitter.

    Raises:
        LineError: the kernel has no such sockets.
    """

    def __init__(self, name: str, seconds: float, jitter: float) -> None:
        self._seconds = seconds
        self._jitter = jitter
        self._held: deque[tuple[float, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        try:
            self._socket = _open(_far(name))
        except OSError as error:
            raise LineError(f"the kernel has no such packet sockets as a line needs: {error.strerror}") from error
        self._loop.add_reader(self._socket, self._read)

    def close(self) -> None:
        """Let what it holds arrive at once, and hold nothing more; once more does nothing."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket)
        self._read()
        if self._timer is not None:
            self._timer.cancel()
        self._deliver(float("inf"))
        self._socket.close()

    def _read(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                frame = self._socket.recv(_LARGEST_FRAME)
            except BlockingIOError:
                break
            if len(self._held) < MOST_FRAMES:
                due = self._loop.time() + self._seconds + random.uniform(-self._jitter, self._jitter)
                self._held.append((max(due, self._held[-1][0] if self._held else 0.0), frame))
        self._arm()

    def _arm(self) -> None:
        if self._held and self._timer is None:
            self._timer = self._loop.call_at(self._held[0][0], self._due)

    def _due(self) -> None:
        self._timer = None
        self._deliver(self._loop.time())
        self._arm()

    def _deliver(self, until: float) -> None:
        while self._held and self._held[0][0] <= until:
            try:
                self._socket.send(self._held.popleft()[1])
            except BlockingIOError:
                continue  # the device's queue is full, as it may be on any wire: the frame is lost


def lay(name: str, mac: str) -> None:
    """Lay a line's devices; packets are to be sent to the one of this name. The frames on it are for `mac`.

    Raises:
        LineError: they cannot be made.
    """
    far = _far(name)
    pair = f"link add {name} address {mac} type veth peer name {far} address {_OTHER_MAC}"
    _ip(pair, f"link set {name} up", f"link set {far} up")


def lift(name: str) -> None:
    """Remove a line's devices.

    Raises:
        LineError: they cannot be removed.
    """
    _ip(f"link delete {name}")


def link_of(address: str) -> tuple[str, str]:
    """The device that leads to a pod with this address, and its link-layer address.

    Raises:
        LineError: none does.
    """
    routes = json.loads(_ip(f"route get {address}", json_output=True))
    device = next((str(each["dev"]) for each in routes if "dev" in each), "")
    if not device or device == "lo":
        raise LineError(f"no device leads to {address}")
    (link,) = json.loads(_ip(f"link show dev {device}", json_output=True))
    return device, str(link["address"])


def _ip(*commands: str, json_output: bool = False) -> str:
    """What `ip` prints for these commands, of which the first that fails ends it.

    Raises:
        LineError: one fails.
    """
    program = ["ip", *(["-j"] if json_output else []), "-batch", "-"]
    try:
        done = subprocess.run(
            program, input="\n".join(commands), text=True, capture_output=True, timeout=TIME_LIMIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LineError(f"`ip` cannot be run: {error}") from error
    if done.returncode:
        raise LineError(f"ip: {done.stderr.strip()}")
    return done.stdout


def _far(name: str) -> str:
    return f"{name}far"


def _open(device: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    try:
        made.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        made.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        made.bind((device, _ETH_P_ALL))
    except OSError:
        made.close()
        raise
    return made
