"""Ctrl-C and SIGTERM, noticed whatever becomes of the exception."""
from __future__ import annotations

import signal
import threading
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While active, SIGTERM stops a run as Ctrl-C does, by a KeyboardInterrupt; `asked` says that one of them has come. The exception
    alone does not always: raised inside a callback, or while an object is compared, it is lost."""

    def __init__(self) -> None:
        self.asked = False
        self.before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            self.before = {s: signal.signal(s, self.ask) for s in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def ask(self, *_: object) -> None:
        self.asked = True
        raise KeyboardInterrupt
