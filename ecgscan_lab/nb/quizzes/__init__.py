"""Self-check quizzes of the notebooks: `quiz("02")` asks, `check_quiz("02", "b", "a", "c")` answers and says why.

One module a notebook holds `QUESTIONS`, a tuple of `Question`; `registry.MODULES` says which. `answer_quiz` judges one
letter; the radio buttons of a live notebook call it, and nothing else.
"""

from __future__ import annotations

from ecgscan_lab.nb.quizzes.panel import QuizPanel, quiz
from ecgscan_lab.nb.quizzes.question import Option, Question, Verdict
from ecgscan_lab.nb.quizzes.registry import QuizResult, answer_quiz, check_quiz, questions_of, quizzed_notebooks

__all__ = [
    "Option",
    "Question",
    "QuizPanel",
    "QuizResult",
    "Verdict",
    "answer_quiz",
    "check_quiz",
    "questions_of",
    "quiz",
    "quizzed_notebooks",
]
