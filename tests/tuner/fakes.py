"""Work that goes wrong, for trials' processes."""
import ctypes
import os
import signal
import subprocess
import sys
import time

from tuner.states import Wrong


def fine(told):
    return {"score": told["x"] / 2, "pid": os.getpid()}


def raises(told):
    raise ValueError("no such thing")


def wrong(told):
    raise Wrong("d_g differs")


def out_of_memory(told):
    import torch

    torch.empty(1 << 60)


def out_of_resources(told):
    raise type("OutOfResources", (Exception,), {})("shared memory: 300000 of 232448")


def segfault(told):
    ctypes.string_at(0)


def killed(told):
    os.kill(os.getpid(), signal.SIGKILL)


def killed_late(told):
    """Long enough after it says that it has begun."""
    with open(told["pids"], "w") as file:
        file.write(f"{os.getpid()}")
    time.sleep(2)
    os.kill(os.getpid(), signal.SIGKILL)


def leaves(told):
    print("something on the way out", file=sys.stderr, flush=True)
    os._exit(3)


def hangs(told):
    """With a child that would outlive it, as a compiler might."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(told["pids"], "w") as file:
        file.write(f"{os.getpid()} {child.pid}")
    time.sleep(600)
