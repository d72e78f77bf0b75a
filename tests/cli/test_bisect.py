"""`mcgen bisect`: the stages of a spec compared with the reference."""
from mcgen.cli import main


def test_an_output_without_a_gradient(tmp_path, capsys):
    """A state that is never written: no input has an effect, so nothing has a gradient."""
    path = tmp_path / "constant.yaml"
    path.write_text("name: constant\nrule: {inputs: {k: [K], q: [K]}, state: {S: [K]}, read: S}\n")
    assert main(["bisect", str(path)]) == 0
    assert "no pass changes a value" in capsys.readouterr().out
