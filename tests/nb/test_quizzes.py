from __future__ import annotations

import inspect
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from ecgscan_lab.errors import ArgumentError
from ecgscan_lab.nb import quizzes
from ecgscan_lab.nb.quizzes import (
    Option,
    Question,
    QuizPanel,
    answer_quiz,
    check_quiz,
    panel,
    questions_of,
    quiz,
    quizzed_notebooks,
    registry,
)
from ecgscan_lab.nb.quizzes.panel import question_markdown, question_text, verdict_html

NOTEBOOKS = quizzed_notebooks()
ALL = [question for notebook in NOTEBOOKS for question in questions_of(notebook)]


def named(question):
    return question.id


def right_letters(notebook):
    return [question.right for question in questions_of(notebook)]


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_a_quiz_has_three_to_five_questions_numbered_in_order(notebook):
    ids = [question.id for question in questions_of(notebook)]
    assert 3 <= len(ids) <= 5
    assert ids == [f"{notebook}.q{number}" for number in range(1, len(ids) + 1)]


@pytest.mark.parametrize("question", ALL, ids=named)
def test_exactly_one_choice_is_right(question):
    verdicts = [answer_quiz(question.id, letter) for letter in question.letters]
    assert [verdict.letter for verdict in verdicts if verdict] == [question.right]
    assert Counter(verdict.status for verdict in verdicts) == {"right": 1, "not right": len(question.options) - 1}


@pytest.mark.parametrize("question", ALL, ids=named)
def test_every_choice_has_a_reason_of_its_own_in_whole_sentences(question):
    reasons = [option.why for option in question.options]
    assert len(set(reasons)) == len(reasons)
    for text in (*reasons, *(option.text for option in question.options)):
        assert text[0].isupper()
        assert text.endswith(".")
        assert "  " not in text
    assert all(len(reason.split()) >= 6 for reason in reasons)


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_no_choice_gives_itself_away_by_its_length(notebook):
    longest = [
        max(question.letters, key=lambda letter, q=question: len(q.options[q.letters.index(letter)].text))
        for question in questions_of(notebook)
    ]
    told = [letter == right for letter, right in zip(longest, right_letters(notebook), strict=True)]
    assert sum(told) <= len(told) / 2


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_right_letters_differ_within_a_quiz(notebook):
    assert len(set(right_letters(notebook))) >= 3 or len(right_letters(notebook)) == 3


def test_no_letter_is_right_much_more_often_than_the_others():
    counts = Counter(question.right for question in ALL)
    assert set(counts) == set("abcd")
    assert max(counts.values()) <= 0.4 * len(ALL)


def test_every_module_of_questions_is_registered():
    there = {path.stem for path in Path(inspect.getfile(quizzes)).parent.glob("*.py")}
    assert there - {"__init__", "question", "registry", "panel"} == set(registry.MODULES.values())


@pytest.mark.parametrize("untouched", ["?", "", " ", None, ...])
def test_untouched_answers_are_not_answered_yet_and_nothing_fails(untouched):
    for notebook in NOTEBOOKS:
        result = check_quiz(notebook, *[untouched] * len(questions_of(notebook)))
        assert {verdict.status for verdict in result.verdicts} == {"not answered yet"}
        assert not result
        assert str(result) == str(check_quiz(notebook))


def test_right_answers_pass_and_every_answer_says_why():
    answers = right_letters("02")
    result = check_quiz("02", *answers)
    assert result
    assert str(result).endswith(f"{len(answers)} of {len(answers)} right.")
    for question, line in zip(questions_of("02"), str(result).splitlines(), strict=False):
        assert line.endswith(question.options[question.letters.index(question.right)].why)


def test_one_wrong_and_one_missing_answer_are_told_apart():
    first, second, *rest = questions_of("02")
    wrong = next(letter for letter in first.letters if letter != first.right)
    result = check_quiz("02", wrong, second.right.upper() + " ")
    assert [verdict.status for verdict in result.verdicts[:3]] == ["not right", "right", "not answered yet"]
    assert str(result).splitlines()[-1] == f"1 of {2 + len(rest)} right, {len(rest)} not answered yet."
    assert repr(result) == str(result)
    assert first.options[first.letters.index(wrong)].why in repr(result.verdicts[0])


