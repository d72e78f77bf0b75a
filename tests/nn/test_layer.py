"""Layers: shapes, domains, memory handed on, masks, and what is said when a size is wrong."""
import pytest
import torch

from mcgen.diagnostics import UsageError
from mcgen.nn import Layer, reorder
from mcgen.nn.domains import into, raw_start
from mcgen.spec import load_spec
from mcgen.spec.nodes import Domain
from mcgen.verify.oracle import reference

GATED = {
    "name": "gated",
    "rule": {
        "inputs": {
            "q": {"shape": ["K"], "domain": "unit"}, "k": {"shape": ["K"], "domain": "unit"}, "v": ["V"],
            "g": {"shape": [], "domain": ["-inf", 0]}, "beta": {"shape": [], "domain": [0, 1]},
            "c": {"shape": [], "per": "head", "domain": [0, 2]}, "w": {"shape": [], "default": 1.0},
        },
        "state": {"S": {"shape": ["K", "V"], "init": "learned"}},
        "update": {"S": "exp(g) * S + beta * outer(k, v - exp(g) * S.T @ k)"},
        "read": "c * w * S.T @ q",
    },
    "cache": {"inputs": {"u": ["K"]}, "segments": {"length": 4}, "summary": "mean(k)", "score": "dot(u, summary)",
              "weight": "softmax(score)"},
}


def op(spec=GATED):
    return reference(load_spec(spec))


def layer(**options):
    torch.manual_seed(0)
    return Layer(op(), 12, 2, {"K": 3, "V": 5}, **options).double()


def x(batch=2, length=11):
    return torch.randn(batch, length, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("conv", [0, 4])
def test_split_is_whole(conv):
    m, inputs = layer(short_conv=conv), x()
    whole = m(inputs)
    assert whole.shape == inputs.shape
    first, memory = m(inputs[:, :6], return_memory=True)
    second, memory = m(inputs[:, 6:9], memory=memory)
    with torch.no_grad():
        steps = []
        for t in (9, 10):
            y, memory = m(inputs[:, t:t + 1], memory=memory)
            steps.append(y)
    torch.testing.assert_close(torch.cat([first, second, *steps], 1), whole)


def test_past_key_values_are_shared_and_updated():
    m, inputs = layer(layer_idx=3), x()
    past: dict = {}
    y1, same = m(inputs[:, :5], past_key_values=past)
    assert same is past and set(past) == {3}
    y2, _ = m(inputs[:, 5:], past_key_values=past)
    torch.testing.assert_close(torch.cat([y1, y2], 1), m(inputs))


@pytest.mark.parametrize("conv", [0, 4])
@pytest.mark.parametrize("side", ["left", "right"])
def test_mask_equals_separate_rows(side, conv):
    m, inputs = layer(short_conv=conv), x()
    lengths = (11, 7)
    mask = torch.zeros(2, 11, dtype=torch.long)
    for row, n in enumerate(lengths):
        mask[row, slice(11 - n, 11) if side == "left" else slice(0, n)] = 1
    y, memory = m(inputs, attention_mask=mask, return_memory=True)
    for row in range(2):
        keep = mask[row].bool()
        alone, own = m(inputs[row:row + 1, keep], return_memory=True)
        torch.testing.assert_close(y[row:row + 1, keep], alone)
        assert not y[row, ~keep].any()
        mine = reorder(memory, torch.tensor([row]))
        torch.testing.assert_close(mine["op"]["state"], own["op"]["state"])
        if conv:
            torch.testing.assert_close(mine["conv"], own["conv"])


def test_gradients_reach_every_parameter():
    m = layer(short_conv=2, optional=("w",))
    m(x()).square().sum().backward()
    missing = [n for n, p in m.named_parameters() if p.grad is None or not p.grad.any()]
    assert missing == []


def test_fewer_heads_for_some_inputs():
    m = Layer(op(), 12, 4, {"K": 3, "V": 5}, input_heads={"k": 2, "v": 2})
    assert m(torch.randn(1, 5, 12)).shape == (1, 5, 12)


def test_decays_start_near_one():
    m = Layer(op(), 16, 4)
    g = m.project.split(m.project(torch.randn(1, 64, 16)))["g"]
    kept = g.exp().mean((0, 1))
    assert kept.min() > 0.9 and kept.max() < 1.0
    assert kept[0] < kept[-1]                                 # heads forget at different rates


@pytest.mark.parametrize("domain", [Domain(), Domain("unit"), Domain("interval", -float("inf"), 0.0), Domain("interval", 0.0, 1.0),
                                    Domain("interval", 0.0, float("inf")), Domain("interval", -2.0, 5.0), Domain("interval", 3.0)])
def test_into_domain(domain):
    y = into(domain, torch.randn(64, 8, dtype=torch.float64) * 5)
    assert torch.isfinite(y).all() and (y >= domain.lo).all() and (y <= domain.hi).all()
    if domain.kind == "unit":
        torch.testing.assert_close(y.norm(dim=-1), torch.ones(64, dtype=torch.float64), atol=1e-3, rtol=0)
    assert raw_start(domain, (2, 3), True, False).shape == (2, 3)


def test_wrong_sizes_are_named():
    with pytest.raises(UsageError, match="'Q' is not a dimension"):
        Layer(op(), 12, 2, {"Q": 3})
    with pytest.raises(UsageError, match="don't divide"):
        Layer(op(), 12, 4, input_heads={"k": 3})
    with pytest.raises(UsageError, match="attention_mask"):
        layer()(x(), attention_mask=torch.ones(2, 3))


@pytest.mark.parametrize("name", ["keys", "type", "forward", "self"])
def test_an_input_may_be_called_like_an_attribute_of_a_module(name):
    tree = {"name": "named", "rule": {"inputs": {name: {"shape": ["K"], "domain": [0, 1]}, "v": ["V"]}, "state": {"S": ["K", "V"]},
                                      "update": {"S": f"0.9 * S + outer({name}, v)"}, "read": f"S.T @ {name}"}}
    layer = Layer(reference(load_spec(tree)), 8, 2)
    assert layer(torch.randn(1, 3, 8)).shape == (1, 3, 8) and any(name in key for key in layer.state_dict())
