"""Cases that drawn specs have shown to be wrong or not to run, shrunk and mended: what each is about, and the call."""
from __future__ import annotations

from mcgen.fuzz.strategy import Case

FOUND = {                        # by `mcgen fuzz`, in calls that corner specs don't make
    "a state that no token changes, given, cached before its segment's end takes it back to its start": Case({"name": "drawn", "rule": {
        "inputs": {"q": ["V"], "A": {"shape": ["K", "V"], "per": "head"}}, "state": {"S": {"shape": ["K", "V"], "init": "A"}}, "read": "S @ q"},
        "cache": {"inputs": {}, "segments": {"length": 4, "start": "fresh"}, "weight": "1"}}, {"K": 2, "V": 4}, tokens=9, start=True),
    "a score that all tokens share, of chosen memories: its derivative is a sum for each slot, of slots that are not there yet too": Case(
        {"name": "drawn", "rule": {"inputs": {"q": ["K"], "k": ["K"], "v": ["V"]}, "state": {"S": ["K", "V"]}, "update": {"S": "S + outer(k, v)"},
                                   "read": "S.T @ q"},
         "cache": {"inputs": {"u": {"shape": [], "per": "head"}}, "segments": {"length": 3}, "score": "u * sigmoid(0.5 * age)",
                   "weight": "tanh(score) / count", "select": {"top": 1}}}, {"K": 4, "V": 2}, tokens=7, batch=2, seed=1),
    "a derivative that is exactly 0 token by token, and by chunks a difference: a state of zeros, read before another is mixed into it": Case(
        {"name": "drawn", "rule": {"inputs": {"k": {"shape": ["K"], "domain": "unit"}, "q": {"shape": ["K"], "domain": "unit", "per": "head"}},
                                   "state": {"S": {"shape": ["K", "K"], "init": "learned"}, "Z": ["K", "K"]},
                                   "update": {"Z": "Z - outer(Z @ q, q) + 0.3 * S"}, "read": "Z.T @ k"},
         "cache": {"inputs": {}, "segments": {"length": 1, "start": "fresh"}, "weight": "1"}}, {"K": 4}, tokens=3, heads=4, seed=2),
    "a cotangent that a scan over tokens takes under another axis: the product that it comes from has a tile, not its rename": Case(
        {"name": "drawn", "rule": {"inputs": {"W": {"shape": ["V", "V"], "per": "head"}, "p": ["K"], "q": ["V"]}, "state": {"Z": ["V", "K"]},
                                   "update": {"Z": "tanh(Z) + outer(q, p)"}, "read": "W @ (Z @ p)"}}, {"K": 3, "V": 4}, tokens=5),
    "a term that stands twice in an update: as much as two, not as one": Case({"name": "drawn", "rule": {
        "inputs": {"k": {"shape": ["K"], "domain": "unit"}, "q": ["K"], "p": ["V"]}, "state": {"S": ["K", "V"], "Z": ["K", "V"]},
        "update": {"S": "S - 0.5 * outer(k, S.T @ k)", "Z": "Z + 0.3 * new(S) + 0.3 * new(S)"}, "read": "S.T @ q + p"}}, {"K": 3, "V": 2}, tokens=7, start=True),
    "a norm of what was read before the token, of states that one weight mixes: a difference of products that the weight cancels in": Case(
        {"name": "drawn", "rule": {"inputs": {"q": ["K"], "k": {"shape": ["K"], "per": "head"}, "w": []},
                                   "state": {"S": {"shape": ["K", "K"], "init": "outer(k, k)"}}, "update": {"S": "0.5 * S"}, "read": "layernorm(prev(S).T @ q)"},
         "cache": {"inputs": {"u": {"shape": [8], "per": "head"}}, "segments": {"length": 12}, "summary": "sum(w)", "score": "w * summary",
                   "weight": "softmax(score) * u[level]", "mix": "states"}}, {"K": 3}, tokens=1, heads=1),
    "rows of ones, as a sum of a unit matrix: what a scan over tokens is given keeps its axes": Case({"name": "drawn", "rule": {
        "inputs": {"k": {"shape": ["V"], "domain": "unit"}, "q": {"shape": ["K"], "domain": "unit"}, "w": ["K"], "b": []},
        "state": {"S": ["V", "K"], "Z": ["K"]}, "read": "S @ w",
        "update": {"S": "S - outer(k, S.T @ k) + outer(sum(eye(V), 1), q)", "Z": "where(b > 0, Z, 0.5 * Z) + 0.5 * S.T @ k"}}}, {"K": 4, "V": 2}, tokens=3),
    "a loop over memories of two results, of which a kernel that is cut takes one: the other is nobody's there": Case({"name": "drawn", "rule": {
        "inputs": {"k": {"shape": ["K"], "domain": "unit"}, "v": ["K"], "q": {"shape": ["K"], "domain": "unit", "per": "head"}, "b": []},
        "state": {"S": ["K", "K"]}, "update": {"S": "(0.5 * S + 0.5 * S) + window(outer(k, v), 2)"}, "read": "(S.T @ (v + q))"},
        "cache": {"inputs": {}, "segments": {"length": 1}, "score": "after(b)", "weight": "tanh(score) / count"}}, {"K": 5}, tokens=3, batch=2, seed=2),
    "weights of tokens further back than an output without memories looks": Case({"name": "drawn", "rule": {
        "inputs": {"k": ["K"], "v": ["K"], "h": []}, "state": {"S": ["K", "K"]}, "update": {"S": "0.5 * S + outer(k, v)"}, "read": "S.T @ v",
        "output": "v**2"}, "cache": {"inputs": {}, "segments": {"length": 3}, "summary": "sum(k)", "score": "delay(h, 2)",
                                     "weight": "tanh(score) / count"}}, {"K": 4}, tokens=7, cuts=(5,)),
    "runs of all levels and the run at hand, in one kernel, of a vector that is erased: what both call by one name": Case({"name": "drawn", "rule": {
        "inputs": {"k": {"shape": ["V"], "domain": "unit"}, "v": ["V"], "q": {"shape": ["V"], "per": "head"}, "w": ["K"]},
        "state": {"S": ["K", "K"], "Z": ["V"]}, "update": {"Z": "(Z - 0.5 * dot(k, Z) * k) + delay(v, 1) + q"}, "read": "S.T @ w"},
        "cache": {"inputs": {}, "segments": {"length": 4, "start": "fresh", "growth": "logarithmic"}, "weight": "1"}}, {"K": 3, "V": 2}, tokens=9),
    "a read that a comparison of what is read picks: what memories answer is compared by one loop over them, and read by the next": Case(
        {"name": "drawn", "rule": {"inputs": {"q": ["K"], "k": ["K"], "v": ["V"], "h": []}, "state": {"S": ["K", "V"]}, "update": {"S": "S + outer(k, v)"},
                                   "read": "where(h < (S.T @ q)[0], 0, S @ v)"},
         "cache": {"inputs": {}, "segments": {"length": 4}, "weight": "1"}}, {"K": 3, "V": 2}, tokens=9, start=True),
    "terms that leave nothing of each other in an update: with one of them rounded and one not, a roundoff of the terms": Case({"name": "drawn", "rule": {
        "inputs": {"k": {"shape": ["V"], "domain": "unit", "per": "head"}, "v": {"shape": ["K"], "domain": "unit", "per": "head"}, "q": ["K"], "w": ["V"]},
        "state": {"S": {"shape": ["V", "K"], "init": "outer(k, v)"}, "Z": ["V", "K"]},
        "update": {"Z": "0.5 * Z + 0.3 * S - 0.3 * S", "S": "S @ (eye(K) - outer(l2norm(q), l2norm(q))) + Z"}, "read": "tanh(S @ q)"},
        "cache": {"inputs": {}, "segments": {"length": 5}, "summary": "sum(w)", "score": "dot(w, summary)", "weight": "tanh(score) / count",
                  "mix": "states"}}, {"K": 4, "V": 2}, tokens=17, batch=2, heads=4, start=True, inner=4, seed=3),
}
