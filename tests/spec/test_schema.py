"""The JSON schema for editors says the same as the loader."""
from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from mcgen.spec import library_names, load_spec
from mcgen.spec.build import CACHE_KEYS, INPUT_KEYS, RULE_KEYS, SEGMENT_KEYS, STATE_KEYS, TOP_KEYS

SPECS = Path(__file__).parents[2] / "specs"
SCHEMA = json.loads((SPECS / "mcgen.schema.json").read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)


def test_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", sorted(SPECS.glob("*/*.yaml")), ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_library_files(path: Path) -> None:
    VALIDATOR.validate(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", [f"{r}+grm" for r in library_names("rules")[:6]] + library_names("ops"))
def test_resolved_specs(name: str) -> None:
    VALIDATOR.validate(load_spec(name).raw)


def test_keys_agree() -> None:
    top, definitions = SCHEMA["properties"], SCHEMA["definitions"]
    assert set(top) == set(TOP_KEYS)
    assert set(top["rule"]["properties"]) == set(RULE_KEYS)
    assert set(top["cache"]["properties"]) == set(CACHE_KEYS)
    assert set(top["cache"]["properties"]["segments"]["properties"]) == set(SEGMENT_KEYS)
    assert set(definitions["input"]["oneOf"][1]["properties"]) == set(INPUT_KEYS)
    assert set(definitions["state"]["oneOf"][1]["properties"]) == set(STATE_KEYS)


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "bad").glob("unknown-key*.yaml")), ids=lambda p: p.stem)
def test_unknown_keys_are_refused(path: Path) -> None:
    assert not VALIDATOR.is_valid(yaml.safe_load(path.read_text(encoding="utf-8")))
