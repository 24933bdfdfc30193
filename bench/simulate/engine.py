"""Time that passes as fast as it can be computed: events in order, and the links they travel."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

Act = Callable[[], None]


class Clock:
    """Seconds since the beginning; events of one instant happen in the order they were planned."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.events = 0
        self._heap: list[tuple[float, int, Act]] = []
        self._turn = itertools.count()

    def at(self, when_s: float, act: Act) -> None:
        heapq.heappush(self._heap, (max(when_s, self.now_s), next(self._turn), act))

    def after(self, delay_s: float, act: Act) -> None:
        self.at(self.now_s + delay_s, act)

    def run(self, until: Callable[[], bool], limit_s: float) -> None:
        """Until it is so, nothing is left to happen, or the time is over."""
        heap, pop = self._heap, heapq.heappop
        while heap and not until():
            self.now_s, _, act = pop(heap)
            if self.now_s > limit_s:
                return
            self.events += 1
            act()


@dataclass(slots=True, eq=False)
class Flow:
    """A chunk on its way, over a `link` that it shares with others before its host's own, if there
    is one. `arrived` is called once all is there, unless it was cut; `moved` as parts come."""

    left: int
    down: Downlink
    arrived: Act
    link: Downlink | None = None
    cut: bool = False
    moved: Act | None = None


@dataclass(slots=True)
class Downlink:
    """Of a host: bytes pass in the order in which they come. `rate`: bytes a second."""

    rate: float
    free_s: float = 0.0

    def take(self, count: int, now_s: float) -> float:
        """When the last of so many bytes is through."""
        self.free_s = max(self.free_s, now_s) + count / self.rate
        return self.free_s


@dataclass(slots=True)
class Uplink:
    """Of a host: flows share it fairly, a quantum each in turn, as TCP connections do. A flow whose
    receiver's link is behind waits, and leaves the uplink to others."""

    clock: Clock
    rate: float
    quantum: int
    latency_s: float
    _flows: deque[Flow] = field(default_factory=deque)
    _busy: bool = False

    def send(self, flow: Flow) -> None:
        self._flows.append(flow)
        if not self._busy:
            self._serve()

    def _serve(self) -> None:
        while self._flows and self._flows[0].cut:
            self._flows.popleft()
        self._busy = bool(self._flows)
        if self._busy:
            flow = self._flows.popleft()
            count = min(self.quantum, flow.left)
            self.clock.after(count / self.rate, lambda: self._sent(flow, count))

    def _sent(self, flow: Flow, count: int) -> None:
        if flow.link is None:
            self._enter(flow, count)
        else:
            through_s = flow.link.take(count, self.clock.now_s)
            self.clock.at(through_s, lambda: self._enter(flow, count))
        self._serve()

    def _enter(self, flow: Flow, count: int) -> None:
        """The host's own link."""
        now_s = self.clock.now_s
        flow.left -= count
        through_s = flow.down.take(count, now_s)
        if flow.moved is not None:
            flow.moved()
        if not flow.left:
            self.clock.at(through_s + self.latency_s, lambda: None if flow.cut else flow.arrived())
        else:
            behind_s = through_s - now_s - 2 * self.quantum / flow.down.rate
            if behind_s > 0:
                self.clock.after(behind_s, lambda: self.send(flow))
            else:
                self.send(flow)
