"""Every rule and cache of the library has a reference: finite, with gradients, and any split equals the whole."""
import pytest
import torch

from mcgen.spec import library_names, load_spec
from mcgen.verify import reference
from mcgen.verify.harness import Lab, compute
from mcgen.verify.memory import leaves


def ops():
    rules, caches = library_names("rules"), library_names("caches")
    return [*rules, *(f"gated_delta+{c}" for c in caches), *library_names("ops")]


@pytest.mark.parametrize("name", ops())
def test_reference_of_the_library(name):
    spec = load_spec(name, segment_length=16 if "+" in name else None)
    lab = Lab(None, spec)
    lab.tame(20)
    case = lab.case(20, batch=1, dtype=torch.float64)
    x = lab.plain(case)
    whole = compute(lab.reference, x, case)
    assert all(torch.isfinite(t).all() for t in whole.values())
    assert whole["y"].abs().max() > 0
    ref, memory, parts = reference(spec), None, []
    for a, b in ((0, 5), (5, 17), (17, 20)):
        part, memory = ref(**{n: t[:, a:b] if n in lab.token_inputs else t for n, t in x.items()}, memory=memory, return_memory=True)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts, 1), whole["y"], rtol=1e-8, atol=1e-10)
    _, once = ref(**x, return_memory=True)
    for (path, a), (_, b) in zip(leaves(memory), leaves(once), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9, msg=lambda m, path=path: f"{path}: {m}")
