"""What an exercise is: a question, a solution, checks that say why an answer is wrong, and answers they must refuse."""

from __future__ import annotations

import inspect
import linecache
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from ecgscan_lab.errors import ArgumentError

Status = Literal["not attempted", "right", "wrong", "crashed"]


@dataclass(frozen=True)
class Check:
    """One thing that a right answer does.

    Attributes:
        about: "shape", "value", "gradient", "invariance" or another word for what is looked at.
        problem: answer -> None when it passes, else a sentence that says what is wrong with it. What the answer itself
            raises may pass through.
        hints: shown when it does not pass, one an attempt, from a nudge to nearly everything.
        crash: shown when the answer raises here, where the check is there to see whether it does.
    """

    about: str
    problem: Callable[[Any], str | None]
    hints: tuple[str, ...]
    crash: str = ""


@dataclass(frozen=True)
class Wrong:
    """A plausible wrong answer, and words that the reason for refusing it must contain."""

    answer: Any
    reason: str


@dataclass(frozen=True, repr=False)
class Verdict:
    """What `check_exercise` says; true when the answer is right.

    Attributes:
        exercise_id: number of the exercise.
        status: "not attempted", "right", "wrong", or "crashed" when the answer raised.
        reason: what is wrong, where it crashed and why, or what there is to do.
        hint: how to go on, when it is wrong or crashed; may be empty after a crash.
    """

    exercise_id: str
    status: Status
    reason: str = ""
    hint: str = ""

    def __bool__(self) -> bool:
        return self.status == "right"

    def __str__(self) -> str:
        lines = [f"Exercise {self.exercise_id}: {self.status}. {self.reason}".rstrip()]
        return "\n".join([*lines, f"Hint: {self.hint}"] if self.hint else lines)

    __repr__ = __str__


@dataclass(frozen=True)
class Exercise:
    """A question with its checks.

    Attributes:
        id: "NN.k", notebook and number, as in "02.1".
        question: what to do, one sentence; the notebook says more.
        solution: a right answer: a function, or a value.
        checks: in the order in which they are made; the first that fails speaks.
        wrong: at least two plausible wrong answers, kept for the tests.

    Raises:
        ArgumentError: the id is no such number, there are no checks, one has no hint, or wrong answers are too few.

    >>> double = Check("value", lambda f: None if f(3) == 6 else f"f(3) is {f(3)}, not 6.", ("Twice.",))
    >>> wrong = (Wrong(lambda x: x, "not 6"), Wrong(lambda x: x * x, "not 6"))
    >>> exercise = Exercise("99.1", "Double a number.", lambda x: 2 * x, (double,), wrong)
    >>> exercise.verdict(lambda x: x + 1)
    Exercise 99.1: wrong. f(3) is 4, not 6.
    Hint: Twice.
    >>> exercise.verdict(exercise.stub)
    Exercise 99.1: not attempted. Double a number.
    >>> exercise.verdict(lambda x, y: x + y)
    Exercise 99.1: crashed. TypeError: <lambda>() missing 1 required positional argument: 'y'
    """

    id: str
    question: str
    solution: Any
    checks: tuple[Check, ...]
    wrong: tuple[Wrong, ...] = field(repr=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d\d\.[1-9]\d?", self.id):
            raise ArgumentError(f"exercise id {self.id!r}", field="id", expected="notebook.number, as in '02.1'")
        if not self.checks or not all(check.hints for check in self.checks):
            raise ArgumentError(f"exercise {self.id} has no checks, or one without a hint", field="checks")
        if len(self.wrong) < 2:
            raise ArgumentError(f"exercise {self.id} refuses nothing", field="wrong", expected="two wrong answers")

    @property
    def stub(self) -> Any:
        """What stands in the notebook before anyone has tried: a function that fails loudly, or `...` for a value."""
        if not callable(self.solution):
            return ...

        def unwritten(*arguments: Any, **options: Any) -> Any:
            raise NotImplementedError(f"exercise {self.id}: {self.question}")

        return unwritten

    def verdict(self, answer: Any, attempt: int = 1) -> Verdict:
        """Judge an answer.

        Args:
            answer: a function or a value, as the solution is one; `...`, None, and a function that raises
                NotImplementedError count as not attempted.
            attempt: how often a wrong answer has been given, this one included: later ones get a stronger hint.
        """
        if answer is ... or answer is None or answer is NotImplemented:
            return Verdict(self.id, "not attempted", self.question)
        if callable(self.solution) and not callable(answer):
            reason = f"the answer is a {type(answer).__name__}, not a function."
            return Verdict(self.id, "wrong", reason, "pass the function itself, without calling it.")
        for check in self.checks:
            try:
                problem = check.problem(answer)
            except NotImplementedError:
                return Verdict(self.id, "not attempted", self.question)
            except Exception as error:
                crash = told_crash(answer, error)
                if crash is not None:  # nothing to judge yet, so no hint is used up
                    return Verdict(self.id, "crashed", crash, check.crash)
                problem = f"what it returns raised {type(error).__name__}: {error}"
            if problem is not None:
                return Verdict(self.id, "wrong", problem, check.hints[min(attempt, len(check.hints)) - 1])
        return Verdict(self.id, "right", "")


def told_crash(answer: Any, error: Exception) -> str | None:
    """What an answer raised and its line that was at it; None when it had returned, and its result caused the error.

    Args:
        answer: the function that was called.
        error: what came out of the call, or of looking at what it returned.
    """
    if not callable(answer):
        return None
    told = f"{type(error).__name__}: {error}".removesuffix(": ")
    code = getattr(inspect.unwrap(answer), "__code__", None)
    if code is None:  # not written in Python, or wrapped: which line it was cannot be told
        return told
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    start = next((k for k, (ran, _) in enumerate(frames) if ran is code), None)
    if start is None:
        return told if isinstance(error, TypeError) and str(error).startswith(f"{code.co_qualname}()") else None
    ran, line = [(ran, line) for ran, line in frames[start:] if ran.co_filename == code.co_filename][-1]
    text = linecache.getline(ran.co_filename, line).strip()
    return f"{told}\nWhere: line {line} of its cell or file, in {ran.co_name}{': ' + text if text else ''}"
