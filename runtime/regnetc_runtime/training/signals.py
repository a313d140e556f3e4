"""Signals that ask a training to end."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

import torch

from . import parallel

CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Stopped(Exception):
    """A signal asked for an end; the state after `step` steps is saved, and the run can go on."""

    def __init__(self, signal: int, step: int) -> None:
        super().__init__(f"stopped after {step} steps")
        self.signal = signal
        self.step = step


class Signals:
    """Notes signals instead of dying of them; `asked` is the number of one, 0 before.

    A second Ctrl-C does not wait for the step to end. What is ignored from outside stays ignored, and
    only the main thread is told of signals.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            wanted = [s for s in CAUGHT if signal.getsignal(s) is not signal.SIG_IGN]
            self._before = {s: signal.signal(s, self._note) for s in wanted}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, signal.SIG_DFL if before is None else before)

    def of_any(self, device: torch.device) -> int:
        """The signal that came to any process of the group, 0 for none; all of them have to ask."""
        if not parallel.grouped():
            return self.asked
        counts = torch.zeros(signal.NSIG, device=device)
        counts[self.asked] = 1
        counts = parallel.sum_(counts)
        counts[0] = 0
        return int(counts.argmax())

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = number
