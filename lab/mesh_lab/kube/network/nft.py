"""nftables through its own library: a change in a fraction of a millisecond, where starting `nft` takes five or more.

The library does what the program does (both come with the package nftables), and it is called in a thread: a call does
not hold the interpreter's lock.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading


class NftError(Exception):
    """nftables rejected a ruleset, or is not installed; the text is nft's own."""


class Nft:
    """A handle on the ruleset of the network namespace in which it is made."""

    def __init__(self) -> None:
        self._library = _load()
        self._lock = threading.Lock()
        self._context = self._library.nft_ctx_new(0)
        if not self._context:
            raise NftError("libnftables gave no context: out of memory")
        self._library.nft_ctx_buffer_error(self._context)
        self._library.nft_ctx_buffer_output(self._context)

    async def apply(self, text: str) -> None:
        """Apply a script as one transaction: all of it or nothing.

        Raises:
            NftError: it was rejected.
        """
        await asyncio.to_thread(self.run, text)

    async def check(self, text: str) -> None:
        """Ask the kernel whether it would take a script, and change nothing.

        Raises:
            NftError: it would not.
        """
        await asyncio.to_thread(self.run, text, dry=True)

    def run(self, text: str, *, dry: bool = False) -> str:
        """Apply a script without asyncio, or with `dry` only check it; return the output of `list` commands.

        Raises:
            NftError: it was rejected.
        """
        with self._lock:
            if not self._context:
                raise NftError("the handle on nftables is closed")
            self._library.nft_ctx_set_dry_run(self._context, dry)
            failed = self._library.nft_run_cmd_from_buffer(self._context, text.encode())
            errors: bytes = self._library.nft_ctx_get_error_buffer(self._context) or b""
            output: bytes = self._library.nft_ctx_get_output_buffer(self._context) or b""
        if failed:
            raise NftError(errors.decode(errors="replace").strip() or "nftables refused the ruleset")
        return output.decode()

    def close(self) -> None:
        """Free the handle; the rules stay."""
        with self._lock:
            if self._context:
                self._library.nft_ctx_free(self._context)
                self._context = None


def _load() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libnftables.so.1")
    except OSError as error:
        raise NftError(f"libnftables.so.1 cannot be loaded ({error}); install the package nftables") from error
    library.nft_ctx_new.restype = ctypes.c_void_p
    library.nft_ctx_new.argtypes = [ctypes.c_uint32]
    library.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    for name in ("nft_ctx_get_error_buffer", "nft_ctx_get_output_buffer"):
        function = getattr(library, name)
        function.restype = ctypes.c_char_p
        function.argtypes = [ctypes.c_void_p]
    library.nft_ctx_set_dry_run.argtypes = [ctypes.c_void_p, ctypes.c_bool]
    for name in ("nft_ctx_buffer_error", "nft_ctx_buffer_output", "nft_ctx_free"):
        getattr(library, name).argtypes = [ctypes.c_void_p]
    return library
