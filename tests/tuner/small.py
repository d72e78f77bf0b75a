"""A small op, and sizes at which its kernels are made in no time."""
SPEC = """\
name: small
rule:
  inputs: {q: [K], k: [K], v: [V], g: {shape: [], domain: [-inf, 0]}}
  state: {S: [K, V]}
  update: {S: "exp(g) * S + outer(k, v)"}
  read: S.T @ q
"""
SIZES = ["B=1", "T=96", "H=2", "K=8", "V=8"]
