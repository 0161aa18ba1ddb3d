"""The store: every object of the cluster in memory, one revision for all, and the recent changes.

What is read is what is committed. A write gets its revision at once and waits in `head`, which only writers look at,
until the journal has it; then it becomes visible to readers and watchers together, and its future is done. So no
client acts on a state that a crash or a full disk takes back, as with etcd. Writes that arrive while a commit is under
way share the next one.

Objects are plain JSON values and immutable once stored: copy before changing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import orjson

from mesh_lab.kube.changes import Change, Log, Object
from mesh_lab.kube.errors import ApiError, bad_request
from mesh_lab.kube.heavy import LIGHT_BYTES
from mesh_lab.kube.journal import Journal, JournalError
from mesh_lab.kube.records import Record

OBJECT_LIMIT = 1536 * 1024
"""How large an object may be: what etcd takes (https://etcd.io/docs/latest/dev-guide/limit/)."""


@dataclass(frozen=True, slots=True, eq=False)
class _Write:
    """A change on its way into the journal, and the future of its caller."""

    change: Change
    record: Record
    done: asyncio.Future[Object]


class Store:
    """Objects by resource key (`pods`, `deployments.apps`), namespace (empty for cluster-wide kinds) and name."""

    def __init__(self, journal: Journal | None = None) -> None:
        self._journal = journal
        self._objects: dict[str, dict[str, dict[str, Object]]] = {}
        self._logs: dict[str, Log] = {}
        self._sizes: dict[tuple[str, str, str], int] = {}
        self._under_way: dict[tuple[str, str, str], _Write] = {}
        self._queue: list[_Write] = []
        self._listeners: list[Callable[[Change], None]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._committing_since: float | None = None
        self.failure = ""
        """Why the last commit failed; empty when it did not."""
        self.revision = 1
        if journal is not None:
            self.revision = max(journal.revision(), 1)
            for record in journal.records():
                key = (record.resource, record.namespace, record.name)
                self._place(*key, orjson.loads(record.body or b"{}"))
                self._measure(key, len(record.body or b""))
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._last = self._start = self.revision

    @classmethod
    def open(cls, path: Path, known: tuple[str, ...] = ()) -> Store:
        """The store whose journal is at `path`, as it was when it was last written. `known` as in `Journal`.

        Raises:
            JournalError: the file cannot be used.
        """
        return cls(Journal(path, known))

    def get(self, resource: str, namespace: str, name: str) -> Object | None:
        """The committed object, or None."""
        return self._objects.get(resource, {}).get(namespace, {}).get(name)

    def head(self, resource: str, namespace: str, name: str) -> Object | None:
        """The object with writes that are yet to be committed: what the next write has to start from."""
        write = self._under_way.get((resource, namespace, name))
        if write is not None:
            return None if write.change.removed else write.change.object
        return self.get(resource, namespace, name)

    def heads(self, resource: str) -> Iterator[Object]:
        """All objects of a resource as the next write finds them, in no particular order."""
        under_way = [key for key in self._under_way if key[0] == resource]
        for namespace, objects in self._objects.get(resource, {}).items():
            for name, obj in objects.items():
                if (resource, namespace, name) not in self._under_way:
                    yield obj
        for key in under_way:
            if (head := self.head(*key)) is not None:
                yield head

    def size(self, resource: str, namespace: str, name: str) -> int:
        """How many bytes the object was when it was last written, if those were many; 0 otherwise."""
        return self._sizes.get((resource, namespace, name), 0)

    def objects(self, resource: str, namespace: str | None = None) -> list[Object]:
        """The committed objects of one namespace, or of all when None, by namespace and name."""
        spaces = self._objects.get(resource, {})
        names = [namespace] if namespace is not None else sorted(spaces)
        return [space[name] for space in (spaces.get(n, {}) for n in names) for name in sorted(space)]

    def objects_at(self, resource: str, namespace: str | None, revision: int) -> list[Object]:
        """The list as it was at `revision`: what pages after the first are cut from.

        Raises:
            ApiError: 410, changes since then are no longer kept; 504 when the revision is yet to come.
        """
        self.require(revision)
        changes = self.log(resource).after(revision)
        state = {
            (o["metadata"].get("namespace", ""), o["metadata"]["name"]): o for o in self.objects(resource, namespace)
        }
        seen: set[tuple[str, str]] = set()
        for change in changes:
            key = (change.namespace, change.name)
            # The state before the first change since then is the state at that revision.
            if key in seen or (namespace is not None and change.namespace != namespace):
                continue
            seen.add(key)
            if (old := change.old) is None:
                state.pop(key, None)
            else:
                state[key] = old
        return [state[key] for key in sorted(state)]

    def count(self, resource: str, namespace: str | None = None) -> int:
        """How many committed objects there are."""
        spaces = self._objects.get(resource, {})
        return len(spaces.get(namespace, {})) if namespace is not None else sum(map(len, spaces.values()))

    def keys(self) -> Iterator[str]:
        """The resource keys under which objects are filed."""
        return (key for key, spaces in self._objects.items() if any(spaces.values()))

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Call `listener` with each change as it is committed, before any watcher sees it."""
        self._listeners.append(listener)

    def require(self, revision: int) -> None:
        """Reject a revision that is yet to come (as after a reset of the lab).

        Raises:
            ApiError: 504, as a real server answers, which makes clients list again.
        """
        if revision > self.revision:
            raise ApiError(504, "Timeout", f"Too large resource version: {revision}, current: {self.revision}")

    def log(self, resource: str) -> Log:
        """The changes of one resource."""
        return self._logs.setdefault(resource, Log(self._start))

    def put(self, resource: str, namespace: str, name: str, obj: Object) -> asyncio.Future[Object]:
        """Write `obj`, which now belongs to the store, under the next revision. The future is done when it is stored.

        Raises:
            ApiError: 400, the object has no JSON form; 413, it is too large; 507 through the future, the journal cannot
                be written. Nothing was stored.
        """
        obj["metadata"]["resourceVersion"] = str(self._last + 1)
        # Encoded before it is queued: an encoding error fails its writer only, not the batch.
        body = _encode(obj)
        self._last += 1
        self._measure((resource, namespace, name), len(body))
        return self._submit(Change(resource, namespace, name, obj, self.head(resource, namespace, name), False), body)

    def remove(self, resource: str, namespace: str, name: str, last: Object | None = None) -> asyncio.Future[Object]:
        """Remove the object; `last` is its last state where that differs from what is stored.

        The future's result is the last state with the removal's revision, which is what watchers see.

        Raises:
            KeyError: there is none.
            ApiError: through the future, as with `put`.
        """
        old = self.head(resource, namespace, name)
        if old is None:
            raise KeyError(f"{resource} {namespace}/{name}")
        self._last += 1
        last = last or old
        final = {**last, "metadata": {**last["metadata"], "resourceVersion": str(self._last)}}
        return self._submit(Change(resource, namespace, name, final, old, True), None)

    async def settled(self, resource: str, namespace: str, name: str) -> None:
        """Wait until the write to the object that is under way, if any, is committed.

        Raises:
            ApiError: 507, that write failed.
        """
        write = self._under_way.get((resource, namespace, name))
        if write is not None:
            await asyncio.shield(write.done)

    def delayed(self) -> float:
        """For how many seconds the commit that is under way, if any, has been."""
        began = self._committing_since
        return 0.0 if began is None else asyncio.get_running_loop().time() - began

    async def close(self) -> None:
        """Finish the writes under way and close the journal."""
        if self._flusher is not None:
            await self._flusher
        if self._thread is not None:
            self._thread.shutdown()
        if self._journal is not None:
            self._journal.close()

    def _submit(self, change: Change, body: bytes | None) -> asyncio.Future[Object]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Object] = loop.create_future()
        if self._journal is None:
            self._apply(change)
            done.set_result(change.object)
            return done
        record = Record(change.resource, change.namespace, change.name, change.revision, body)
        write = _Write(change, record, done)
        self._under_way[change.resource, change.namespace, change.name] = write
        self._queue.append(write)
        if self._flusher is None:
            self._flusher = loop.create_task(self._flush(self._journal), name="journal")
        # A caller that is cancelled must not take the write back: others may build on it.
        return asyncio.shield(done)

    async def _flush(self, journal: Journal) -> None:
        loop = asyncio.get_running_loop()
        while self._queue:
            batch, self._queue = self._queue, []
            self._committing_since = loop.time()
            try:
                await loop.run_in_executor(self._thread, journal.commit, [w.record for w in batch])
            except JournalError as error:
                self.failure = str(error)
                self._refuse(batch, error)
                continue
            finally:
                self._committing_since = None
            self.failure = ""
            for write in batch:
                self._apply(write.change)
                write.done.set_result(write.change.object)
        self._flusher = None

    def _apply(self, change: Change) -> None:
        key = (change.resource, change.namespace, change.name)
        if (write := self._under_way.get(key)) is not None and write.change is change:
            del self._under_way[key]
        if change.removed:
            del self._objects[change.resource][change.namespace][change.name]
            self._sizes.pop(key, None)
        else:
            self._place(*key, change.object)
        self.revision = change.revision
        self.log(change.resource).append(change)
        for listener in self._listeners:
            listener(change)

    def _refuse(self, batch: list[_Write], error: JournalError) -> None:
        """Fail the batch and all that waits behind it, for that may build on it. What is committed is untouched."""
        failed, self._queue = batch + self._queue, []
        self._under_way.clear()
        for write in failed:
            write.done.set_exception(ApiError(507, "InternalError", f"{error}; the request had no effect"))

    def _measure(self, key: tuple[str, str, str], size: int) -> None:
        if size > LIGHT_BYTES:
            self._sizes[key] = size
        else:
            self._sizes.pop(key, None)

    def _place(self, resource: str, namespace: str, name: str, obj: Object) -> None:
        self._objects.setdefault(resource, {}).setdefault(namespace, {})[name] = obj


def _encode(obj: Object) -> bytes:
    try:
        body = orjson.dumps(obj)
    except orjson.JSONEncodeError as error:
        raise bad_request(f"the object cannot be stored: {error}") from error
    if len(body) > OBJECT_LIMIT:
        text = f"etcdserver: request is too large: the object has {len(body)} bytes, the limit is {OBJECT_LIMIT}"
        raise ApiError(413, "RequestEntityTooLarge", text)
    return body
