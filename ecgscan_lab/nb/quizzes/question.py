"""What a quiz is made of: a question, options of which one is right, and for each a sentence that says why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from ecgscan_lab.errors import ArgumentError

Status = Literal["not answered yet", "right", "not right"]

LETTERS = "abcd"
UNANSWERED = "?"


@dataclass(frozen=True)
class Option:
    """One answer to choose, and what a teacher says to whoever chose it."""

    text: str
    why: str


@dataclass(frozen=True, repr=False)
class Verdict:
    """What is said to one answer; true when it is right.

    Attributes:
        question_id: number of the question, "02.q1".
        letter: the answer, "" while there is none.
        status: "not answered yet", "right" or "not right".
        why: the reason, of right answers as of wrong ones.
    """

    question_id: str
    letter: str
    status: Status
    why: str = ""

    def __bool__(self) -> bool:
        return self.status == "right"

    def __str__(self) -> str:
        answer = f"{self.letter} is {self.status}" if self.letter else self.status
        return f"Question {self.question_id}: {answer}. {self.why}".rstrip()

    __repr__ = __str__


@dataclass(frozen=True)
class Question:
    """A question with three or four options.

    Attributes:
        id: "NN.qk", notebook and number, as in "02.q1".
        text: what is asked, one or two sentences.
        options: what can be answered, lettered from a.
        right: the letter of the one that is right.

    Raises:
        ArgumentError: the id is no such number, there are not three or four options, two are alike, one is without a
            reason, or `right` is none of their letters.

    >>> options = Option("25 mm", "The usual speed."), Option("10 mm", "That is 1 mV."), Option("5 mm", "That is 0.2 s")
    >>> question = Question("99.q1", "How long is a second on paper?", options, right="a")
    >>> question.verdict("b")
    Question 99.q1: b is not right. That is 1 mV.
    >>> question.verdict("?")
    Question 99.q1: not answered yet.
    """

    id: str
    text: str
    options: tuple[Option, ...]
    right: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\d\d\.q[1-9]", self.id):
            raise ArgumentError(f"question id {self.id!r}", field="id", expected="notebook.qnumber, as in '02.q1'")
        if not 3 <= len(self.options) <= len(LETTERS):
            raise ArgumentError(f"{len(self.options)} options", field="options", expected="three or four")
        if len({option.text for option in self.options}) < len(self.options):
            raise ArgumentError(f"question {self.id} offers the same twice", field="options")
        if not all(option.text.strip() and option.why.strip() for option in self.options):
            raise ArgumentError(f"question {self.id} has an option without text or reason", field="options")
        if self.right not in self.letters:
            raise ArgumentError(
                f"the right answer is {self.right!r}", field="right", expected=f"one of {', '.join(self.letters)}"
            )

    @property
    def letters(self) -> tuple[str, ...]:
        """The letters of the options."""
        return tuple(LETTERS[: len(self.options)])

    @property
    def number(self) -> str:
        """Its place in the quiz, "1"."""
        return self.id.partition(".q")[2]

    def verdict(self, answer: Any) -> Verdict:
        """Judge a letter; None, `...`, "" and "?" count as not answered yet.

        Raises:
            ArgumentError: the answer is none of the letters.
        """
        if answer is None or answer is ...:
            return Verdict(self.id, "", "not answered yet")
        letter = answer.strip().lower() if isinstance(answer, str) else answer
        if letter in ("", UNANSWERED):
            return Verdict(self.id, "", "not answered yet")
        if letter not in self.letters:
            raise ArgumentError(
                f"question {self.id} has no answer {answer!r}",
                field=f"answer {self.number}",
                expected=f'one of {", ".join(self.letters)}, or "{UNANSWERED}" for not yet',
            )
        option = self.options[self.letters.index(letter)]
        return Verdict(self.id, letter, "right" if letter == self.right else "not right", option.why)
