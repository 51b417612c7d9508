"""Quiz of notebook 02: what a volume says, and what it does not."""

from __future__ import annotations

from ecgscan_lab.nb.quizzes.question import Option, Question

QUESTIONS = (
    Question(
        id="02.q1",
        text="The volume of image, report and signal is zero. What do you know for certain?",
        options=(
            Option(
                "All three point the same way.",
                "That is one of many ways to be flat. Two of them may point the same way, and the third anywhere.",
            ),
            Option(
                "The image lies between report and signal.",
                "Anywhere in their plane will do: far to the side, or the opposite of both.",
            ),
            Option(
                "The three lie in one plane.",
                "That, and no more. The volume does not say where in the plane, nor whether it was the image that "
                "moved.",
            ),
            Option(
                "The image has found its own report and signal among all others.",
                "If report and signal are parallel, their volume is zero with every image of the batch, not just with "
                "their own.",
            ),
        ),
        right="c",
    ),
    Question(
        id="02.q2",
        text="Training makes every report coincide with its signal. Images differ from each other. Where does the "
        "volume loss (Eq. 4) stand?",
        options=(
            Option(
                "At ln B, where guessing stands.",
                "With report and signal parallel, every volume is zero, whichever image is taken. Nothing is left to "
                "tell one image from another by.",
            ),
            Option(
                "At zero, since each triple has no volume left.",
                "The loss does not ask for small volumes, but for the smallest on the diagonal. Here all are equally "
                "small.",
            ),
            Option(
                "At the floor that label smoothing sets, the best that can be reached.",
                "For the floor the diagonal must stand apart from the rest. Here nothing stands apart.",
            ),
        ),
        right="a",
    ),
    Question(
        id="02.q3",
        text="Half of the images end up pointing away from their pair, and the volume loss is low. What mends it?",
        options=(
            Option(
                "Distance from the plane, in place of volume.",
                "An image and its opposite are equally far from the plane. This cures hubs and parallel pairs, not the "
                "sign.",
            ),
            Option(
                "A higher temperature, so that errors cost more.",
                "A scale makes differences count for more. Between a vector and its opposite there is none.",
            ),
            Option(
                "A clamp at zero under the root, and 1e-8 added.",
                "That keeps the gradient finite and turns it the right way round near collapse. It does not see the "
                "sign of an image.",
            ),
            Option(
                "A cosine beside it, or a signed kind.",
                "A cosine changes its sign when the image turns round. The contrastive loss (Eq. 1) holds one, and the "
                "signed kinds add one under the root.",
            ),
        ),
        right="d",
    ),
    Question(
        id="02.q4",
        text="With a batch of 80 and label smoothing of 0.1, the Gram loss has stood at 0.76 for a while. What do you "
        "do?",
        options=(
            Option(
                "Raise the learning rate: it is stuck far from zero.",
                "Zero cannot be reached with smoothing. The lowest value for 80 is 0.754, and the run is there.",
            ),
            Option(
                "Nothing about this loss: it is at its floor.",
                "The floor is 0.754 for 80, so hardly anything is left to gain. Judge the run by its distance from the "
                "floor, and by what retrieval and probes say.",
            ),
            Option(
                "Take a larger batch, which lets the loss fall further.",
                "A larger batch has a higher floor: the share that smoothing moves is spread over more candidates.",
            ),
        ),
        right="b",
    ),
)
