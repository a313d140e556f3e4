"""Signals that ask a training to end."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Stopped(Exception):
    """A signal asked for an end; the state after `step` steps is saved, and the run can go on."""

    def __init__(self, signal: int, step: int) -> None:
        super().__init__(f"stopped after {step} steps")
        self.signal = signal
        self.step = step


class Signals:
    """Notes signals instead of dying of them; `asked` is the number of one, 0 before.

    A second Ctrl-C does not wait for the step to end. Only the main thread is told of signals.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._note) for s in CAUGHT}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = number
