"""Quiz of notebook 06: maps of embeddings, and what can be read off them."""

from __future__ import annotations

from ecgscan_lab.nb.quizzes.question import Option, Question

QUESTIONS = (
    Question(
        id="06.q1",
        text="On a UMAP map two groups of pages lie far apart. How far apart are they in the space of embeddings?",
        options=(
            Option(
                "Far apart: UMAP keeps distances as well as it can.",
                "It tries to keep neighbours. How far it pushes groups apart is a matter of its settings and its "
                "start.",
            ),
            Option(
                "Nearly at right angles, since a group's direction is its diagnosis.",
                "A map has no directions that mean something. Angles must be measured in the space itself.",
            ),
            Option(
                "The map does not say.",
                "Who is a neighbour of whom survives on the map, more or less; distances between groups do not. "
                "Measure them in the space.",
            ),
            Option(
                "Exactly as far as on the map of another machine.",
                "UMAP maps differ by machine and seed, which is one more reason to compare numbers and not pictures.",
            ),
        ),
        right="c",
    ),
    Question(
        id="06.q2",
        text="A map has a trustworthiness of 0.95. What does that tell you?",
        options=(
            Option(
                "Most neighbours on the map are near in the space, too.",
                "It lowers the score of a point that the map brings close from afar. It says nothing about distances "
                "between groups.",
            ),
            Option(
                "The encoder is right about 95 % of the pages.",
                "No label enters it. A perfect map of a useless encoder is trustworthy as well.",
            ),
            Option(
                "The map shows 95 % of the variance of the embeddings.",
                "Explained variance is a figure of PCA. Trustworthiness counts neighbours and does not look at "
                "variance.",
            ),
        ),
        right="a",
    ),
    Question(
        id="06.q3",
        text="Pages and reports form two clouds that do not touch. Must zero-shot classification fail?",
        options=(
            Option(
                "Yes: no page has a report among its nearest neighbours.",
                "Zero-shot does not ask for the nearest point of any kind. It compares a page's cosines to sentences "
                "with each other.",
            ),
            Option(
                "No: a shift common to all pages leaves their ranks alone.",
                "A sentence ranks pages by cosine. What all pages share moves all of them alike; what counts is how "
                "they differ.",
            ),
            Option(
                "Yes: a gap means that the contrastive loss has not converged.",
                "Well-trained models have such a gap as well. Closing it need not make retrieval better: notebook 07 "
                "tries.",
            ),
            Option(
                "No: the clouds would overlap on a map with better settings.",
                "The gap is in the space, not just on the map: it can be measured as a distance of centres.",
            ),
        ),
        right="b",
    ),
    Question(
        id="06.q4",
        text="A saliency map lights up the beats of V2. What has been shown?",
        options=(
            Option(
                "The finding is visible in V2.",
                "The map shows what moved the output, whether that was medicine, a stain or a habit of the data.",
            ),
            Option(
                "A cardiologist would look at V2 as well.",
                "That would have to be asked of a cardiologist. Agreement with one is a result, not a property of the "
                "map.",
            ),
            Option(
                "The other leads do not matter to this network.",
                "They mattered less for this page. Leads that say the same can stand in for each other, and share the "
                "light.",
            ),
            Option(
                "The output reacts to the ink there.",
                "That, and no more. Cover V2, or draw it flat, and see whether the score falls as the map predicts.",
            ),
        ),
        right="d",
    ),
)