@pytest.mark.parametrize("answer", ["e", "ab", 1, 0.5, ["a"]])
def test_an_answer_that_is_no_letter_is_refused_and_named(answer):
    with pytest.raises(ArgumentError, match=r"question 02\.q2 has no answer") as caught:
        check_quiz("02", "a", answer)
    assert caught.value.field == "answer 2"


def test_unknown_quizzes_questions_and_surplus_answers_are_refused():
    with pytest.raises(ArgumentError, match="no quiz '99'"):
        quiz("99")
    with pytest.raises(ArgumentError, match=r"no question '02\.q9'"):
        answer_quiz("02.q9", "a")
    with pytest.raises(ArgumentError, match="5 answers"):
        check_quiz("02", *"abcde")


@pytest.mark.parametrize("question", ALL, ids=named)
def test_a_radio_button_says_what_the_pure_function_says(question):
    shown = QuizPanel(question)
    assert shown.buttons.value is None
    assert shown.feedback.value == ""
    for letter in question.letters:
        shown.buttons.value = letter
        assert shown.feedback.value == verdict_html(answer_quiz(question.id, letter))
    shown.buttons.value = None
    assert shown.feedback.value == ""


def test_what_a_verdict_says_is_text_and_not_markup():
    options = tuple(Option(f"Option {n}.", f"if a < b & c > {n}") for n in range(3))
    html = verdict_html(Question("99.q1", "Which?", options, "a").verdict("a"))
    assert "if a &lt; b &amp; c &gt; 0" in html
    assert 'role="status"' in html


@pytest.mark.parametrize("question", ALL, ids=named)
def test_text_and_markdown_hold_the_question_and_all_options_but_no_reason(question):
    for shown in (question_text(question), question_markdown(question)):
        assert question.text in shown
        places = [shown.index(option.text) for option in question.options]
        assert places == sorted(places)
        assert not any(option.why in shown for option in question.options)


def test_without_ipython_the_questions_are_printed(monkeypatch, capsys):
    monkeypatch.setattr(panel.sys, "modules", {})
    quiz("02")
    assert capsys.readouterr().out == "".join(question_text(question) + "\n" for question in questions_of("02"))


@pytest.mark.parametrize("live", [False, True])
def test_text_comes_first_and_buttons_only_with_a_live_front_end(live, monkeypatch):
    sent = []
    monkeypatch.setattr(panel, "live_front_end", lambda: live)
    monkeypatch.setattr("IPython.get_ipython", lambda: SimpleNamespace())
    monkeypatch.setattr("IPython.display.display", lambda shown, **options: sent.append(shown))
    quiz("02")
    texts = [shown for shown in sent if isinstance(shown, dict)]
    assert [shown["text/plain"] for shown in texts] == [question_text(question) for question in questions_of("02")]
    assert isinstance(sent[0], dict)
    buttons = [shown.children[0].description for shown in sent if not isinstance(shown, dict)]
    assert buttons == ([f"Answer {number}:" for number in range(1, len(texts) + 1)] if live else [])


GOOD = tuple(Option(f"Option {n}.", f"Reason {n}.") for n in range(4))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"id": "2.1"}, "question id"),
        ({"options": GOOD[:2]}, "2 options"),
        ({"options": (*GOOD, Option("Five.", "Five."))}, "5 options"),
        ({"options": (*GOOD[:3], GOOD[0])}, "the same twice"),
        ({"options": (*GOOD[:3], Option("Four.", " "))}, "without text or reason"),
        ({"options": GOOD[:3], "right": "d"}, "right answer is 'd'"),
    ],
)
def test_a_question_that_is_not_one_is_refused(changes, match):
    with pytest.raises(ArgumentError, match=match):
        Question(**({"id": "99.q1", "text": "Which?", "options": GOOD, "right": "a"} | changes))
