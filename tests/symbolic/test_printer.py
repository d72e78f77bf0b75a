"""The token level as text."""
from pathlib import Path

from mcgen.spec import load_spec
from mcgen.symbolic.elaborate import elaborate
from mcgen.symbolic.printer import print_model

SPEC = """name: shown
rule:
  inputs: {q: [K], k: [K], v: [V], h: {shape: [K], per: head}}
  constants: {scale: K**-0.5}
  let: {kn: l2norm(k)}
  state: {S: [K, V], z: [K]}
  update:
    z: z + delay(kn, 1) * h
    S: 0.9 * S + outer(new(z), v)
  read: scale * S.T @ q + dot(prev(z), q) * v
  output: y + v
cache:
  inputs: {u: [K]}
  segments: {length: 8}
  summary: mean(kn)
  score: dot(u, summary)
  weight: softmax(score) / count
"""


def test_a_rule_is_a_program_of_one_token(golden, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("shown.yaml").write_text(SPEC)
    golden(Path(__file__).parent / "golden" / "shown.token.ir", print_model(elaborate(load_spec("shown.yaml"))))
