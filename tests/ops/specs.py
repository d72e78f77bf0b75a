"""Specs that no library has, each for a corner of the language that the scalar-decay family reaches."""

DECAY = {
    "inputs": {"q": ["K"], "k": ["K"], "v": ["V"], "g": {"shape": [], "domain": ["-inf", 0]}},
    "constants": {"scale": "K**-0.5"},
    "state": {"S": ["K", "V"]},
    "update": {"S": "exp(g) * S + outer(k, v)"},
    "read": "scale * S.T @ q",
}
GATED = {
    "inputs": {"u": ["K"]}, "segments": {"length": 12}, "summary": "mean(k)", "score": "dot(u, summary)",
    "weight": "softmax(score)", "mix": "reads",
}


def op(name, rule=None, cache=None):
    spec = {"name": name, "rule": {**DECAY, **(rule or {})}}
    if cache is not None:
        spec["cache"] = {**GATED, **cache}
    return spec


UNIT_K = {"q": ["K"], "k": {"shape": ["K"], "domain": "unit"}, "v": ["V"], "b": {"shape": [], "domain": [0, 1]}}
LOG, SIGNED = {"shape": [], "domain": ["-inf", 0]}, {"shape": [], "domain": [-1, 1]}
AFFINE = [
    op("erased_before_read", rule={"inputs": {**UNIT_K, "g": LOG}, "update": {"S": "exp(g) * S + b * outer(k, v - S.T @ k)"},
                                   "read": "prev(S).T @ q + 0.3 * S.T @ k"}, cache={}),
    op("erased_from_the_right", rule={"inputs": {**UNIT_K, "a": SIGNED}, "state": {"S": ["V", "K"]},
                                      "update": {"S": "a * S @ (eye(K) - b * outer(k, k)) + b * outer(v, k)"}, "read": "S @ q"}),
    op("steps_in_a_window", rule={"inputs": {**UNIT_K, "g": LOG}, "update": {"S": "exp(g) * S - window(0.5 * b * outer(k, S.T @ k - v), 3)"},
                                  "read": "S.T @ q"}, cache={"segments": {"length": 12, "start": "fresh"}}),
    op("channels_of_both_axes", rule={
        "inputs": {**DECAY["inputs"], "g": {"shape": ["K"], "domain": ["-inf", 0]}, "h": {"shape": ["V"], "domain": [-1, 1]}},
        "state": {"S": ["K", "V"], "m": ["V"]}, "update": {"S": "diag(exp(g)) @ S @ diag(h) + outer(k, v)", "m": "h * m + v"},
        "read": "S.T @ q + prev(S).T @ k + m"}),
    op("channels_and_steps", rule={
        "inputs": {**UNIT_K, "p": {"shape": ["K"], "domain": "unit"}, "a": {"shape": ["K"], "domain": [-1, 1]}},
        "functions": {"step(X, x)": "X + b * outer(x, v - X.T @ x)"},
        "update": {"S": "step(step(diag(a) @ S, k), p)"}, "read": "S.T @ q"}),
    op("a_read_and_anothers_square", rule={"state": {"S": ["K", "V"], "Z": ["K", "V"]}, "update": {"S": "exp(g) * S + outer(k, v)", "Z": "0.5 * Z + outer(k, v)"},
                                            "read": "Z.T @ q + (S.T @ q)**2"}, cache={}),
    op("momentum", rule={"inputs": {**UNIT_K, "g": LOG, "m": SIGNED}, "state": {"S": ["K", "V"], "Z": ["K", "V"]},
                         "update": {"Z": "m * Z - b * outer(k, S.T @ k - v)", "S": "exp(g) * S + new(Z)"}, "read": "S.T @ q"}, cache={}),
]
MERGING, APART = {"length": 4, "growth": "logarithmic"}, {"length": 4, "growth": "logarithmic", "start": "fresh"}
LEVELS = {"inputs": {"lam": {"shape": [4], "domain": [0, 2]}}, "summary": None, "score": None, "weight": "lam[level] * exp(after(g))"}
LOGARITHMIC = [
    op("merging_gate", cache={"segments": MERGING}),
    op("merging_sums_aged", cache={"segments": APART, "summary": "sum(k)", "weight": "sigmoid(0.1 * score) / (count + age)"}),
    op("merging_choice", cache={"segments": MERGING, "select": {"top": 2}, "weight": "softmax(score) / count"}),
    op("merging_sum", cache={**LEVELS, "segments": MERGING, "inputs": {}, "weight": 1}),
    op("merging_levels", cache={**LEVELS, "segments": APART}),
    op("merging_levels_too_few", cache={**LEVELS, "inputs": {"lam": {"shape": [2], "domain": [0, 2]}}, "segments": APART}),
    op("merging_states", rule={
        "state": {"S": ["K", "V"], "z": {"shape": ["K"], "init": "learned", "domain": [0.5, 2]}},
        "update": {"S": "exp(g) * S + outer(exp(k), v)", "z": "exp(g) * z + exp(k)"},
        "read": "S.T @ exp(q) / dot(z, exp(q))"}, cache={"mix": "states", "segments": APART}),
    op("merging_steps", rule={"inputs": {**UNIT_K, "g": LOG}, "update": {"S": "exp(g) * S + b * outer(k, v - S.T @ k)"}, "read": "S.T @ q"},
       cache={"segments": APART}),
    op("merging_two_steps", rule={"inputs": {**UNIT_K, "p": {"shape": ["K"], "domain": "unit"}},
                                  "update": {"S": "(eye(K) - 0.5 * outer(p, p)) @ (S - b * outer(k, S.T @ k)) + outer(k, v)"}, "read": "S.T @ q"},
       cache={"segments": APART}),
    op("merging_window", rule={"update": {"S": "exp(g) * S + window(sigmoid(g) * outer(k, v), 3)"}}, cache={**LEVELS, "segments": APART}),
    op("merging_tokens", rule={"update": {"S": "tanh(exp(g) * S + outer(k, v))"}, "read": "S.T @ q"}, cache={**LEVELS, "segments": APART}),
    op("merging_branches", rule={"inputs": {**DECAY["inputs"], "d": {"shape": [], "domain": [0.2, 1], "per": "head"}},
                                 "update": {"S": "where(abs(S) < d, exp(g) * S + outer(k, v), 0.5 * S + huber(outer(k, tanh(v)) - S, d))"}, "read": "S.T @ q"},
       cache={**LEVELS, "segments": APART}),
    op("merging_system_of_both_sides", rule={"read": "solve(S.T @ S + eye(V), v)"}, cache={**LEVELS, "segments": APART}),
    op("merging_system_of_a_matrix", rule={"read": "solve(S @ S.T + eye(K), S).T @ q"}, cache={**LEVELS, "segments": APART}),
    op("merging_vector_squared", rule={"state": {"D": ["K"]}, "update": {"D": "exp(g) * D + k"}, "read": "tanh(outer(D, D)) @ q"},
       cache={**LEVELS, "segments": APART}),
]
# states that every level has at once, made token by token of matrices that it has not
SMALL_OF_LARGE = {
    "carried": op("carried", rule={"inputs": {**UNIT_K}, "state": {"S": {"shape": ["K", "V"], "init": "learned"}, "m": ["V"]},
                                   "update": {"S": "tanh(S - b * outer(k, S.T @ k - v))", "m": "0.5 * m + S.T @ k"}, "read": "m * (S.T @ q)"},
                  cache={**LEVELS, "inputs": {}, "segments": APART, "weight": "exp(-0.2 * age)"}),
    "inside": op("inside", rule={"inputs": {**UNIT_K, "v": ["K"]}, "state": {"m": ["K"]}, "update": {"m": "tanh(outer(m, k)) @ v + b * q"}, "read": "m * q"},
                 cache={**LEVELS, "inputs": {}, "segments": APART, "weight": "exp(-0.2 * age)"}),
}
PER_HEAD_K = {"shape": ["K"], "domain": "unit", "per": "head"}
FOUND = [                        # by `mcgen fuzz`, shrunk
    op("steps_of_several_keys", rule={"inputs": {**UNIT_K, "p": {"shape": ["K"], "domain": "unit"}}, "read": "S.T @ q",
                                      "update": {"S": "(eye(K) - 0.5 * outer(k, k)) @ (S - b * outer(p, S.T @ p)) + outer(k, v)"}}),
    op("read_across_channels_of_steps", rule={
        "inputs": {"q": ["V"], "k": {"shape": ["K"], "domain": "unit"}, "p": PER_HEAD_K, "a": {"shape": ["K"], "domain": [-1, 1]}, "v": ["V"]},
        "functions": {"step(X, x)": "X - 0.5 * outer(x, X.T @ x)"}, "update": {"S": "diag(a) @ step(step(S, k), p) + outer(k, v)"},
        "read": "S @ q + prev(S) @ v"}),
    op("vector_of_a_head_in_cached_reads", rule={"inputs": {**DECAY["inputs"], "w": {"shape": ["V"], "per": "head"}}, "read": "scale * S.T @ q + w"}, cache={}),
    op("one_gate_for_all_ages", cache={"inputs": {"w": {"shape": [], "domain": [0, 1], "per": "head"}}, "summary": None, "score": None, "weight": "softmax(w * age)"}),
    op("steps_of_one_state_alone", rule={"inputs": UNIT_K, "state": {"S": ["K", "V"], "Z": ["K", "V"]}, "read": "Z.T @ q", "update": {
        "S": "S - b * outer(k, S.T @ k)", "Z": "Z - 0.5 * outer(l2norm(q), Z.T @ l2norm(q)) + outer(k, v) + S + new(S)"}}),
    op("a_key_of_parts", rule={"inputs": {**UNIT_K, "p": ["K"], "h": [], "w": PER_HEAD_K},
                               "update": {"S": "S - 0.5 * outer(k, S.T @ k) + outer(w - p - where(h >= 0.25, p, q), v)"}, "read": "S.T @ q"}),
    op("a_norm_into_a_scan", rule={"inputs": {"q": ["K"], "k": ["K"], "w": ["V"], "p": ["D"]}, "read": "silu(S.T @ q)",
                                   "update": {"S": "minimum(S + outer(k / (1 + norm(p)), w), 2)"}}),
    op("delayed_writes_to_channels_of_levels", rule={
        "inputs": {**UNIT_K, "a": {"shape": ["K"], "domain": [-1, 1]}}, "read": "S.T @ q",
        "update": {"S": "diag(a) @ S - b * outer(k, (diag(a) @ S).T @ k) + delay(outer(q, v), 2) + outer(tanh(delay(q, 1)), v)"}},
       cache={**LEVELS, "segments": APART, "weight": "lam[level]"}),
    op("same_score_for_all", cache={"inputs": {}, "score": "0", "select": {"top": 2}}),
    op("a_state_named_acc", rule={"inputs": {"q": ["V"], "k": ["K"], "v": ["V"], "a": {"shape": ["K"], "domain": [0, 1]}}, "state": {"acc": ["K", "V"]},
                                  "update": {"acc": "diag(a) @ acc + window(0.9 * outer(k, v), 3)"}, "read": "acc @ q"}),
    op("a_read_of_a_read_across_channels", rule={
        "inputs": {"q": ["K"], "w": ["K"], "v": ["K"], "k": {"shape": ["K"], "domain": [0, 1]}, "a": {"shape": ["K"], "domain": [0, 1]}},
        "state": {"S": ["K", "K"]}, "update": {"S": "outer(k, a) * S + outer(q, w)"}, "read": "S @ (S.T @ v)"}),
    op("a_matrix_times_every_cached_vector", rule={
        "inputs": {"q": ["K"], "k": ["K"], "W": {"shape": ["K", "K"], "per": "head"}}, "state": {"m": ["K"]}, "update": {"m": "0.9 * m + k"},
        "read": "maximum(W @ m, q)"}, cache={"inputs": {}, "summary": None, "score": None, "weight": "exp(-0.3 * age)"}),
]
CORNERS = {s["name"]: s for s in (
    op("fresh_gate", cache={"segments": {"length": 12, "start": "fresh"}}),
    op("fresh_sum", cache={"weight": 1, "segments": {"length": 9, "start": "fresh"}, "inputs": {}, "summary": None, "score": None}),
    op("mean_of_reads", cache={"weight": "1 / count", "inputs": {}, "summary": None, "score": None}),
    op("aged", cache={"weight": "sigmoid(score - 0.1 * age)"}),
    op("sums_scored", cache={"summary": "sum(k)", "score": "dot(u, tanh(summary))", "weight": "softmax(score / (1 + age))"}),
    op("decayed_reads", cache={"weight": "softmax(score) * exp(after(g))", "select": {"top": 2}}),
    op("levels", cache={"inputs": {"lam": {"shape": [2]}, "u": ["K"]}, "weight": "lam[level] * sigmoid(score)"}),
    op("routed_by_query", cache={"inputs": {}, "score": "dot(q, summary)"}),
    op("top_without_softmax", cache={"weight": "score", "select": {"top": 1}}),
    op("own_router", cache={"inputs": {"u": ["R"], "c": ["R"]}, "summary": "mean(c)"}),
    op("read_before", rule={"read": "scale * prev(S).T @ q"}),
    op("read_before_gate", rule={"read": "scale * prev(S).T @ q"}, cache={}),
    op("bonus", rule={"inputs": {**DECAY["inputs"], "w": {"shape": ["K"], "per": "head"}}, "output": "y + dot(w * k, q) * v"}, cache={}),
    op("two_writes", rule={"update": {"S": "exp(g) * S + outer(k, v) - 0.5 * outer(l2norm(q), v)"}}, cache={}),
    op("window_of_three", rule={"update": {"S": "exp(g) * S + window(sigmoid(g) * outer(k, v), 3)"}},
       cache={"segments": {"length": 10, "start": "fresh"}}),
    op("delayed_query", rule={"read": "scale * S.T @ (q + delay(q, 2))"}, cache={}),
    op("raw_decay", rule={"inputs": {"q": ["K"], "k": ["K"], "v": ["V"], "a": {"shape": [], "domain": [0, 1]}},
                          "update": {"S": "a * S + (1 - a) * outer(k, v)"}}, cache={}),
    op("head_decay", rule={"inputs": {"q": ["K"], "k": ["K"], "v": ["V"], "a": {"shape": [], "per": "head", "domain": [0, 1]}},
                           "update": {"S": "a * S + outer(k, v)"}}),
    op("learned_start", rule={"state": {"S": {"shape": ["K", "V"], "init": "learned"}}},
       cache={"segments": {"length": 12, "start": "fresh"}}),
    op("eye_start", rule={"inputs": {"q": ["K"], "k": ["K"], "v": ["K"], "g": {"shape": [], "domain": ["-inf", 0]}},
                          "state": {"S": {"shape": ["K", "K"], "init": "0.5 * eye(K)"}}}, cache={}),
    op("normalised", rule={
        "state": {"S": ["K", "V"], "z": ["K"]},
        "update": {"S": "exp(g) * S + outer(exp(k), v)", "z": "exp(g) * z + exp(k)"},
        "read": "S.T @ exp(q) / dot(z, exp(q))"}, cache={"mix": "states", "segments": {"length": 12, "start": "fresh"}}),
    op("own_decays", rule={
        "inputs": {**DECAY["inputs"], "h": {"shape": [], "domain": ["-inf", 0]}},
        "state": {"S": ["K", "V"], "m": ["V"], "s": []},
        "update": {"S": "exp(g) * S + outer(k, v)", "m": "exp(h) * m + v", "s": "exp(h) * s + 1"},
        "read": "tanh(S.T @ q) + m / (1 + s)"}, cache={"select": {"top": 2}}),
    op("transposed_memory", rule={"state": {"S": ["V", "K"]}, "update": {"S": "exp(g) * S + outer(v, k)"}, "read": "S @ q"}, cache={}),
    *AFFINE, *FOUND,
    *LOGARITHMIC,
    op("a_function", rule={"functions": {"phi(x)": "softmax(x) * sqrt(K)"}, "let": {"kn": "layernorm(k)"},
                           "update": {"S": "exp(g) * S + outer(phi(kn), silu(v))"}, "read": "S.T @ phi(q)"}, cache={}),
)}
