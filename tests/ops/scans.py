"""Specs that only the scan over tokens computes, each for a corner of it."""

INPUTS = {"q": ["K"], "k": {"shape": ["K"], "domain": "unit"}, "v": ["V"], "g": {"shape": [], "domain": ["-inf", 0]}, "eta": {"shape": [], "domain": [0, 1]}}
GATED = {"inputs": {"u": ["K"]}, "segments": {"length": 12}, "summary": "mean(k)", "score": "dot(u, summary)", "weight": "softmax(score)"}
TOP = {**GATED, "select": {"top": 2}, "segments": {"length": 9, "start": "fresh"}}
ERROR = "S.T @ k - v"


def op(name, update, cache=None, inputs=None, **rule):
    update = update if isinstance(update, dict) else {"S": update}
    spec = {"name": name, "rule": {"inputs": {**INPUTS, **(inputs or {})}, "state": {"S": ["K", "V"]}, "update": update, "read": "S.T @ q", **rule}}
    return spec if cache is None else {**spec, "cache": cache}


FOUND = [                        # by `mcgen fuzz`, shrunk
    op("chosen_by_numbers", "where(K < 2, tanh(S), where(0.5 < 0.25, S, eta * S)) + outer(k, v)", inputs={}),
    op("learned_in_every_row", "(eye(K) - 0.5 * outer(k, k)) @ (step(eta * S, softmax(w))) + 0.5 * M", GATED,
       {"w": {"shape": ["K"], "per": "head"}, "M": ["K", "V"]}, functions={"step(X, x)": "X - eta * outer(x, X.T @ x)"}),
    op("each_takes_the_other", {"Z": "(eye(K) - 0.5 * outer(w, w)) @ Z + outer(k, eta * v) - 0.3 * S", "S": "diag(exp(p)) @ S + new(Z)"},
       inputs={"w": {"shape": ["K"], "domain": "unit", "per": "head"}, "p": {"shape": ["K"], "domain": ["-inf", 0], "per": "head"}},
       state={"S": ["K", "V"], "Z": ["K", "V"]}, read="Z.T @ q"),
    op("its_sum_read_twice", {"S": "eta * S + outer(k, v)", "Z": "tanh(new(S)) + new(S)"}, state={"S": ["K", "V"], "Z": ["K", "V"]}, read="Z.T @ q"),
    op("left_as_it_is", {"S": "tanh(S) + outer(k, v)", "Z": "where(1 > 0.5, Z, eta * Z)"}, state={"S": ["K", "V"], "Z": ["V"]}, read="S.T @ q + 0.1 * v"),
    op("a_system_of_its_square", "0.5 * S + 0.4 * outer(k, v - S.T @ k)", read="solve(S @ S.T + eye(K), q)"),
    op("a_system_of_a_matrix", "0.5 * S + 0.4 * outer(k, v - S.T @ k)", read="solve(S @ S.T + eye(K), S).T @ q"),
    op("columns_of_a_number", {"S": "S @ diag(w) + 0.3 * S - 0.3 * Z", "Z": "exp(g) * Z + 0.5 * S + 0.1 * outer(k, w)"},
       inputs={"w": {"shape": [3], "domain": [0, 0.6]}}, state={"S": ["K", 3], "Z": ["K", 3]}, read="S @ w"),
    {"name": "scaled_reads_of_two_layers", "rule": {
        "inputs": {"k": {"shape": ["K"], "domain": "unit"}, "v": ["V"], "b": {"shape": [], "domain": [0, 1]}}, "functions": {"M(x)": "S @ tanh(Z @ x)"},
        "state": {"S": {"shape": ["V", "K"], "init": "learned"}, "Z": {"shape": ["K", "K"], "init": "learned"}}, "objective": "0.1 * sum((M(k) - v)**2)",
        "update": {"S": "b * S - 0.3 * grad(S)", "Z": "b * Z - 0.3 * grad(Z)"}, "read": "K**-0.5 * M(k)"}, "cache": {**GATED, "inputs": {"u": ["V"]}, "summary": "mean(v)"}},
    op("scaled_by_itself", {"S": "tanh(S) + outer(k, v)", "Z": "0.5 * Z + 0.5 * new(S).T @ k"}, {**GATED, "weight": "sigmoid(score - 0.1 * age)"},
       state={"S": ["K", "V"], "Z": ["V"]}, read="Z / (1 + abs(dot(Z, v)))"),
    op("no_derivative_where_not_taken", "tanh(S) + where(eta > 0.5, sqrt(eta - 0.4), 0) * outer(k, v)"),
]
SCANS = {s["name"]: s for s in (
    *FOUND,
    op("signed_decay", "outer(a, b) * S + outer(k, v)", TOP, {"a": {"shape": ["K"], "domain": [-1, 1]}, "b": {"shape": ["V"], "domain": [-1, 1]}}),
    op("negative_scalar_decay", "a * S + outer(k, v)", inputs={"a": {"shape": [], "domain": [-1, 0]}}),
    op("bounded", "tanh(exp(g) * S + outer(k, v))", GATED),
    op("largest", "maximum(exp(g) * S, outer(k, v))"),
    op("chosen", "where(abs(S) < abs(outer(k, v)), 0.5 * S + outer(k, v), exp(g) * S)", TOP),
    op("huber", "S - eta * grad(S)", GATED, {"delta": {"shape": [], "domain": [0, "inf"]}}, objective=f"sum(huber({ERROR}, delta))"),
    op("cubed", "exp(g) * S - eta * grad(S, at=exp(g) * S)", constants={"p": 1.5}, objective=f"sum(abs({ERROR})**p) / p"),
    op("windowed", "S - 0.3 * window(eta * grad(S), 3)", TOP, objective=f"sum(huber({ERROR}, 0.5))"),
    op("normalised_step", "S - eta * grad(S) / (1 + norm(grad(S)))", objective=f"0.5 * sum(({ERROR})**2)"),
    op("unit_rows", "l2norm(exp(g) * S + outer(k, v))", {**GATED, "mix": "states"}),
    op("columns_of_one", "softmax(S + eta * outer(k, v)).T", state={"S": ["K", "K"]}, inputs={"v": ["K"]}),
    op("two_states", {"Z": "0.5 * tanh(Z) + outer(k, S.T @ k - v)", "S": "exp(g) * S - 0.1 * new(Z) * tanh(Z)"}, GATED,
       state={"S": ["K", "V"], "Z": ["K", "V"]}),
    op("swapped", {"S": "0.7 * tanh(Z)", "Z": "0.7 * tanh(S) + outer(k, v)"}, state={"S": ["K", "V"], "Z": ["K", "V"]}, read="S.T @ q + prev(Z).T @ k"),
    op("small_states", {"S": "exp(g - m) * S + outer(k, v)", "m": "maximum(m + g, eta)", "z": "relu(z + k) - 0.1 * m * z"},
       {**TOP, "mix": "reads"}, state={"S": ["K", "V"], "m": [], "z": ["K"]}, read="S.T @ q / (1 + abs(dot(z, q)) + m)"),
    op("square", "tanh(0.5 * S @ S.T @ S + outer(k, v)) - 0.1 * S.T", state={"S": {"shape": ["K", "K"], "init": "0.1 * eye(K)"}}, inputs={"v": ["K"]},
       read="layernorm(S @ q)"),
    op("shared_decay", "exp(A) * S + outer(k, v)", {**GATED, "segments": {"length": 10, "start": "fresh"}},
       {"A": {"shape": ["K", "V"], "per": "head", "domain": ["-inf", 0]}}, state={"S": {"shape": ["K", "V"], "init": "learned"}}),
    op("matrix_input", "W * S + delay(outer(k, v), 1)", inputs={"W": {"shape": ["K", "V"], "domain": [-1, 1]}}),
    op("read_whole", "exp(g) * S + outer(k, v)", GATED, read="tanh(S).T @ q + 0.1 * norm(S) * v"),
    op("read_twice", "exp(g) * S + outer(k, v)", GATED, inputs={"v": ["K"]}, state={"S": ["K", "K"]}, read="S.T @ (tanh(S) @ q) + prev(S) @ softmax(S @ k)"),
    op("two_layers", {"X": "exp(g) * X - eta * grad(X)", "Y": "Y - eta * grad(Y)"}, inputs={"v": ["K"]}, dims={"D": "2*K"}, functions={"M(x)": "x + X @ gelu(Y @ x)"},
       state={"X": {"shape": ["K", "D"], "init": "learned"}, "Y": {"shape": ["D", "K"], "init": "learned"}}, objective="0.1 * sum((M(k) - v)**2)", read="M(q)"),
    op("systems_of_memories", "exp(g) * S + outer(k, v)", GATED, read="solve(S @ S.T + eye(K), S).T @ solve(S @ S.T + 2 * eye(K), q)"),
    op("solved", {"P": "exp(g) * P + outer(k, k)", "S": "S + outer(solve(eye(K) + P, k), v - S.T @ k)"}, TOP, state={"S": ["K", "V"], "P": ["K", "K"]},
       read="S.T @ solve(P + 0.5 * eye(K), q)"),
)}
