"""Which configuration is kept: gains against noise, near ties, gates."""
import pytest

from tuner import states
from tuner.finish import ENOUGH, judge, settled
from tuner.space import Knob, Space
from tuner.states import Outcome
from tuner.study import Trial
from tuner.work import CONTROL

SPACE = Space((Knob("chunk", (32, 64)), Knob("rows", (4, 6, 8))), {"chunk": 64, "rows": 6}, lambda c: [])
A, B, C = {"chunk": 64, "rows": 4}, {"chunk": 32, "rows": 8}, {"chunk": 32, "rows": 6}
PASSED = Outcome(states.DONE, {"ok": True, "failed": [], "gates": {"forward": {}}, "skipped": {}})


def trials(*scores):
    return [Trial(i, c, states.DONE, s) for i, (c, s) in enumerate(zip((A, B, C), scores))]


def race(scores, noise=0.01, control=1.0, forward=None):
    """scores: by trial number; `forward`: the ratio of that direction where it is another."""
    def run(named):
        def by(direction):
            ratios = {"default": 1.0, CONTROL: control, **{n: (forward or {}).get(n, scores[n]) if direction == "forward" else scores[n] for n in named}}
            return {n: {"ms": 10 * r, "spread": 0.1, "ratio": r, "noise": 0.0 if n == "default" else noise, "rounds": 9} for n, r in ratios.items()}
        return Outcome(states.DONE, {"times": {d: by(d) for d in ("forward", "forward + backward")}})
    return run


def test_the_fastest_is_kept():
    verdict = judge(SPACE, trials(0.9, 0.8, 0.95), race({"trial 0": 0.9, "trial 1": 0.8, "trial 2": 0.95}), lambda c: PASSED)
    assert verdict.config == B and verdict.score == pytest.approx(0.8) and verdict.name == "trial 1"


def test_a_near_tie_goes_to_the_simpler():
    verdict = judge(SPACE, trials(0.81, 0.8, 0.9), race({"trial 0": 0.805, "trial 1": 0.8, "trial 2": 0.9}, noise=0.02), lambda c: PASSED)
    assert verdict.config == A


@pytest.mark.parametrize("noise, control", [(0.06, 1.0), (0.0, 1.06), (0.0, 0.94)])
def test_a_gain_within_the_noise_is_none(noise, control):
    """The spread of ratios, or how far the default is from itself in the same race."""
    verdict = judge(SPACE, trials(0.8), race({"trial 0": 0.95}, noise, control), lambda c: PASSED)
    assert verdict.config is None and "no gain" in verdict.why and verdict.score == pytest.approx(0.95)


def test_luck_does_not_last():
    """Fastest among several, and no gain when it is measured again: not kept."""
    first, again = race({"trial 0": 0.8, "trial 1": 0.85}), race({"trial 0": 0.99})
    asked = []

    def run(named):
        asked.append(list(named))
        return (first if len(named) > 1 else again)(named)

    verdict = judge(SPACE, trials(0.8, 0.85), run, lambda c: PASSED)
    assert verdict.config is None and "once more" in verdict.why and verdict.score == pytest.approx(0.99) and asked[1] == ["trial 0"]
    dies = judge(SPACE, trials(0.8, 0.85), lambda n: first(n) if len(n) > 1 else Outcome(states.TIMEOUT), lambda c: PASSED)
    assert dies.config is None and "timeout" in dies.why


def test_slower_in_one_direction_is_no_gain():
    verdict = judge(SPACE, trials(0.8), race({"trial 0": 0.7}, forward={"trial 0": 1.1}), lambda c: PASSED)
    assert verdict.config is None


def test_nothing_faster_is_not_raced():
    assert "none of 2" in judge(SPACE, trials(1.0, 1.2), None, None).why
    assert "no configuration could be measured" in judge(SPACE, [Trial(0, A, states.CRASH)], None, None).why


def test_what_fails_a_gate_is_never_kept():
    def gates(config):
        return PASSED if config == C else Outcome(states.DONE, {"ok": False, "failed": ["gradients", "repeatable"]})

    times = race({"trial 0": 0.8, "trial 1": 0.7, "trial 2": 0.9})
    verdict = judge(SPACE, trials(0.8, 0.7, 0.9), times, gates)
    assert verdict.config == C and verdict.failed == {"trial 1": "gradients, repeatable", "trial 0": "gradients, repeatable"}
    verdict = judge(SPACE, trials(0.8, 0.7, 0.9), times, lambda c: Outcome(states.CRASH, detail="SIGSEGV"))
    assert verdict.config is None and verdict.failed["trial 1"] == "crash: SIGSEGV"


def test_a_study_without_gain_settles_on_the_default():
    """After enough trials, and only where the default passes the gates itself."""
    many = [Trial(i, C, states.DONE, 1.1) for i in range(ENOUGH)]
    verdict = judge(SPACE, many, None, None)
    kept = settled(SPACE, many, verdict, race({}, control=1.02), lambda c: PASSED)
    assert kept.config == SPACE.default and (kept.score, kept.noise, kept.name, kept.why) == (1.0, pytest.approx(0.02), "default", verdict.why)
    assert settled(SPACE, many[1:], verdict, None, None) is verdict
    wrong = Outcome(states.DONE, {"ok": False, "failed": ["gradients"]})
    assert settled(SPACE, many, verdict, race({}), lambda c: wrong) is verdict
    broken = judge(SPACE, [Trial(0, A, states.CRASH)], None, None)
    assert settled(SPACE, many, broken, None, None) is broken


def test_a_last_race_that_dies():
    verdict = judge(SPACE, trials(0.8), lambda named: Outcome(states.TIMEOUT, detail="no answer"), None)
    assert verdict.config is None and "timeout" in verdict.why
