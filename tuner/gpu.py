"""The space of a GPU: the form of each pass, split or fused, and launch options of every kernel, feasible where the compiled kernels of
the chosen forms fit.

A kernel is compiled for the device at most once a choice of its options; that takes about a second, so nothing is enumerated beforehand:
a proposal is compiled before it is tried, and what does not fit is never launched.
"""
from __future__ import annotations

from typing import Any, Callable, Mapping, Sequence

from mcgen.diagnostics import EnvironmentLacks
from mcgen.runtime.triton.options import FORMS, FUSED, pass_of, runs

from .feasibility import STACK, Needs, reasons
from .space import Config, Knob, Space

# (kernel, chunk, its options) -> what it needs
Resources = Callable[[str, int, Mapping[str, Any]], Needs]


def gpu_space(kernels: Mapping[str, tuple[Mapping[str, Sequence], Mapping[str, Any]]], chunks: Sequence[int], chunk: int, resources: Resources) -> Space:
    """kernels: name -> (knobs with their choices, the analytic default). Raises EnvironmentLacks where no default fits the device."""
    passes = tuple(dict.fromkeys(pass_of(kernel) for kernel in kernels if kernel.startswith(FUSED)))
    known: dict[tuple, list[str]] = {}
    spills = dict.fromkeys(kernels, STACK)                  # what the default spills itself is no reason against another

    def running(config: Config) -> list[str]:
        return [kernel for kernel in kernels if runs(kernel, config)]

    def settle(config: Config) -> Config:
        """What the other form's kernels are launched with changes nothing."""
        idle = [f"{kernel}." for kernel in kernels if not runs(kernel, config)]
        return {name: default[name] if name.startswith(tuple(idle)) else value for name, value in config.items()}

    def check(config: Config) -> list[str]:
        found = []
        for kernel in running(config):
            options = own(config, kernel)
            key = (kernel, config["chunk"], *sorted(options.items()))
            if key not in known:
                try:
                    known[key] = reasons({kernel: resources(kernel, int(config["chunk"]), options)}, spills[kernel])
                except EnvironmentLacks:
                    raise
                except Exception as problem:                         # the compiler's: of this choice, not of the tuner
                    text = (str(problem).strip().splitlines() or [""])[0]
                    known[key] = [f"{kernel}: does not compile ({type(problem).__name__}: {text[:80]})"]
            found += known[key]
        return found

    knobs = [Knob("chunk", tuple(sorted(chunks))), *(Knob(f"{which}.fused", FORMS) for which in passes)]
    for kernel, (choices, _) in kernels.items():
        knobs += [Knob(f"{kernel}.{name}", tuple(values)) for name, values in choices.items()]
    usual = {f"{kernel}.{name}": value for kernel, (choices, default) in kernels.items() for name, value in default.items()
             if name in choices}
    default = first_that_fits({**{f"{which}.fused": FORMS[0] for which in passes}, **usual}, chunks, chunk, check)
    for kernel in kernels:
        try:
            spills[kernel] = max(STACK, resources(kernel, int(default["chunk"]), own(default, kernel)).stack)
        except EnvironmentLacks:
            raise
        except Exception:                                            # of the other form: `check` says so where that is proposed
            if runs(kernel, default):
                raise
    known.clear()
    return Space(tuple(knobs), default, check, settle)


def first_that_fits(usual: Mapping[str, Any], chunks: Sequence[int], chunk: int, check: Callable[[Config], Sequence[str]]) -> Config:
    """The analytic default; where the device can't hold it, with a smaller chunk, then with one stage too. Spills alone are no obstacle."""
    single = {name: 1 if name.endswith(".num_stages") else value for name, value in usual.items()}
    smaller = sorted((c for c in chunks if c <= chunk), reverse=True)
    said: Sequence[str] = ()
    for options in (usual, single):
        for size in smaller:
            config = {"chunk": size, **options}
            hard = [why for why in check(config) if "spilled" not in why]
            if not hard:
                return config
            said = said or hard
    raise EnvironmentLacks("no kernels of this op fit the device: " + "; ".join(said), "device", "a smaller K or V, or mcgen's torch back end")


def own(config: Config, kernel: str) -> dict[str, Any]:
    """The options of one kernel."""
    return {name.removeprefix(f"{kernel}."): value for name, value in config.items() if name.startswith(f"{kernel}.")}

