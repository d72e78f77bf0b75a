"""Names of the library, `use` and what overrides what."""
from __future__ import annotations

from pathlib import Path

import pytest

from mcgen.diagnostics import SpecError, UsageError
from mcgen.spec import dump_spec, library_names, load_spec, load_text
from mcgen.spec.nodes import Name, Num
from mcgen.symbolic.elaborate import elaborate

RULES, CACHES = library_names("rules"), library_names("caches")


def code_of(source, **kwargs) -> str:
    with pytest.raises(SpecError) as e:
        load_spec(source, **kwargs)
    return e.value.code


@pytest.mark.parametrize("name", RULES + library_names("ops"))
def test_library_ops(name: str) -> None:
    spec = load_spec(name)
    model = elaborate(spec)
    assert spec.name == name and spec.summary and not model.notes
    assert all(i.doc for i in model.inputs.values())


@pytest.mark.parametrize("name", [f"{r}+{c}" for r in RULES for c in ("residual", "grm", "soup", "ssc")])
def test_every_rule_takes_the_published_caches(name: str) -> None:
    spec = load_spec(name)
    elaborate(spec)
    assert spec.name == name.replace("+", "_")
    text = dump_spec(spec)
    again = load_text(text)
    assert again == spec and load_spec(spec.raw) == spec and dump_spec(again) == text


def test_overrides_merge_or_replace() -> None:
    spec = load_spec({"name": "x", "rule": {"use": "linear_attention", "constants": {"scale": 2}},
                      "cache": {"use": "grm", "inputs": {}, "score": "dot(q, summary)", "segments": {"length": 32}}})
    assert spec.name == "x" and spec.rule.constants["scale"] == Num(2)
    assert spec.cache.segments.length == 32 and spec.cache.segments.start == "carry" and spec.cache.inputs == {}
    elaborate(spec)


def test_keywords_override() -> None:
    spec = load_spec("linear_attention+grm", constants={"scale": "1/K"}, segment_length=64)
    assert spec.cache.segments.length == 64 and spec.raw["rule"]["constants"] == {"scale": "1/K"}
    for bad in ({"constants": {"scal": 1}}, {"segment_length": 0}, {"constants": {"scale": None}},
                {"constants": {"scale": float("nan")}}, {"segment_length": True}):
        with pytest.raises(UsageError):
            load_spec("linear_attention+grm", **bad)
    with pytest.raises(UsageError):
        load_spec("linear_attention", segment_length=64)


def test_names_never_reach_outside() -> None:
    for name in ("../x", "a/b", "a+../b", "..", "x\0y", "", "a+b+c", "~", "a\\b"):
        assert code_of(name) in ("not-found", "bad-name", "yaml-syntax")
    assert code_of("grm") == "not-found"
    assert code_of("nothing_here") == "not-found"
    assert code_of("linear_attention+nothing") == "not-found"


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("rule: {use: linear_attention}\ncache: {use: grm}\n", encoding="utf-8")
    assert load_spec(file) == load_spec(str(file)) and load_spec(file).name == "linear_attention_grm"
    file.write_bytes(b"\xff\xfe\x00rule")
    assert code_of(file) == "yaml-syntax"
    file.write_bytes(b"# " + b"x" * 1_000_000)
    assert code_of(file) == "too-large"
    assert code_of(tmp_path) == "not-found"
    assert code_of(Path("/dev/zero")) == "not-found"


def test_a_library_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rules").mkdir()
    for name, body in {"one": "{use: two}", "two": "{use: one}", "mine": "{use: linear_attention, read: S.T @ q}"}.items():
        (tmp_path / "rules" / f"{name}.yaml").write_text(f"rule: {body}\n", encoding="utf-8")
    monkeypatch.setenv("MCGEN_SPECS", str(tmp_path))
    assert "mine" in library_names("rules")
    assert "scale" not in str(load_spec("mine+grm").rule.read)
    assert code_of("one") == "use-cycle"


def test_dicts() -> None:
    spec = load_spec({"rule": {"inputs": {"no": ["K"], "v": ["V"]}, "state": {"S": ("K", "V")},
                               "update": {"S": "S + outer(no, v)"}, "read": "S.T @ no"}})
    assert list(spec.rule.inputs) == ["no", "v"] and spec.name == "op"
    loop: dict = {}
    loop["rule"] = loop
    for bad in (loop, {"rule": object()}, 3, None, ["x"]):
        with pytest.raises(UsageError):
            load_spec(bad)
    with pytest.raises(SpecError, match="unknown-name.*'true'"):
        elaborate(load_spec({"rule": {"inputs": {"q": ["K"]}, "state": {"S": ["K"]}, "read": True}}))


def test_words_stay_words() -> None:
    spec = load_text("rule:\n  inputs: {on: [K], v: [V]}\n  state: {S: [K, V]}\n  update: {S: 'S + outer(on, v)'}\n  read: S.T @ on\n")
    assert list(spec.rule.inputs) == ["on", "v"] and spec.rule.state["S"].shape == ("K", "V")
    assert isinstance(spec.rule.update["S"].right.args[0], Name)
