"""Failing cases as files: a spec that every command reads, and in a comment the call, and the command that shows the failure."""
from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ..diagnostics import UsageError
from ..files import write_text
from .strategy import Case, case_of

if TYPE_CHECKING:
    from .tally import Failure

CALL = "# call: "


def text_of(case: Case, comment: str, command: str) -> str:
    lines = [*(f"# {line}" for line in comment.splitlines()), f"# {command}", CALL + json.dumps(case.call())]
    return "\n".join(lines) + "\n" + yaml.dump(dict(case.spec), Dumper=_Flat, sort_keys=False, width=10_000, default_flow_style=None)


class _Flat(yaml.SafeDumper):
    """No anchors: equal parts are written again."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def save(failure: Failure, path: Path) -> Path:
    return write_text(path, text_of(failure.case, f"{failure.kind}: {failure.what}", f"mcgen fuzz {path}"))


def load(path: Path) -> Case:
    """The case in a file. Raises UsageError for a file without a call."""
    text = path.read_text(encoding="utf-8")
    line = next((x for x in text.splitlines() if x.startswith(CALL)), None)
    if line is None:
        raise UsageError(f"{path} is no saved case: it lacks a line '{CALL}{{...}}'", "fuzz", "mcgen fuzz --n N makes new cases")
    try:
        return case_of(yaml.safe_load(text), json.loads(line.removeprefix(CALL)))
    except (ValueError, TypeError, yaml.YAMLError) as wrong:
        raise UsageError(f"{path}: the call can't be read: {wrong}", "fuzz") from None
