"""Quiz of notebook 00: the whole method once."""

from __future__ import annotations

from ecgscan_lab.nb.quizzes.question import Option, Question

QUESTIONS = (
    Question(
        id="00.q1",
        text="Patients are split into training and test, not records. Why?",
        options=(
            Option(
                "There are fewer patients than records, so that the split takes less time.",
                "Either split takes a moment. What differs is the question that the test answers.",
            ),
            Option(
                "Otherwise the test could be passed by recognising people.",
                "Recordings of one heart resemble each other. With one on each side, a network that remembers whom it "
                "has seen looks as if it could diagnose.",
            ),
            Option(
                "Otherwise rare diagnoses might be missing from the test set.",
                "It is the other way round: all records of a patient go to one side, so that a rare diagnosis is "
                "missed more easily. That is a price of the split, not its reason.",
            ),
            Option(
                "All recordings of a patient carry the same labels.",
                "They often do not: a rhythm changes, an infarct heals. What stays the same is the person, and that is "
                "enough for a leak.",
            ),
        ),
        right="b",
    ),
    Question(
        id="00.q2",
        text="The page shows 2.5 seconds of lead V2. Where do the other 7.5 seconds that the decoder draws come from?",
        options=(
            Option(
                "From the rhythm strip, which runs for all ten seconds.",
                "The strip shows lead II. It tells when beats come, not what they look like in V2.",
            ),
            Option(
                "From Einthoven's and Goldberger's laws, which give each lead from the others.",
                "Those laws tie the six limb leads to each other, at one and the same instant. V2 is a chest lead, and "
                "no law gives it.",
            ),
            Option(
                "They are a guess: beats like those of V2 that are seen.",
                "The strip gives the timing, the visible beats the shape; the rest is a guess. So the errors of "
                "visible and of hidden samples are reported apart.",
            ),
        ),
        right="c",
    ),
    Question(
        id="00.q3",
        text="A tower with random weights reaches an AUROC far above 50 in the linear probe. What follows?",
        options=(
            Option(
                "A trained tower has to be compared with it, not with 50.",
                "Even random filters pass on where the ink is, and a probe can use that. What training was worth is "
                "the gap above this tower.",
            ),
            Option(
                "The probe must have seen test patients.",
                "It was fitted on training patients only. Random filters still pass on where the ink is, and that "
                "alone beats guessing.",
            ),
            Option(
                "Its weights cannot really be random.",
                "They are. A page is drawn the same way each time, so that even a random summary of it holds something "
                "about the heart.",
            ),
            Option(
                "Pretraining is not worth its cost, since random weights do the job as well.",
                "That depends on the gap between the two, and on its interval. A good rival is no proof against the "
                "other.",
            ),
        ),
        right="a",
    ),
    Question(
        id="00.q4",
        text="Zero-shot classification uses no labels. What takes their place?",
        options=(
            Option(
                "The signal teacher, which was trained with diagnoses before.",
                "It saw signals and reports, and no column of labels; and when pages are classified, it is not asked "
                "at all.",
            ),
            Option(
                "A few labelled pages, on which a small classifier is fitted.",
                "That is the linear probe with few labels. Zero-shot fits nothing.",
            ),
            Option(
                "Groups that form among the pages by themselves.",
                "Groups have no names. Something must say which of them is called an infarct.",
            ),
            Option(
                "Sentences that share a space with the pages.",
                "Pages were trained to lie near the reports that describe them. So a sentence about a finding lies "
                "near pages that show it, and its cosine ranks them.",
            ),
        ),
        right="d",
    ),
)
