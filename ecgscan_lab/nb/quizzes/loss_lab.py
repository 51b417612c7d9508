"""Quiz of notebook 07: what a comparison of losses may claim."""

from __future__ import annotations

from ecgscan_lab.nb.quizzes.question import Option, Question

QUESTIONS = (
    Question(
        id="07.q1",
        text="Your loss beats the baseline by 0.8 points, with a 95 % interval from -0.3 to 1.9. What may you write?",
        options=(
            Option(
                "It is better, by 0.8 points on average.",
                "The same data go well with a loss that is a little worse. The interval says so: it covers zero.",
            ),
            Option(
                "The two losses are equally good.",
                "An interval that covers zero also covers 1.9. Not to have seen a difference is not to have seen "
                "equality.",
            ),
            Option(
                "It tends to be better, and more seeds would confirm it.",
                "More seeds make the line shorter. Where it ends up is what nobody knows yet.",
            ),
            Option(
                "There is no clear difference.",
                "Anything from a little worse to somewhat better fits. If it matters, plan more seeds beforehand, and "
                "run them all.",
            ),
        ),
        right="d",
    ),
    Question(
        id="07.q2",
        text="All losses start from the same weights and see the same batches, and differences are taken seed by "
        "seed. What for?",
        options=(
            Option(
                "A lucky start raises both, and cancels in the difference.",
                "Much of the spread between runs comes from the seed. What two runs of one seed share says nothing "
                "about the losses.",
            ),
            Option(
                "It makes every run reproducible to the last digit.",
                "Fixed seeds do that, one loss at a time. Pairing is about the comparison.",
            ),
            Option(
                "So that a single seed is enough to tell the losses apart, which saves most of the time.",
                "One pair gives one difference and no idea of its spread. It takes several to have an interval.",
            ),
        ),
        right="a",
    ),
    Question(
        id="07.q3",
        text="Two losses are alike in the linear probe. With one of them, a page's own signal is ranked last of all. "
        "How can that be?",
        options=(
            Option(
                "The probe was fitted on too few labels to see it.",
                "With all the labels in the world a linear classifier gives a feature the sign that it needs.",
            ),
            Option(
                "A probe does not mind a sign; retrieval does.",
                "Pages point away from their signals, which a volume cannot tell from pointing to them. Turned round, "
                "they hold as much, and a probe turns them.",
            ),
            Option(
                "Ranks jump about by chance when records are few.",
                "Chance puts a signal somewhere in the middle. Last place, again and again, is a system.",
            ),
            Option(
                "Retrieval is done with the test set, the probe is not.",
                "Both are judged on test records. They ask different questions of the same features.",
            ),
        ),
        right="b",
    ),
    Question(
        id="07.q4",
        text="You compare on twenty figures. On one of them the interval excludes zero. What follows?",
        options=(
            Option(
                "The losses differ in that figure, with 95 % confidence.",
                "That holds for a figure named beforehand. Of twenty, one is expected to stand out where nothing is.",
            ),
            Option(
                "Nothing: one figure out of twenty is a minority.",
                "It is no vote. A single figure can be the one that sees the fault, if it was named before.",
            ),
            Option(
                "It is a hint: name that figure, and test it on new seeds.",
                "With 95 % intervals, one in twenty excludes zero by luck. New seeds that were not used to find it can "
                "decide.",
            ),
        ),
        right="c",
    ),
)
