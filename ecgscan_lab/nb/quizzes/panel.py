"""Shows a quiz: its text first and always, and radio buttons beneath each question where a live front end listens."""

from __future__ import annotations

import sys
from html import escape
from typing import Any

from ecgscan_lab.nb.quizzes.question import Question, Verdict
from ecgscan_lab.nb.quizzes.registry import answer_quiz, questions_of
from ecgscan_lab.nb.widgets import live_front_end, need_ipywidgets

_COLOURS = {"right": "#009E73", "not right": "#D55E00"}
_HEADINGS = {"right": "Right.", "not right": "Not right."}


class QuizPanel:
    """The live half of one question: a radio button for each letter, and a line that says why.

    Args:
        question: what is asked; its text stands above the panel.

    Attributes:
        buttons: the ipywidgets radio buttons; setting `.value` to a letter answers, which is how it is tested without a
            browser.
        feedback: the HTML widget with the verdict of `answer_quiz`.
        box: both, to display.

    Raises:
        MissingExtraError: ipywidgets is not installed.
    """

    def __init__(self, question: Question) -> None:
        ipywidgets = need_ipywidgets()
        self._question_id = question.id
        self.buttons = ipywidgets.RadioButtons(
            options=list(question.letters),
            value=None,
            description=f"Answer {question.number}:",
            orientation="horizontal",
            layout={"width": "min(30em, 100%)"},
        )
        self.feedback = ipywidgets.HTML()
        self.buttons.observe(self._answer, names="value")
        self.box = ipywidgets.VBox([self.buttons, self.feedback])

    def _answer(self, change: Any) -> None:
        self.feedback.value = verdict_html(answer_quiz(self._question_id, change["new"]))


def quiz(notebook: str) -> None:
    """Show the questions of a notebook, as text, and in a live notebook radio buttons that answer at once.

    Args:
        notebook: its number, "02".

    Raises:
        ArgumentError: it has no quiz.

    >>> quiz("02")  # doctest: +ELLIPSIS
    1. The volume ...
    """
    live = live_front_end()
    for question in questions_of(notebook):
        _show_text(question)
        if live:
            from IPython.display import display

            display(QuizPanel(question).box)


def question_markdown(question: Question) -> str:
    """A question as Markdown, its options in the order of their letters."""
    options = [f"- **{letter}** {option.text}" for letter, option in _lettered(question)]
    return "\n".join([f"**{question.number}. {question.text}**", "", *options])


def question_text(question: Question) -> str:
    """A question as plain text."""
    options = [f"   {letter}) {option.text}" for letter, option in _lettered(question)]
    return "\n".join([f"{question.number}. {question.text}", *options, ""])


def verdict_html(verdict: Verdict) -> str:
    """A verdict as a message that is seen, and read out when it changes; empty while there is no answer."""
    if not verdict.letter:
        return ""
    heading = f"{verdict.letter}: {_HEADINGS[verdict.status]}"
    return (
        f'<div role="status" style="border-left:4px solid {_COLOURS[verdict.status]};padding:.2em .8em;'
        f'line-height:1.5;white-space:normal"><b>{heading}</b> {escape(verdict.why)}</div>'
    )


def _lettered(question: Question) -> list[tuple[str, Any]]:
    return list(zip(question.letters, question.options, strict=True))


def _show_text(question: Question) -> None:
    """As Markdown in a notebook, with plain text for a terminal; printed elsewhere."""
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        sys.stdout.write(question_text(question) + "\n")
        return
    from IPython.display import display

    display({"text/markdown": question_markdown(question), "text/plain": question_text(question)}, raw=True)
