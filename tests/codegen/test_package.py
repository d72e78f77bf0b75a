"""Building: the same bytes every time, and never half a package."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

import mcgen
from mcgen.codegen.package import build, files, package
from mcgen.diagnostics import EnvironmentLacks, NotLowered
from mcgen.spec import load_spec

HASH = "import sys; from mcgen.codegen.package import files; from mcgen.spec import load_spec; print(repr(files(load_spec(sys.argv[1]))))"


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_building_twice_gives_the_same_bytes(tmp_path):
    first = content(build(load_spec("mlstm+grm"), tmp_path / "a" / "op"))
    second = content(build(load_spec("mlstm+grm"), tmp_path / "b" / "op"))
    assert first == second and {"manifest.json", "spec.yaml", "torch_program.py", "__init__.py"} <= set(first)


def test_another_process_gives_the_same_bytes():
    done = subprocess.run([sys.executable, "-c", HASH, "linear_attention+ssc"], env={**os.environ, "PYTHONHASHSEED": "1"},
                          capture_output=True, text=True, check=True)
    assert done.stdout == repr(files(load_spec("linear_attention+ssc"))) + "\n"


def test_no_place_of_this_machine_is_in_a_package():
    text = "".join(files(load_spec("linear_attention+grm")).values())
    assert str(Path(__file__).resolve().parents[2]) not in text and str(Path.home()) not in text


def test_what_is_tuned_stays(tmp_path):
    folder = build(load_spec("linear_attention"), tmp_path / "op")
    (folder / "tuned").mkdir(exist_ok=True)
    (folder / "tuned" / "cpu.json").write_text("{}")
    build(load_spec("linear_attention"), folder)
    assert (folder / "tuned" / "cpu.json").read_text() == "{}"


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_failing_write_leaves_the_old_package_whole(tmp_path, monkeypatch, after):
    folder = build(load_spec("linear_attention"), tmp_path / "op")
    old, write, written = content(folder), Path.write_text, []

    def failing(self, *args, **kwargs):
        if len(written) == after:
            raise OSError(28, "No space left on device")
        written.append(self)
        return write(self, *args, **kwargs)

    monkeypatch.setattr(Path, "write_text", failing)
    with pytest.raises(EnvironmentLacks, match="No space left"):
        build(load_spec("simple_gla"), folder)
    assert content(folder) == old and [p.name for p in tmp_path.iterdir()] == ["op"]


def test_a_refused_spec_leaves_nothing(tmp_path):
    with pytest.raises(NotLowered):
        build(load_spec({"name": "cubic", "rule": {"inputs": {"v": ["K"]}, "state": {"S": ["K"]}, "objective": "sum(S**3 * v)",
                                           "gradient": {"chunk": 4}, "update": {"S": "S - grad(S)"}, "read": "S * v"}}),
              tmp_path / "op")
    assert not list(tmp_path.iterdir())


def test_kernels_for_gpus_are_made_where_they_can_run(tmp_path, monkeypatch):
    """Everything else is the same bytes with them and without."""
    monkeypatch.setenv("MCGEN_CACHE", str(tmp_path))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    spec = load_spec("simple_gla")
    without, asked = package(spec), package(spec, gpus=True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert asked == package(spec) != without and mcgen.load(spec, backend="triton").folder == asked
    extra = {"triton_kernels.py", "triton_fused_kernels.py", "manifest.json"}           # which says what those kernels hold
    parts = [{name: text for name, text in content(folder).items() if name not in extra} for folder in (without, asked)]
    assert parts[0] == parts[1] and not (without / "triton_kernels.py").exists() and (asked / "triton_kernels.py").exists()
