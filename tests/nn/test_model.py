"""The small language model: one call equals many, generation goes through `step`."""
import pytest
import torch

from mcgen.nn import LanguageModel, reorder
from mcgen.spec import load_spec
from mcgen.verify.oracle import reference

SPEC = {
    "name": "plain",
    "rule": {"inputs": {"q": ["K"], "k": ["K"], "v": ["V"]}, "state": {"S": ["K", "V"]}, "update": {"S": "S + outer(k, v)"},
             "read": "S.T @ q"},
}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return LanguageModel(reference(load_spec(SPEC)), vocab=17, d_model=8, n_layers=2, heads=2, short_conv=3)


def test_split_is_whole(model):
    tokens = torch.randint(17, (2, 9))
    whole = model(tokens)
    assert whole.shape == (2, 9, 17)
    first, memory = model(tokens[:, :4], memory=[])
    second, memory = model(tokens[:, 4:], memory=memory)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, atol=1e-5, rtol=1e-4)


def test_causal(model):
    tokens = torch.randint(17, (1, 8))
    other = tokens.clone()
    other[:, 5:] = (other[:, 5:] + 1) % 17
    torch.testing.assert_close(model(tokens)[:, :5], model(other)[:, :5])


def test_generate_is_repeated_argmax(model):
    prompt = torch.randint(17, (2, 4))
    made = model.generate(prompt, 3, temperature=0)
    sequence = prompt
    with torch.no_grad():
        for _ in range(3):
            sequence = torch.cat([sequence, model(sequence)[:, -1:].argmax(-1)], 1)
    assert made.tolist() == sequence[:, 4:].tolist()


def test_generate_repeats_with_the_same_seed(model):
    one, two = (model.generate(torch.tensor([1, 2]), 5, generator=torch.Generator().manual_seed(3), top_k=4) for _ in range(2))
    assert one.shape == (1, 5) and torch.equal(one, two)


def test_masked_prompt(model):
    tokens = torch.randint(17, (2, 6))
    mask = torch.ones(2, 6)
    mask[1, :2] = 0
    logits = model(tokens, attention_mask=mask)
    torch.testing.assert_close(logits[1:, 2:], model(tokens[1:, 2:]), atol=1e-5, rtol=1e-4)


def test_reordered_rows(model):
    tokens = torch.randint(17, (2, 5))
    _, memory = model(tokens, memory=[])
    turned, _ = model(tokens[:, :1], memory=reorder(memory, torch.tensor([1, 0])))
    straight, _ = model(tokens[:, :1].flip(0), memory=memory)
    torch.testing.assert_close(turned, straight.flip(0))
