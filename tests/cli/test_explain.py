"""`mcgen explain` and `mcgen dump`."""
import pytest

from mcgen.cli import main


@pytest.mark.parametrize("name, words", [
    ("linear_attention", ["S [K, V] is kept as it is", "linear in the states"]),
    ("linear_attention+grm", ["a memory every 256 tokens", "the same as mixing states"]),
    ("linear_attention+residual", ["one running sum of cached states"]),
])
def test_explain_says_how_and_why(name, words, capsys):
    assert main(["explain", name]) == 0
    out = capsys.readouterr().out
    assert all(w in out for w in words), out


def test_what_is_not_lowered_is_named(capsys, tmp_path):
    path = tmp_path / "cubic.yaml"
    path.write_text("name: cubic\nrule:\n  inputs: {q: [K], v: [K]}\n  state: {S: [K]}\n  update: {S: S * S * S + v}\n  read: S * q\n")
    assert main(["check", str(path)]) == 0
    if main(["explain", str(path)]) == 1:
        assert "error[not-lowered]" in capsys.readouterr().err


def test_dump(capsys):
    assert main(["dump", "linear_attention", "--after", "list"]) == 0
    stages = capsys.readouterr().out.split()
    assert main(["dump", "linear_attention", "--after", stages[0], "--program", "forward"]) == 0
    assert capsys.readouterr().out.startswith(f"# after {stages[0]}\nprog linear_attention(")
    assert main(["dump", "linear_attention", "--after", "fuse", "--program", "backward"]) == 0
    assert capsys.readouterr().out.startswith("# after fuse\nkernel linear_attention_backward(")
    assert main(["dump", "linear_attention", "--after", "nope"]) == 1
