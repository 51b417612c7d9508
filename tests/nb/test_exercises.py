from __future__ import annotations

import functools
import inspect
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.nb import exercises
from ecgscan_lab.nb.exercises import (
    Check,
    Exercise,
    Wrong,
    check_exercise,
    find_exercise,
    registered_exercises,
    registry,
)
from ecgscan_lab.nb.exercises.checks import (
    gradient_check,
    invariance_check,
    number_check,
    percent_check,
    shape_check,
    value_check,
)

ALL = registered_exercises()
WRONG = [(exercise, wrong) for exercise in ALL for wrong in exercise.wrong]


@pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.id)
def test_the_solution_passes(exercise):
    verdict = exercise.verdict(exercise.solution)
    assert verdict, verdict


@pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.id)
def test_the_untouched_stub_is_not_attempted(exercise):
    verdict = exercise.verdict(exercise.stub)
    assert (verdict.status, verdict.reason) == ("not attempted", exercise.question)
    if callable(exercise.stub):
        with pytest.raises(NotImplementedError, match=f"exercise {exercise.id}"):
            exercise.stub()


@pytest.mark.parametrize(("exercise", "wrong"), WRONG, ids=lambda item: getattr(item, "id", ""))
def test_plausible_wrong_answers_are_refused_for_the_right_reason(exercise, wrong):
    verdict = exercise.verdict(wrong.answer)
    assert verdict.status in ("wrong", "crashed")
    assert wrong.reason in verdict.reason
    assert verdict.hint


def test_ids_are_unique_and_belong_to_their_notebook():
    ids = [exercise.id for exercise in ALL]
    assert len(set(ids)) == len(ids)
    assert {name.partition(".")[0] for name in ids} <= set(registry.MODULES)
    assert "02.1" in ids


def test_every_module_of_exercises_is_registered():
    there = {path.stem for path in Path(inspect.getfile(exercises)).parent.glob("*.py")}
    assert there - {"__init__", "exercise", "registry", "checks"} <= set(registry.MODULES.values())


def test_a_notebook_whose_module_is_absent_has_no_exercises(monkeypatch):
    monkeypatch.setitem(registry.MODULES, "98", "not_there")
    assert not [exercise for exercise in registered_exercises() if exercise.id.startswith("98")]
    with pytest.raises(ArgumentError, match=r"no exercise '98\.1'"):
        find_exercise("98.1")


def test_an_unknown_number_lists_the_known_ones():
    with pytest.raises(ArgumentError, match=r"02\.1, 02\.2"):
        check_exercise("02.99", ...)


def test_hints_grow_with_each_wrong_attempt_and_start_again_after_a_right_one():
    wrong = find_exercise("02.1").wrong[0].answer
    hints = [check_exercise("02.1", wrong).hint for _ in range(4)]
    assert len(set(hints[:3])) == 3
    assert hints[3] == hints[2]
    assert check_exercise("02.1", find_exercise("02.1").solution)
    assert check_exercise("02.1", wrong).hint == hints[0]
    check_exercise("02.1", find_exercise("02.1").solution)


def test_a_verdict_reads_as_sentences():
    verdict = find_exercise("02.4").verdict(0.0)
    assert str(verdict).startswith("Exercise 02.4: wrong. 0 nats is the floor without label smoothing.\nHint: the best")
    assert repr(verdict) == str(verdict)
    assert repr(find_exercise("02.4").verdict(find_exercise("02.4").solution)) == "Exercise 02.4: right."


@pytest.mark.parametrize("answer", [..., None, NotImplemented])
def test_placeholders_count_as_not_attempted(answer):
    assert {exercise.verdict(answer).status for exercise in ALL} == {"not attempted"}


def test_a_called_function_is_refused():
    assert "not a function" in find_exercise("02.1").verdict(0.5).reason


def half_of(value):
    return value[:, 7] / 2


def answer_by_a_second_function(a, b, c):
    return half_of(a)


def test_a_crash_is_told_with_its_line_and_its_reason():
    verdict = find_exercise("02.1").verdict(answer_by_a_second_function)
    line = inspect.getsourcelines(half_of)[1] + 1
    assert (verdict.status, verdict.hint, bool(verdict)) == ("crashed", "", False)
    assert verdict.reason.startswith("TypeError: 'float' object is not subscriptable")
    assert f"line {line} of its cell or file, in half_of: return value[:, 7] / 2" in verdict.reason


def test_an_answer_that_takes_other_arguments_or_is_no_python_crashes_too():
    assert "positional argument" in find_exercise("02.1").verdict(lambda a: a).reason
    for answer in (lambda a: a, torch.acos, functools.partial(answer_by_a_second_function, 1)):
        assert find_exercise("02.1").verdict(answer).status == "crashed"


