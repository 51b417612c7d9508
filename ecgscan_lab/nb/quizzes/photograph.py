"""Quiz of notebook 08: a photograph in, and how much to believe of what comes out."""

from __future__ import annotations

from ecgscan_lab.nb.quizzes.question import Option, Question

QUESTIONS = (
    Question(
        id="08.q1",
        text="The score of a finding is the highest of all. Does this patient have it with a probability that one can "
        "name?",
        options=(
            Option(
                "Yes: the score, once it is scaled to lie between 0 and 1.",
                "Any number can be scaled to lie there. Of all pages that score 0.9, nine in ten would have to have "
                "it, and nobody has checked.",
            ),
            Option(
                "No: a cosine ranks pages, and is no probability.",
                "It becomes one by calibration on labelled pages of the same kind and from the same clinic. A "
                "photograph of another sort needs its own.",
            ),
            Option(
                "Yes: the AUROC of that finding on the test set.",
                "That is the chance that a page with it outranks one without, over a test set. It says nothing about a "
                "single page.",
            ),
        ),
        right="b",
    ),
    Question(
        id="08.q2",
        text="A decoder, as above and in 00_tour, draws ten seconds of twelve leads from a page in three rows of four "
        "leads. Which of them may you measure?",
        options=(
            Option(
                "All of them, where the reconstruction error is small on average.",
                "The average includes what could be read off the page. In the hidden parts the error is much larger.",
            ),
            Option(
                "None of them, since a photograph has no scale.",
                "The grid is a scale: its boxes are 1 and 5 mm, and speed and gain turn them into time and voltage.",
            ),
            Option(
                "The limb leads, as the laws give them from the strip.",
                "Two limb leads give the other four, and the strip holds just one.",
            ),
            Option(
                "What the page shows; the rest is a guess.",
                "Of each lead 2.5 seconds were printed, of the strip ten. The other samples look like this heart, "
                "and were never seen.",
            ),
        ),
        right="d",
    ),
    Question(
        id="08.q3",
        text="You ask for five findings, and the patient has a sixth. What comes out?",
        options=(
            Option(
                "Scores for the five, and one of them is the highest.",
                "Only what is asked can be found, and something always comes first. The first place is no finding by "
                "itself.",
            ),
            Option(
                "Low scores for all five, from which one sees that something is missing.",
                "An unknown finding may resemble one of the five. Cosines have no level that means none of these.",
            ),
            Option(
                "The sixth, if the encoder saw it in training.",
                "It may lie in the embedding. But no sentence about it was compared with the page.",
            ),
        ),
        right="a",
    ),
    Question(
        id="08.q4",
        text="The same page, photographed again from another angle, gets other scores. What do you report?",
        options=(
            Option(
                "The scores of the sharper photograph.",
                "Sharpness helps. To choose one of two afterwards still hides how far the answer depends on the "
                "camera.",
            ),
            Option(
                "The higher ones, so as not to miss anything.",
                "A maximum of several tries grows with the number of tries, on healthy patients, too.",
            ),
            Option(
                "Both, and how far they differ.",
                "The heart was the same, so the spread comes from the picture. It is a part of the uncertainty, and "
                "the reader should see it.",
            ),
            Option(
                "Neither, since a sound encoder gives one answer.",
                "No encoder is that indifferent to its input. Throwing the answer away is right where the spread "
                "swallows the finding.",
            ),
        ),
        right="c",
    ),
)
