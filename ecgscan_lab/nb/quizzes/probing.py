"""Quiz of notebook 05: what a number about an encoder means."""

from __future__ import annotations

from ecgscan_lab.nb.quizzes.question import Option, Question

QUESTIONS = (
    Question(
        id="05.q1",
        text="A linear probe guesses at a finding. May the features hold all there is to know about it?",
        options=(
            Option(
                "No: if they held it, a probe with enough labels would find it.",
                "Labels place the flat cut better. They do not bend it.",
            ),
            Option(
                "No: logistic regression uses every feature there is.",
                "It adds them up with weights. It cannot multiply two of them with each other.",
            ),
            Option(
                "Yes: they may hold it where no flat cut separates it.",
                "Section 1 has such a case: two signs determine the label, and only their product shows it to a probe.",
            ),
        ),
        right="c",
    ),
    Question(
        id="05.q2",
        text="Records, not patients, were split at random. The probe reaches 97 % with an interval of ±1. What is that "
        "worth?",
        options=(
            Option(
                "A lot, since so narrow an interval leaves little room for luck.",
                "The interval measures luck in the draw. It knows nothing of a question that was the wrong one.",
            ),
            Option(
                "Little: the probe may have recognised people.",
                "Section 9 gets nearly 100 % from labels drawn by lot. With a patient on both sides, knowing who it is "
                "suffices.",
            ),
            Option(
                "A lot, if the interval resamples patients.",
                "That would widen the interval, and leave the score where it is. The leak is in the split.",
            ),
            Option(
                "Little: at 97 % an AUROC is saturated.",
                "A high AUROC is no fault by itself. What is wrong here comes before the number.",
            ),
        ),
        right="b",
    ),
    Question(
        id="05.q3",
        text="You tried 40 encoders, and report the one with the best test AUROC, with its 95 % interval. What is "
        "wrong?",
        options=(
            Option(
                "The interval ignores that the best of 40 was picked.",
                "It holds for an encoder that was chosen before anyone looked. A maximum of 40 is lucky by choice: "
                "choose on validation, and report test once.",
            ),
            Option(
                "Nothing, as long as each was fitted on training patients alone.",
                "The fit was clean, the choice was not: it has used the test set, and 40 tries of pure noise beat 50.",
            ),
            Option(
                "The interval should have been one of 99 %, to make up for many encoders.",
                "A wider interval around a lucky number is still around a lucky number.",
            ),
        ),
        right="a",
    ),
    Question(
        id="05.q4",
        text="Split by patient, chosen on validation, interval over patients: AUROC 92 [90, 94] in hospital A. What "
        "does it say about hospital B?",
        options=(
            Option(
                "It lies between 90 and 94 there, with 95 % confidence.",
                "The interval resamples patients of A. B's machines, pages and mix of illnesses are not in it.",
            ),
            Option(
                "It will be lower there by about the width of the interval.",
                "The loss can be of any size. In section 8 it has nothing to do with the interval.",
            ),
            Option(
                "The same as for A, if both use the same layout and paper.",
                "That helps. The probe may still have learned which pages were scanned, and in B other people are "
                "scanned.",
            ),
            Option(
                "Nothing, until it is tested with patients of B.",
                "What differs between two places is in neither the test set of A nor its interval. Only a test "
                "elsewhere shows it.",
            ),
        ),
        right="d",
    ),
)
