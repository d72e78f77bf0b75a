"""PrimFuncs to machine code: the few passes that the emitted form needs, then LLVM."""
from __future__ import annotations

from array import array
from functools import lru_cache
from pathlib import Path
from typing import Mapping

from mcgen.diagnostics import EnvironmentLacks

from .load import Entry

HINT = "pip install 'apache-tvm>=0.27,<0.28'"


def require() -> None:
    try:
        import tvm.tirx  # noqa: F401
    except Exception as reason:
        raise EnvironmentLacks(f"the CPU kernels need apache-tvm ({reason})", hint=HINT) from None


def version() -> str:
    from importlib import metadata
    try:
        return metadata.version("apache-tvm")
    except metadata.PackageNotFoundError:
        raise EnvironmentLacks("the CPU kernels need apache-tvm, which is not installed", hint=HINT) from None


def cpu() -> str:
    """The processor that LLVM would compile for."""
    from tvm.target.codegen import llvm_get_system_cpu
    return llvm_get_system_cpu()


def build(main, parts: Mapping[str, object], opt_level: int = 2):
    """A runtime module of a kernel's function, if there is one, and of functions that are called by name.

    Passes that rewrite expressions are left out: the emitter names every value, and simplifying costs more than LLVM itself.
    """
    import tvm
    from tvm.tirx import transform as passes
    target = tvm.target.Target({"kind": "llvm", "mcpu": cpu(), "opt-level": opt_level})
    bound = passes.BindTarget(target.with_host(target))
    module = bound(tvm.IRModule(dict(parts)))
    if main is not None:
        entry = bound(tvm.IRModule.from_expr(main))
        for step in (passes.AnnotateEntryFunc(), passes.MakePackedAPI()):
            entry = step(entry)
        module.update(entry)
    return tvm.get_global_func("target.build.llvm")(passes.LowerTVMBuiltin()(module), target)


def object_code(module) -> bytes:
    """The module's machine code as a relocatable object."""
    import os
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "kernel.o")
        module.write_to_file(path)
        with open(path, "rb") as file:
            return file.read()


@lru_cache(None)
def launch_code() -> bytes:
    """launch.ll as an object."""
    import tvm_ffi
    return object_code(tvm_ffi.load_module(str(Path(__file__).with_name("launch.ll"))))


def just_in_time(module) -> Entry:
    """The same as `load.load` through TVM's own runtime and threads, for machines that `link` does not know."""
    import os

    import tvm
    os.environ.setdefault("TVM_BIND_THREADS", "0")      # bound threads would pull torch's onto their cores
    function, configure = module.get_function("main"), tvm.get_global_func("runtime.config_threadpool")
    state = [0]

    def entry(threads: int, words: array) -> None:
        if threads != state[0]:
            configure(0, threads)
            state[0] = threads
        function(*words[1::2])
    return entry