def test_a_crash_uses_up_no_hint_also_between_wrong_answers():
    exercise = find_exercise("02.1")
    wrong = exercise.wrong[0].answer
    expected = [exercise.verdict(wrong, attempt).hint for attempt in (1, 2)]
    seen = []
    for _ in range(2):
        for _ in range(3):
            assert check_exercise("02.1", answer_by_a_second_function).status == "crashed"
        seen.append(check_exercise("02.1", wrong).hint)
    check_exercise("02.1", exercise.solution)
    assert seen == expected


def test_an_answer_that_returns_nothing_usable_is_wrong():
    for result, told in ((None, "return statement is missing"), ("0.5 or so", "could not convert string")):
        verdict = find_exercise("02.1").verdict(lambda a, b, c, result=result: result)
        assert (verdict.status, told in verdict.reason, bool(verdict.hint)) == ("wrong", True, True)


def test_an_answer_cannot_change_what_the_next_check_sees():
    def greedy(rows):
        rows += 1
        return rows

    tensor, array = torch.zeros(2), np.zeros(2)
    for check in (value_check(greedy, [(tensor,), (array,)], "h"), shape_check((tensor,), (2,), "h")):
        assert check.problem(greedy) is None
    invariance_check((tensor,), (array,), "nothing changes", "h").problem(greedy)
    assert not tensor.any()
    assert not array.any()


def test_an_exercise_that_refuses_nothing_is_refused():
    check = Check("value", lambda answer: None, ("think",))
    wrong = (Wrong(1, ""), Wrong(2, ""))
    for arguments, match in (
        (("2.1", "?", 1, (check,), wrong), "exercise id"),
        (("99.1", "?", 1, (), wrong), "no checks"),
        (("99.1", "?", 1, (Check("value", lambda answer: None, ()),), wrong), "without a hint"),
        (("99.1", "?", 1, (check,), wrong[:1]), "refuses nothing"),
    ):
        with pytest.raises(ArgumentError, match=match):
            Exercise(*arguments)


def test_the_ready_made_checks_pass_what_is_right_and_say_what_is_wrong():
    x = torch.tensor([1.0, -2.0])
    square = torch.square
    assert value_check(square, [(x,)], "h").problem(square) is None
    assert value_check(square, [(x,)], "h").problem(torch.abs) == "for [1, -2] it gives 2 at index 1, expected 4."
    assert "nan" in value_check(square, [(x,)], "h").problem(lambda v: v * torch.nan)
    assert "shape (), expected (2,)" in value_check(square, [(x,)], "h").problem(torch.sum)
    assert shape_check((x,), (2,), "h").problem(square) is None
    assert "shape (), expected (2,)" in shape_check((x,), (2,), "h").problem(torch.sum)
    assert gradient_check((x,), "h").problem(square) is None
    assert "not finite" in gradient_check((x,), "h").problem(torch.sqrt)
    assert "no gradient" in gradient_check((x,), "h").problem(torch.detach)
    assert "but should be positive" in gradient_check(
        (x,), "h", wanted=lambda g: bool((g > 0).all()), description="positive"
    ).problem(square)
    assert invariance_check((x,), (-x,), "the sign flips", "h").problem(square) is None
    assert "when the sign flips, but changes by 4" in invariance_check((x,), (-x,), "the sign flips", "h").problem(
        torch.clone
    )
    number = number_check(2.0, 0.1, "h", known={3.0: "three"}, unit=" mV")
    assert number.problem(2.05) is None
    assert number.problem(3) == "3 mV is three."
    assert number.problem(1) == "1 mV is too low."


def test_a_share_in_place_of_a_percentage_is_told_to_be_one_and_other_wrong_values_are_not():
    check = percent_check(lambda x: 100 * x, [(0.25,), (0.5,)])
    assert check.problem(lambda x: x) == "for 0.5 it gives 0.5, which is the right share: return it as percent."
    for answer in (lambda x: 100 * x, lambda x: x / 2, lambda x: 0.25, lambda x: math.nan, lambda x: [x, x]):
        assert check.problem(answer) is None
    assert percent_check(lambda x: 0, [(0.25,)]).problem(lambda x: 0) is None


@pytest.mark.parametrize("number", ["05.1", "06.1", "06.2", "06.3"])
def test_a_right_share_is_told_about_its_unit_and_about_nothing_else(number):
    right = find_exercise(number).solution
    verdict = find_exercise(number).verdict(lambda *given: right(*given) / 100)
    assert (verdict.status, verdict.hint) == ("wrong", "percent run from 0 to 100: multiply by 100.")
    assert "as percent" in verdict.reason
