"""Quiz of notebook 03: what laws of the limb leads can prove and mend."""

from __future__ import annotations

from ecgscan_lab.nb.quizzes.question import Option, Question

QUESTIONS = (
    Question(
        id="03.q1",
        text="A decoder's leads are projected, and now obey every limb-lead law. Are they right?",
        options=(
            Option(
                "Yes: with the laws fulfilled, each lead is determined by the others.",
                "The laws leave two numbers free at each instant. A wrong heart that obeys them is still a wrong "
                "heart.",
            ),
            Option(
                "Not necessarily: the nearest lawful point need not be the true one.",
                "The projection takes away what contradicts the laws, and shares out the rest of the error among leads "
                "that were right before.",
            ),
            Option(
                "Yes, if the projection uses all six leads and not just I, II and III.",
                "Six leads take back more of an error in one of them, as section 3 shows. What obeys the laws by "
                "itself stays in both.",
            ),
        ),
        right="b",
    ),
    Question(
        id="03.q2",
        text="The rule loss (Eq. 7) stands beside the mean square error, and the law heals no faster. Why?",
        options=(
            Option(
                "It compares after projecting, when the violation is gone.",
                "What a projection removes, a loss behind it cannot see. Along the violation its gradient is zero, "
                "exactly.",
            ),
            Option(
                "Its weight of 0.1 is too small beside the other losses.",
                "Zero times ten is zero as well. No weight gives it a gradient along the violation.",
            ),
            Option(
                "The recordings break the laws themselves, so that there is nothing to learn from them.",
                "They break them by one part in a hundred or less, far below what a decoder does.",
            ),
            Option(
                "Goldberger's equations need a longer training to take effect.",
                "They give aVR, aVL and aVF from I and II. No number of steps makes a loss see what it has projected "
                "away.",
            ),
        ),
        right="a",
    ),
    Question(
        id="03.q3",
        text="The cables of both arms were exchanged while the patient was recorded. Do the limb-lead laws show it?",
        options=(
            Option(
                "Yes: lead I is upside down, and an inverted lead breaks Einthoven's law.",
                "If lead I alone were inverted, it would. Exchanged cables change all six leads together, and the sum "
                "still holds.",
            ),
            Option(
                "Yes: II and III have changed places, and the doctor finds such orders.",
                "It finds leads that were mixed up in a file. Here each is what its name says, measured from the wrong "
                "places.",
            ),
            Option(
                "No, and nothing else in the recording can, either.",
                "The laws do not, but there is a hint: lead I should resemble V6, and now is its mirror image.",
            ),
            Option(
                "No: they hold for any three electrodes, wherever they are.",
                "Laws of potential differences do not ask where an electrode sits. Only a hint remains: lead I should "
                "resemble V6.",
            ),
        ),
        right="d",
    ),
    Question(
        id="03.q4",
        text="You standardise each lead to mean 0 and variance 1 before training. What becomes of the laws?",
        options=(
            Option(
                "They hold as before: a linear change keeps linear laws.",
                "One change for all leads would keep them. Here each lead is divided by a number of its own.",
            ),
            Option(
                "They hold on average, with more noise than before.",
                "It is no noise. The coefficients of the laws are different ones in each record, and nobody keeps "
                "them.",
            ),
            Option(
                "They are lost: I + III = II needs common units.",
                "Divided by three different numbers, the leads no longer add up. Keep millivolts, or one scale for all "
                "leads, if laws are to be used or checked.",
            ),
        ),
        right="c",
    ),
)
