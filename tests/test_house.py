"""House rules that no other test sees: small files, documented modules, clean texts."""
import ast
import re
import statistics
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [*sorted(p for p in (ROOT / "mcgen").rglob("*.py") if p.parts[len(ROOT.parts) + 1][0] != "_" or p.name == "__init__.py"),
           *sorted((ROOT / "tuner").rglob("*.py"))]


def test_files_stay_small():
    sizes = {str(p.relative_to(ROOT)): p.stat().st_size for p in SOURCES}
    assert not {name: size for name, size in sizes.items() if size > 20_000}
    assert statistics.median(sizes.values()) < 7_000


def test_every_module_says_what_it_is():
    silent = [str(p.relative_to(ROOT)) for p in SOURCES if p.stat().st_size and not ast.get_docstring(ast.parse(p.read_text("utf-8")))]
    assert not silent


def test_texts_name_no_machine():
    """No absolute paths of a machine, and no notes to self."""
    places = re.compile(r"(?<![\w.])/(?:home|root|work|Users|tmp)/|\b(?:TODO|FIXME|XXX)\b")
    texts = [*SOURCES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "pyproject.toml", *(ROOT / "specs").rglob("*.yaml")]
    found = [f"{p.relative_to(ROOT)}:{i}: {line.strip()}" for p in texts
             for i, line in enumerate(p.read_text(encoding="utf-8").splitlines(), 1) if places.search(line)]
    assert not found, "\n".join(found)
