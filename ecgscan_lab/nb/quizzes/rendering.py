"""Quiz of notebook 01: paper, ink and ground truth."""

from __future__ import annotations

from ecgscan_lab.nb.quizzes.question import Option, Question

QUESTIONS = (
    Question(
        id="01.q1",
        text="A page was recorded at 50 mm/s. Someone reads it as if it were 25 mm/s. What do they believe?",
        options=(
            Option(
                "The heart beats half as fast as it does.",
                "At 50 mm/s beats lie twice as far apart. Read at 25 mm/s, 0.8 s become 1.6 s, and a normal rate "
                "becomes a slow one.",
            ),
            Option(
                "The heart beats twice as fast as it does.",
                "More paper for each second moves beats apart, not together.",
            ),
            Option(
                "The voltages are twice as high as they are.",
                "Speed stretches the page along time only. Height is set by the gain, in mm/mV.",
            ),
            Option(
                "Nothing is off, since the grid is stretched along with the trace.",
                "A small box is 1 mm whatever the speed. That is why the speed is printed on the page.",
            ),
        ),
        right="a",
    ),
    Question(
        id="01.q2",
        text="A pixel that the pen covers by a third becomes a third as dark. What would be lost if it were either "
        "black or white?",
        options=(
            Option(
                "Speed: a decision for each pixel takes longer than a share.",
                "A threshold costs next to nothing. The loss is in what the picture says.",
            ),
            Option(
                "Realism: scanners blur, and the picture would look too sharp.",
                "Blur is an effect of its own, added later where it belongs. A share of covered area is not blur: it "
                "is exact.",
            ),
            Option(
                "Heights between two pixels, and strokes thinner than one.",
                "The shade says how far the stroke reaches into the pixel. Without it, voltages come in steps of a "
                "pixel, and thin strokes break up in small pictures.",
            ),
        ),
        right="c",
    ),
    Question(
        id="01.q3",
        text="A page is curled and photographed. Where does the ground truth of its traces come from?",
        options=(
            Option(
                "A tracing algorithm follows the ink in the finished picture.",
                "Then the yardstick would have the faults of what it is to measure, most of all where pictures are "
                "bad.",
            ),
            Option(
                "Each sample's place goes through the same map as the ink.",
                "The map from millimetres to pixels is known, and so is what each fold does to it. So the truth is "
                "computed, and exact even where the ink cannot be seen.",
            ),
            Option(
                "It stays where the clean page had it; effects change only how the ink looks.",
                "Shadows and stains change looks only. Curl and perspective move the ink, and the truth must move with "
                "it.",
            ),
            Option(
                "People mark it by hand on a sample of the pages.",
                "Nobody marks every page of a training run, and two people differ by a pixel or more. Drawn pages need "
                "no marking.",
            ),
        ),
        right="b",
    ),
    Question(
        id="01.q4",
        text="Machines print measurements and a diagnosis on the page. Here they are invented, and never taken from "
        "the record. Why?",
        options=(
            Option(
                "To protect the patient, whose name would stand beside them.",
                "Privacy matters on real pages, but the names here are invented as well. A diagnosis without a name "
                "would still do harm, in another way.",
            ),
            Option(
                "Letters would hide part of the trace, and the network could not read it.",
                "Letters of real machines do that too, and a network should see it happen. What matters is what the "
                "letters say.",
            ),
            Option(
                "The records do not hold such measurements.",
                "They hold labels and reports, which could be printed with ease. That is the danger.",
            ),
            Option(
                "A network would learn to read the letters, not the trace.",
                "The printed diagnosis is the easiest way to the label. A network that takes it scores well, and fails "
                "on the first page without letters.",
            ),
        ),
        right="d",
    ),
)
