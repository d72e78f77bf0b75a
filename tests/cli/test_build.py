"""`mcgen build`: packages, and the comparison with what is there."""
import pytest

from mcgen.cli import main
from mcgen.cli.build import differences

from .test_main import SPEC


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(SPEC)
    return path


def test_build_then_check(spec, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["build", str(spec), "--out", str(out)]) == 0
    assert (out / "tiny" / "manifest.json").is_file()
    assert main(["build", "--check", str(spec), "--out", str(out)]) == 0
    assert main(["build", "--check", "--out", str(out)]) == 0            # without names: what is there
    (out / "tiny" / "__init__.py").write_text("# touched\n")
    assert main(["build", "--check", str(spec), "--out", str(out)]) == 2
    assert "__init__.py differs, first at line 1" in capsys.readouterr().out


def test_differences(tmp_path):
    new, old = tmp_path / "new", tmp_path / "old"
    for folder in (new, old):
        folder.mkdir()
        (folder / "same.py").write_text("1\n")
    (new / "only_new.py").write_text("")
    (old / "only_old.py").write_text("")
    (old / "tuned").mkdir()
    (old / "tuned" / "device.json").write_text("{}")
    assert differences(new, old) == ["only_new.py is missing", "only_old.py is not written by mcgen"]
    assert differences(new, tmp_path / "absent") == ["not built yet"]
