"""Finds the quiz of a notebook by its number, and judges answers to it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.nb.quizzes.question import Question, Verdict

# Notebook -> the module beside this one that holds its QUESTIONS.
MODULES = {
    "00": "tour",
    "01": "rendering",
    "02": "volume",
    "03": "leads",
    "04": "pretraining",
    "05": "probing",
    "06": "embeddings",
    "07": "loss_lab",
    "08": "photograph",
}


@dataclass(frozen=True, repr=False)
class QuizResult:
    """What `check_quiz` says, one line a question; true when all answers are right."""

    notebook: str
    verdicts: tuple[Verdict, ...]

    def __bool__(self) -> bool:
        return all(self.verdicts)

    def __str__(self) -> str:
        right = sum(map(bool, self.verdicts))
        open_ones = sum(verdict.status == "not answered yet" for verdict in self.verdicts)
        still = f", {open_ones} not answered yet" if open_ones else ""
        return "\n".join([*map(str, self.verdicts), f"{right} of {len(self.verdicts)} right{still}."])

    __repr__ = __str__


def check_quiz(notebook: str, *answers: Any) -> QuizResult:
    """Say of each answer whether it is right, and why.

    Args:
        notebook: its number, "02".
        *answers: a letter for each question, in order; "?" and answers left out count as not answered yet.

    Returns:
        A `QuizResult`, which shows itself when it ends a cell.

    Raises:
        ArgumentError: the notebook has no quiz, there are more answers than questions, or one is no letter of its
            question.

    >>> print(check_quiz("02", "?"))
    Question 02.q1: not answered yet.
    Question 02.q2: not answered yet.
    Question 02.q3: not answered yet.
    Question 02.q4: not answered yet.
    0 of 4 right, 4 not answered yet.
    """
    questions = questions_of(notebook)
    if len(answers) > len(questions):
        raise ArgumentError(f"{len(answers)} answers", field="answers", expected=f"at most {len(questions)}")
    given = [*answers, *[None] * (len(questions) - len(answers))]
    verdicts = (question.verdict(answer) for question, answer in zip(questions, given, strict=True))
    return QuizResult(notebook, tuple(verdicts))


def answer_quiz(question_id: str, answer: Any) -> Verdict:
    """Judge the answer to one question.

    Args:
        question_id: its number, "02.q1".
        answer: a letter; None and "?" count as not answered yet.

    Raises:
        ArgumentError: there is no such question, or it has no such answer.

    >>> answer_quiz("02.q1", "?").status
    'not answered yet'
    """
    known = {question.id: question for question in questions_of(question_id.partition(".")[0])}
    if question_id not in known:
        raise ArgumentError(f"no question {question_id!r}", field="question_id", expected=f"one of {', '.join(known)}")
    return known[question_id].verdict(answer)


def questions_of(notebook: str) -> tuple[Question, ...]:
    """The questions of a notebook ("02"), in order.

    Raises:
        ArgumentError: it has no quiz.
    """
    if notebook not in MODULES:
        raise ArgumentError(
            f"no quiz {notebook!r}", field="notebook", expected=f"one of {', '.join(quizzed_notebooks())}"
        )
    questions: tuple[Question, ...] = importlib.import_module(f"{__package__}.{MODULES[notebook]}").QUESTIONS
    return questions


def quizzed_notebooks() -> tuple[str, ...]:
    """Numbers of the notebooks that have a quiz, in order."""
    return tuple(sorted(MODULES))
