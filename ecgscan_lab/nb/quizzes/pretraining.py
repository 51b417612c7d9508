"""Quiz of notebook 04: batches, losses and runs that go wrong."""

from __future__ import annotations

from ecgscan_lab.nb.quizzes.question import Option, Question

QUESTIONS = (
    Question(
        id="04.q1",
        text="A batch of 80 does not fit. You send four parts of 20 through, take the contrastive loss of each, and "
        "add up the gradients. What have you trained?",
        options=(
            Option(
                "The same as with 80, only slower.",
                "That holds for losses that are a mean over records, as the mean square error is. A contrastive loss "
                "also compares records with each other.",
            ),
            Option(
                "The same, but for a learning rate four times as high.",
                "Dividing by four mends the scale. It does not bring back the pairs that were never compared.",
            ),
            Option(
                "Another loss, with 19 negatives in place of 79.",
                "Each page had to tell its report from 19 others, an easier task. Cached features keep all 79.",
            ),
        ),
        right="c",
    ),
    Question(
        id="04.q2",
        text="After thousands of steps the contrastive loss stands at ln B, and the effective rank is close to 1. "
        "What is it?",
        options=(
            Option(
                "Collapse: all pages have become one vector.",
                "With one vector for every page there is nothing to choose by, and guessing costs ln B. The rank says "
                "that no direction is left.",
            ),
            Option(
                "The plateau that every healthy run starts with.",
                "A healthy run may stand at ln B as well, but its pages differ in many directions: its rank is high.",
            ),
            Option(
                "The floor that label smoothing puts under the loss.",
                "The floor is far below ln B, and a network reaches it by knowing, not by guessing.",
            ),
            Option(
                "A batch that is too small to contain hard negatives for the encoder to learn from.",
                "Then the loss would be low, since easy negatives are told apart with ease.",
            ),
        ),
        right="a",
    ),
    Question(
        id="04.q3",
        text="The validation loss lies below the training loss. Is something wrong?",
        options=(
            Option(
                "Yes: patients of the validation set must be in training, too.",
                "A leak would bring the two together. For a validation that is lower, there is a plainer reason.",
            ),
            Option(
                "Yes: the model has begun to learn its records by heart.",
                "Then training would be the lower one, and validation would rise.",
            ),
            Option(
                "Not by itself: the smaller validation set has less noise in it.",
                "Fewer records make a mean less certain, in either direction. They do not make it lower.",
            ),
            Option(
                "Not by itself: its pages are plain and nothing is masked.",
                "Training pages vary and parts of them are hidden, which makes them harder. Watch for a validation "
                "loss that turns up.",
            ),
        ),
        right="d",
    ),
    Question(
        id="04.q4",
        text="Several steps were skipped because the loss was not finite. One and the same record is in all of these "
        "batches. What do you do first?",
        options=(
            Option(
                "Lower the learning rate, and start again.",
                "A rate that is too high strikes whatever batch comes next. Here one record is always there.",
            ),
            Option(
                "Look at that record and its frozen features.",
                "Other records each time would speak for the rate; the same one speaks for the data. The run was right "
                "to go on without it.",
            ),
            Option(
                "Switch mixed precision off for the whole run.",
                "Rounding is a suspect when failures have nothing in common. One record in all of them is something in "
                "common.",
            ),
            Option(
                "Allow more bad steps, as the run goes on by itself.",
                "The limit is there so that somebody looks. A broken record is cheap to mend, and may not be the only "
                "one.",
            ),
        ),
        right="b",
    ),
)
