"""What may import what, and what must not appear in the compiler at all."""
import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MCGEN = ROOT / "mcgen"

# A package may import those named with it, itself, and what every package may: diagnostics.
MAY = {
    "diagnostics": set(),
    "files": set(),
    "ir": set(),
    "spec": set(),
    "symbolic": {"ir", "spec"},
    "passes": {"ir", "spec", "symbolic"},
    "runtime": set(),
    "codegen": {"ir", "spec", "symbolic", "passes", "runtime"},
    "verify": {"ir", "spec", "symbolic", "passes", "codegen", "runtime"},
    "fuzz": {"ir", "spec", "symbolic", "passes", "codegen", "verify", "runtime", "files"},
    "ops": {"runtime"},
    "nn": {"spec", "symbolic", "runtime"},
    "train": {"nn", "files"},
    "bench": {"spec", "symbolic", "runtime", "nn", "files"},
    "cli": {"spec", "symbolic", "ir", "passes", "codegen", "verify", "runtime", "ops", "nn", "train", "bench", "fuzz", "files"},
}
# tuner/ as a whole; and of its modules, what the search and the judgement may see: they run on recorded trials, without kernels.
TUNER = {"diagnostics", "files", "spec", "codegen", "verify", "runtime", "bench", "cli", "load", "load_spec"}
PURE = {"states": set(), "journal": {"diagnostics"}, "study": set(), "finish": set(), "space": {"runtime"}}
ORACLE = {"spec", "diagnostics", "verify"}            # what verify/oracle.py and its helpers may see
NAMES = "deltanet gla titans retnet mamba rwkv kda".split()


def files(*parts):
    return sorted(p for p in MCGEN.joinpath(*parts).rglob("*.py") if "__pycache__" not in p.parts)


def package_of(path: Path) -> str:
    relative = path.relative_to(MCGEN)
    return relative.parts[0].removesuffix(".py")


