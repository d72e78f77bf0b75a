"""The command line: exit codes, messages without tracebacks, quick answers."""
import functools
import subprocess
import sys
import time

import pytest

from mcgen.cli import main
from mcgen.cli.main import COMMANDS

SPEC = """\
name: tiny
rule:
  inputs: {q: [K], k: [K], v: [V]}
  state: {S: [K, V]}
  update: {S: "S + outer(k, v)"}
  read: S.T @ q
"""


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(SPEC)
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(command, capsys):
    assert main([command, "--help"]) == 0
    assert f"mcgen {command}" in capsys.readouterr().out


def test_overview_names_every_command(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(f"  {c}" in out for c in COMMANDS) and "exit codes" in out


@pytest.mark.parametrize("argv, words", [
    (["bild"], "did you mean 'build'"), (["check", "--nope"], "error[usage]"), (["--nope"], "error[usage]"),
    (["dump"], "error[usage]"), (["train", "x", "--steps", "0"], "not above zero"),
])
def test_bad_calls_are_answered(argv, words, capsys):
    assert main(argv) == 1
    assert words in capsys.readouterr().err


def test_check_says_where(spec, capsys):
    assert main(["check", str(spec)]) == 0
    assert "q[K], k[K], v[V] -> y[V]" in capsys.readouterr().out
    spec.write_text(SPEC.replace("outer(k, v)", "outer(k, w)"))
    assert main(["check", str(spec)]) == 1
    err = capsys.readouterr().err
    assert f"{spec}:5:" in err and "error[" in err and "^" in err and "Traceback" not in err


def test_check_goes_on_after_a_bad_spec(spec, tmp_path, capsys):
    bad = tmp_path / "bad.yaml"
    bad.write_text("rule: 3\n")
    assert main(["check", str(bad), str(spec), str(tmp_path / "absent.yaml")]) == 1
    out, err = capsys.readouterr()
    assert "ok " in out and "bad.yaml" in err and "error[not-found]" in err


def test_check_of_the_whole_library(capsys):
    assert main(["check"]) == 0, capsys.readouterr().err


def test_list(capsys):
    assert main(["list", "rules"]) == 0
    assert "linear_attention " in capsys.readouterr().out


def test_new_writes_a_spec_that_passes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["new", "mine"]) == 0
    path = tmp_path / "specs" / "rules" / "mine.yaml"
    assert main(["check", str(path)]) == 0
    assert (path.parent / path.read_text().splitlines()[0].partition("$schema=")[2]).is_file()
    assert main(["new", "mine"]) == 1 and "exists" in capsys.readouterr().err
    assert main(["new", "mine", "--force"]) == 0
    assert main(["new", "1x"]) == 1
    assert main(["new", "class"]) == 1


def test_missing_package_is_exit_3(monkeypatch, capsys, spec):
    def lacks(*_):
        raise ModuleNotFoundError("No module named 'tvm'", name="tvm")
    monkeypatch.setattr("mcgen.cli.check.load", lacks)
    assert main(["check", str(spec)]) == 3
    assert "'tvm' is not installed" in capsys.readouterr().err


def test_interrupt_is_130(monkeypatch, capsys, spec):
    def stop(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr("mcgen.cli.check.load", stop)
    assert main(["check", str(spec)]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_failed_verification_is_exit_2(monkeypatch, spec, capsys):
    import mcgen
    from mcgen.verify import gates
    from mcgen.verify.oracle import reference

    def wrong(source, **_):
        exact = reference(mcgen.load_spec(source))

        class Wrong:
            spec, inputs = exact.spec, exact.inputs

            def __call__(self, *args, **named):
                out = exact(*args, **named)
                return (out[0] * 1.01, *out[1:]) if isinstance(out, tuple) else out * 1.01

            step = exact.step
        return Wrong()
    monkeypatch.setattr(mcgen, "load", wrong)
    monkeypatch.setattr(gates, "verify", functools.partial(gates.verify, only=["forward"]))
    assert main(["verify", str(spec), "--level", "quick"]) == 2


def test_help_is_quick():
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", "from mcgen.cli import main; main(['--help'])"], capture_output=True,
                          text=True)
    assert done.returncode == 0 and time.perf_counter() - began < 5
    assert not {"torch", "yaml", "sympy", "numpy", "rich"} & {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
