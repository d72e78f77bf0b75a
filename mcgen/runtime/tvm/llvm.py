"""A PrimFunc to machine code: the few passes that the emitted form needs, then LLVM."""
from __future__ import annotations

from mcgen.diagnostics import EnvironmentLacks

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


def build(function, opt_level: int = 2):
    """A runtime module holding the function.

    Passes that rewrite expressions are left out: the emitter names every value, and simplifying costs more than LLVM itself.
    """
    import tvm
    from tvm.tirx import transform as passes
    target = tvm.target.Target({"kind": "llvm", "mcpu": cpu(), "opt-level": opt_level})
    module = passes.BindTarget(target.with_host(target))(tvm.IRModule.from_expr(function))
    for step in (passes.AnnotateEntryFunc(), passes.MakePackedAPI(), passes.LowerTVMBuiltin()):
        module = step(module)
    return tvm.get_global_func("target.build.llvm")(module, target)
