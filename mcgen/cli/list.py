"""List the rules, caches and whole ops of the library, and the ops that ship built.

A rule and a cache combine as RULE+CACHE. Further folders are searched when MCGEN_SPECS names them.
"""
from __future__ import annotations

import argparse
import json


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", nargs="?", choices=["rules", "caches", "ops", "built"], help="only these")
    parser.add_argument("--json", action="store_true", help="names and summaries as JSON")


def run(args: argparse.Namespace) -> int:
    table = {kind: entries(kind) for kind in ([args.kind] if args.kind else ["rules", "caches", "ops", "built"])}
    if args.json:
        print(json.dumps(table, indent=2))
        return 0
    width = max((len(n) for names in table.values() for n in names), default=0)
    titles = {"built": "built, ready to import: from mcgen.ops import NAME"}
    for kind, names in table.items():
        if names:
            print(titles.get(kind, kind))
            for name, summary in names.items():
                print(f"  {name:<{width}}  {summary}".rstrip())
            print()
    return 0


def entries(kind: str) -> dict[str, str]:
    """Name -> one line of summary."""
    if kind == "built":
        from ..ops import available

        return dict.fromkeys(available(), "")
    from ..spec import library_names

    return {name: _summary(kind, name) for name in library_names(kind)}


def _summary(kind: str, name: str) -> str:
    """The file's own `summary` line, without reading the rest of the spec."""
    from ..spec.library import find

    path, _ = find(kind, name)
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("summary:"):
            return line.removeprefix("summary:").strip().strip("\"'")
    return ""