def imports(path: Path):
    """(absolute module name, at import time?) of everything a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = ["mcgen", *path.relative_to(MCGEN).with_suffix("").parts][:-1]
    late = {id(n) for f in ast.walk(tree) if isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) for n in ast.walk(f)}
    typing_only = {id(n) for i in ast.walk(tree) if isinstance(i, ast.If) and "TYPE_CHECKING" in ast.unparse(i.test) for n in ast.walk(i)}
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, id(node) not in late
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module, id(node) not in late
            if module == "mcgen":
                for name in node.names:
                    yield f"mcgen.{name.name}", id(node) not in late


def test_the_left_never_imports_the_right():
    wrong = []
    for path in files():
        package = package_of(path)
        if package in ("__init__", "__main__"):
            continue
        assert package in MAY, f"{path}: say in MAY what mcgen.{package} may import"
        for module, _ in imports(path):
            parts = module.split(".")
            if parts[0] == "mcgen" and len(parts) > 1 and parts[1] not in {package, "diagnostics", "load", "reference", "load_spec",
                                                                           "__version__"} | MAY[package]:
                wrong.append(f"{path.relative_to(ROOT)} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_mcgen_never_imports_the_tuner():
    wrong = [str(p) for p in files() for m, _ in imports(p) if m.split(".")[0] in ("tuner", "mcgen_tuner", "generated")]
    assert not wrong


def test_what_the_tuner_imports():
    """Relative within itself, since an installed mcgen carries it under another name; of mcgen only what is on its left."""
    wrong = []
    for path in sorted((ROOT / "tuner").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""] if (
                isinstance(node, ast.ImportFrom) and node.level == 0) else []
            for name in names:
                parts = name.split(".")
                allowed = PURE.get(path.stem, TUNER)
                if parts[0] in ("tuner", "mcgen_tuner", "generated") or parts[0] == "mcgen" and len(parts) > 1 and parts[1] not in allowed:
                    wrong.append(f"{path.relative_to(ROOT)}: {name}")
    assert not wrong, "\n".join(wrong)


def test_asking_the_tuner_for_help_costs_nothing():
    code = "import sys, tuner.cli; sys.exit(','.join(sorted({'torch', 'sympy', 'optuna', 'tvm', 'rich'} & set(sys.modules))) or None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_generated_packages_import_runtime_and_torch_only():
    allowed = {"torch", "triton", "tvm", "math", "pathlib", "__future__", "typing"}
    wrong = []
    for path in sorted((ROOT / "generated").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""] if (
                isinstance(node, ast.ImportFrom) and node.level == 0) else []
            wrong += [f"{path.relative_to(ROOT)}: {n}" for n in names
                      if n.split(".")[0] not in allowed and not n.startswith("mcgen.runtime") and n != "mcgen.diagnostics"]
    assert not wrong, "\n".join(wrong)


def test_runtime_is_light():
    heavy = {"sympy", "yaml", "optuna", "tvm"}
    wrong = [f"{p.name}: {m}" for p in files("runtime") for m, early in imports(p) if early and m.split(".")[0] in heavy]
    assert not wrong
    code = f"import mcgen.runtime, sys; sys.exit(','.join(sorted({heavy!r} & set(sys.modules))) or None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_a_shipped_op_loads_without_compilers():
    """Neither mcgen's nor torch's: each would take longer than all the rest."""
    heavy = {"sympy", "torch._dynamo", "tvm", "optuna"}
    code = f"import mcgen, sys; mcgen.load('linear_attention'); sys.exit(','.join(sorted({heavy!r} & set(sys.modules))) or None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_importing_mcgen_costs_nothing():
    code = "import sys, mcgen; sys.exit(','.join(sorted({'torch', 'sympy', 'yaml', 'tvm', 'numpy', 'rich'} & set(sys.modules))) or None)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_the_oracle_shares_nothing_with_the_compiler():
    seen, todo = set(), ["mcgen.verify.oracle"]
    while todo:
        module = todo.pop()
        path = ROOT / (module.replace(".", "/") + ".py")
        if module in seen or not path.exists():
            continue
        seen.add(module)
        for name, _ in imports(path):
            if name.startswith("mcgen."):
                assert name.split(".")[1] in ORACLE, f"{path.name} imports {name}"
                todo.append(name)
    assert len(seen) > 1


def text_files():
    return [p for p in MCGEN.rglob("*") if p.is_file() and "__pycache__" not in p.parts and p.parts[len(MCGEN.parts)][0] != "_"
            and p.suffix in (".py", ".md", ".yaml", ".json", ".txt")]


@pytest.mark.parametrize("name", NAMES)
def test_no_rule_has_a_name_in_mcgen(name):
    texts = [*text_files(), *(ROOT / "tuner").rglob("*.py")]
    found = [f"{p.relative_to(ROOT)}:{i}" for p in texts for i, line in enumerate(p.read_text(encoding="utf-8").splitlines(), 1)
             if name in line.lower()]
    assert not found, f"{name}: {found}"


def test_no_library_cache_has_a_name_in_mcgen():
    caches = {p.stem for p in (ROOT / "specs" / "caches").glob("*.yaml")} - {"residual"}       # also a common word
    found = []
    for path in files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in caches:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.value!r}")
    assert not found


def test_nothing_dangerous():
    """No eval, exec, pickle, yaml.load or shell in mcgen, tuner and generated packages."""
    wrong = []
    for path in [*files(), *(ROOT / "tuner").rglob("*.py"), *(ROOT / "generated").rglob("*.py")]:
        text = path.read_text(encoding="utf-8")
        if not re.search(r"\b(pickle|marshal|shelve|dill|eval|exec|yaml|system|popen|shell|torch\s*\.\s*load)\b", text):
            continue                                     # parsing everything takes long
        for node in ast.walk(ast.parse(text)):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import) and any(a.name.split(".")[0] in ("pickle", "marshal", "shelve", "dill") for a in node.names):
                wrong.append(f"{where}: {ast.unparse(node)}")
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in ("eval", "exec", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system", "os.popen", "pickle.loads"):
                    wrong.append(f"{where}: {called}")
                if any(k.arg == "shell" and ast.unparse(k.value) != "False" for k in node.keywords):
                    wrong.append(f"{where}: shell")
                if called == "torch.load" and not any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords):
                    wrong.append(f"{where}: torch.load without weights_only")
    assert not wrong, "\n".join(wrong)
