"""The shipped ops under their two names."""
import subprocess
import sys

import pytest

import mcgen.ops


def test_one_op_under_two_names():
    from generated.linear_attention import linear_attention

    assert mcgen.ops.linear_attention is linear_attention
    assert "linear_attention" in dir(mcgen.ops)


def test_unknown_ops_are_answered():
    with pytest.raises(AttributeError, match="did you mean 'linear_attention'"):
        mcgen.ops.linear_atention  # noqa: B018


def test_from_any_folder(tmp_path):
    code = "from mcgen.ops import linear_attention as op; print(op.name)"
    from pathlib import Path

    root = Path(mcgen.__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", f"import sys; sys.path.append({str(root)!r}); {code}"], cwd=tmp_path,
                          capture_output=True, text=True)
    assert done.stdout.strip() == "linear_attention", done.stderr
