"""Knobs, feasibility, schedules."""
import pytest

from mcgen.runtime.schedule import Schedule
from tuner.space import Knob, Space, config_of, cpu_space, schedule_of


@pytest.fixture
def cpu():
    return cpu_space((16, 32, 64, 128), 64, "avx2")


def test_the_cpu_space_holds_its_default_and_nothing_that_spills(cpu):
    configs = list(cpu.configs())
    assert cpu.default in configs and cpu.holds(cpu.default)
    for c in configs:
        vectors = c["columns"] // 8
        assert 6 <= c["rows"] * vectors and c["rows"] * vectors + (vectors if c["rows"] > 1 else 0) + 1 <= 16
    assert len(list(cpu_space((64,), 64, "avx512").configs())) > len(configs) / 4


def test_wide_vectors_are_a_choice_where_there_are_some(cpu):
    wide = cpu_space((64,), 64, "avx512")
    assert "lanes" not in cpu.default and wide.default["lanes"] == 16 and wide.holds(wide.default)
    tile = {**wide.default, "rows": 8, "columns": 24}                    # a vector of 16 and one of 8, or three of 8
    assert wide.feasible(tile) == [] and wide.feasible({**tile, "rows": 12, "lanes": 8}) == ["40 vector registers of 32"]
    assert wide.feasible({**tile, "rows": 2, "lanes": 16}) == ["4 sums at once, fewer than 6"] and wide.feasible({**tile, "rows": 2, "lanes": 8}) == []


def test_reasons_are_words(cpu):
    assert cpu.feasible({**cpu.default, "rows": 12, "columns": 32}) == ["53 vector registers of 16"]
    assert cpu.feasible({**cpu.default, "rows": 1, "columns": 8}) == ["1 sums at once, fewer than 6"]
    assert not cpu.holds({**cpu.default, "rows": 7}) and not cpu.holds({"chunk": 64})


def test_schedules_and_back(cpu):
    config = {**cpu.default, "chunk": 32, "rows": 4}
    assert config_of(schedule_of(config), cpu) == config and schedule_of(config).chunk == 32
    assert config_of(Schedule(128), cpu) == {**cpu.default, "chunk": 128}


def test_plainness(cpu):
    one, two = {**cpu.default, "chunk": 32}, {**cpu.default, "chunk": 32, "unroll": 2}
    assert cpu.plainness(cpu.default) == (0, 0) < cpu.plainness(one) < cpu.plainness(two)


def test_bad_spaces_are_refused():
    with pytest.raises(ValueError, match="ascend"):
        Knob("rows", (4, 2))
    with pytest.raises(ValueError, match="no choice of rows"):
        Space((Knob("rows", (2, 4)),), {"rows": 3}, lambda c: [])
