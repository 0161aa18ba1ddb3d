"""An open model in Locust: tasks begin when they are due, whatever has become of those before.

Locust's users are closed: each waits for its answer, so a slow server is asked less often, at the very moments that
matter (coordinated omission). Here they are a bounded pool instead: a schedule says when the next task is due, and a
free user takes it. A request's latency counts from when its task was due. Tasks, TaskSets and sessions are those of any
locustfile; their wait times have no effect. One arrival is one task: only the first request of a task has waited.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import gevent
from arrivals import Arrival, Backlog, Schedule
from gevent import GreenletExit
from gevent.event import Event
from gevent.lock import Semaphore
from locust import TaskSet, events
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING, DefaultTaskSet

RATE_MESSAGE = "mesh-lab-rate"
_SWEEP_SECONDS = 1.0
_current: ContextVar[Arrival | None] = ContextVar("arrival", default=None)


class OpenModel:
    """The arrivals of this process, which its users take."""

    def __init__(self) -> None:
        self.backlog = Backlog()
        self._schedule = Schedule()
        self._changed = Event()
        self._free = Semaphore(0)
        self._running: gevent.Greenlet | None = None

    def begin(self) -> None:
        """Start without a rate."""
        self.end()
        self.backlog = Backlog()
        self._schedule = Schedule()
        self._free = Semaphore(0)
        self._running = gevent.spawn(self._run)

    def end(self) -> None:
        """No arrival comes any more; those that have not begun are dropped."""
        if self._running is not None:
            self._running.kill()
            self._running = None
        self.backlog.drop_all()

    @property
    def idle(self) -> bool:
        """Whether no arrival is to come."""
        return self._schedule.next is None

    def change(self, rate: float, offset: float) -> None:
        """Go on at `rate` a second."""
        self._schedule.change(rate, time.monotonic(), offset)
        self._changed.set()

    def take(self) -> Arrival:
        """The next arrival, once it is due."""
        while True:
            self._free.acquire()
            if (arrival := self.backlog.begin(time.monotonic())) is not None:
                return arrival

    def _run(self) -> None:
        while True:
            now = time.monotonic()
            for due in self._schedule.due(now):
                self.backlog.add(due)
                self._free.release()
            self.backlog.drop_old(now)
            following = self._schedule.next
            wait = _SWEEP_SECONDS if following is None else min(_SWEEP_SECONDS, following - now)
            self._changed.wait(max(0.0, wait))
            self._changed.clear()


def install() -> OpenModel:
    """Let the tasks of this process begin when they are due. To be called once, before there are users."""
    model = OpenModel()
    for holder in (TaskSet, DefaultTaskSet):
        holder.execute_task = _when_due(holder.execute_task, model)
    TaskSet.wait = _no_wait
    events.request.fire = _since_due(events.request.fire)
    events.test_start.add_listener(lambda **_: model.begin())
    events.test_stopping.add_listener(lambda **_: model.end())

    @events.init.add_listener
    def listen(runner: Any, **_: Any) -> None:
        def change(environment: Any, msg: Any, **_: Any) -> None:
            if model.idle and msg.data["rate"]:
                environment.stats.reset_all()  # else the time until now lowers the rate that is reported
            workers = max(1, msg.data["workers"])
            model.change(msg.data["rate"] / workers, max(0, runner.worker_index) / workers)

        # The master, which sends it, has no users.
        if hasattr(runner, "worker_index"):
            runner.register_message(RATE_MESSAGE, change)

    return model


def tell_rate(runner: Any, rate: float) -> None:
    """Tell the workers how many tasks a second begin, of all of them together."""
    runner.send_message(RATE_MESSAGE, {"rate": rate, "workers": runner.worker_count})


def _when_due(execute: Callable[[Any, Any], None], model: OpenModel) -> Callable[[Any, Any], None]:
    def execute_task(self: Any, task: Any) -> None:
        if isinstance(task, type):
            execute(self, task)  # a TaskSet, which has tasks of its own
            return
        self.user._state = LOCUST_STATE_WAITING
        arrival = model.take()
        self.user._state = LOCUST_STATE_RUNNING
        _current.set(arrival)
        try:
            execute(self, task)
        except GreenletExit:
            raise  # cut off by the end of the run
        except BaseException:
            model.backlog.counts.ended += 1
            raise
        else:
            model.backlog.counts.ended += 1
        finally:
            _current.set(None)

    return execute_task


def _no_wait(self: Any) -> None:
    if self.user._state == LOCUST_STATE_STOPPING:
        raise StopUser
    gevent.sleep(0)


def _since_due(fire: Callable[..., None]) -> Callable[..., None]:
    def fire_since_due(*, response_time: float | None = None, **more: Any) -> None:
        arrival = _current.get()
        if arrival is not None and not arrival.counted and response_time is not None:
            arrival.counted = True
            response_time += arrival.waited * 1000
        fire(response_time=response_time, **more)

    return fire_since_due
