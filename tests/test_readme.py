"""The README's examples are true: its spec, its calls, its commands."""
import re
from pathlib import Path

import pytest
import torch

import mcgen
from mcgen.cli.main import COMMANDS
from mcgen.spec import load_text
from mcgen.symbolic.elaborate import elaborate

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_spec():
    spec = load_text(blocks("yaml")[0])
    assert list(elaborate(spec).inputs) == ["q", "k", "v", "g", "u"]


def test_every_command_is_named():
    line = re.search(r"`mcgen (check \|.*?)`", README).group(1)
    assert set(line.split(" | ")) == set(COMMANDS)


def test_two_commands_do_the_set_up():
    first, second = blocks("sh")[:2]
    assert first.count("\n") == second.count("\n") == 1
    assert "pip install -e" in first and "mcgen train" in first and "pytest" in second


def test_the_calls():
    torch.manual_seed(0)
    scope = {"mcgen": mcgen}
    shape = (1, 6, 2, 4)
    for n in ("q", "k", "v", "u", "q2", "k2", "v2", "u2"):
        scope[n] = torch.randn(shape)
    scope |= {"g": -torch.rand(shape[:3]), "g2": -torch.rand(shape[:3])}
    scope |= {f"{n}_t": scope[n][:, 0] for n in ("q", "k", "v", "g", "u")}
    call = blocks("python")[0].replace("help(op)", "text = op.__doc__")
    exec(compile(call, "README.md", "exec"), scope)
    assert scope["y"].shape == shape and scope["y_t"].shape == (1, 2, 4) and "log decay" in scope["text"]


def test_the_layer():
    torch.manual_seed(0)
    mask = torch.ones(2, 5)
    mask[0, :2] = 0
    scope = {"mcgen": mcgen, "x": torch.randn(2, 5, 512), "mask": mask, "prompt": torch.tensor([1, 2, 3])}
    text = blocks("python")[1].replace("100, temperature", "2, temperature")
    exec(compile(text, "README.md", "exec"), scope)
    assert scope["y"].shape == (2, 5, 512) and set(scope["past"]) == {0}


@pytest.mark.parametrize("path", re.findall(r"`((?:mcgen|tests|specs)/[\w./]+\.(?:py|md|json|yaml))`",
                                            (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
def test_files_that_contributing_names(path):
    assert (ROOT / path).is_file()
