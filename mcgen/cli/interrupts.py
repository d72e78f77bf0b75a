"""Ctrl-C and SIGTERM, noticed whatever becomes of the exception."""
from __future__ import annotations

import signal
import threading
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """While active, SIGTERM stops a run as Ctrl-C does, by a KeyboardInterrupt; `asked` says that one of them has come. The exception
    alone does not always: raised inside a callback, or while an object is compared, it is lost. What is ignored stays so."""

    def __init__(self) -> None:
        self.asked = False
        self.before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):          # None: not Python's to give back
                    self.before[number] = signal.signal(number, self.ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def ask(self, *_: object) -> None:
        self.asked = True
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raises the KeyboardInterrupt that was lost, if one was."""
        if self.asked:
            raise KeyboardInterrupt
