"""What each part of the objective is worth on PTB-XL, end to end, three seeds: a table in about an hour.

    python benchmarks/ablation.py FOLDER --out ablation.jsonl    # one line a run; a run that is there is not done again
    python benchmarks/ablation.py --table ablation.jsonl         # means, and differences from the row above

Every row trains the tower, pages and schedule of `ptbxl_laptop` on smaller, clean pages, from the same first weights on
the same batches; it is judged on fold 9 by linear probes with all labels and with 1 %, and by prompts. A row adds one
thing to the row above it. Differences are paired over seeds and resampled patients (`evaluate.paired.seed_interval`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ecgscan_lab.data.prompts import builtin_prompts
from ecgscan_lab.evaluate import linear_probe
from ecgscan_lab.evaluate.features import embed_pages
from ecgscan_lab.evaluate.intervals import bootstrap_macro_auroc
from ecgscan_lab.evaluate.judgement import labelled
from ecgscan_lab.evaluate.paired import seed_interval
from ecgscan_lab.evaluate.prompt_judgement import judge_prompts
from ecgscan_lab.losses.objective import Weights
from ecgscan_lab.replicate.ptbxl import load_split
from ecgscan_lab.train.frozen_features import make_text_tower, prepare_frozen
from ecgscan_lab.train.loop import pretrain
from ecgscan_lab.train.recipe import Recipe
from ecgscan_lab.train.recipes import ptbxl_laptop
from ecgscan_lab.types import Cohort

METRICS = ("probe 100 %", "probe 1 %", "zero-shot")
TASK = "superclass"


def rows(recipe: Recipe) -> dict[str, Recipe]:
    """What is compared, each row with one thing more than the row above."""
    nothing = Weights(theta=0.0, beta=0.0, w_rule=0.0)
    paper = Weights.paper()
    cured = replace(paper, gram_kind="signed_plane_distance", hidden_weight=0.25)
    plain = replace(
        recipe, weights=nothing, multi_positive=False, cross_attention=False, independent_leads=False,
        project="tanh", signal_unit="mv",
    )  # fmt: skip
    return {
        "contrastive only": plain,
        "+ Gram": replace(plain, weights=replace(nothing, theta=0.05)),
        "+ reconstruction": replace(plain, weights=replace(paper, w_rule=0.0)),
        "+ lead laws (the paper's objective)": replace(plain, weights=paper),
        "+ our cures": replace(recipe, weights=cured),
        "+ statements": recipe,
    }


def small(steps: int, size: tuple[int, int]) -> Recipe:
    """`ptbxl_laptop` on clean pages of that size."""
    return replace(
        ptbxl_laptop("short"), name="ablation", size=size, steps=steps, validations=2, validation_batches=2,
        degrade="clean", degrade_first_strength=None, degrade_growing_epochs=0, layout_share=0.0,
    )  # fmt: skip


def one_run(cohort: Cohort, recipe: Recipe, seed: int, cache: Path) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Train, embed, judge: AUROC in percent, and the scores of the test records behind each."""
    frozen = prepare_frozen(cohort, recipe, cache, seed=0)  # one teacher for all rows and seeds
    with TemporaryDirectory() as folder:
        model = pretrain(cohort, frozen, recipe, Path(folder), seed=seed).model.cpu().eval()
    features = embed_pages(model.tower, cohort, recipe.size)
    kept = labelled(cohort, TASK)
    split = np.array([cohort.records[i].split for i in kept])
    labels, patients = cohort.targets(TASK)[kept], cohort.patients[kept]
    judged = {
        name: linear_probe(
            features[kept], labels, split, patients, label_fraction=fraction, fraction_seed=seed, n_bootstrap=10
        )
        for name, fraction in (("probe 100 %", 1.0), ("probe 1 %", 0.01))
    }
    test = split == "test"
    shared = model.project_images(features[kept][test])
    prompts = builtin_prompts(TASK, cohort.tasks[TASK])
    zero = judge_prompts(shared, model, make_text_tower(recipe), prompts, labels[test], patients[test], n_bootstrap=10)
    judged["zero-shot"] = zero
    return {name: each.macro_auroc for name, each in judged.items()}, {
        name: np.asarray(each.scores, np.float32) for name, each in judged.items()
    }


def run_all(chosen: argparse.Namespace) -> None:
    """Every row with every seed, what is there already left out."""
    cohort = load_split(chosen.folder, 9, chosen.records)[0]
    lines = chosen.out.read_text().splitlines() if chosen.out.exists() else []
    made = [json.loads(line) for line in lines]
    if any((line["steps"], line["size"], line["n"]) != (chosen.steps, list(chosen.size), len(cohort)) for line in made):
        raise SystemExit(f"{chosen.out} holds runs of other steps, size or records: name another file")
    done = {(line["row"], line["seed"]) for line in made}
    test = np.intersect1d(labelled(cohort, TASK), cohort.indices("test"))
    scores_of = chosen.out.with_suffix(".scores")
    scores_of.mkdir(parents=True, exist_ok=True)
    np.savez(scores_of / "truth.npz", labels=cohort.targets(TASK)[test], patients=cohort.patients[test])
    for seed in chosen.seeds:  # seeds outside, so that a table with fewer seeds is there early
        for number, (name, recipe) in enumerate(rows(small(chosen.steps, tuple(chosen.size))).items()):
            if (name, seed) in done:
                continue
            used = time.process_time()
            found, scores = one_run(cohort, recipe, seed, chosen.out.with_suffix(".cache"))
            np.savez(scores_of / f"{name}, seed {seed}.npz", **{m.replace(" ", "_"): scores[m] for m in METRICS})
            line = {"row": name, "number": number, "seed": seed, **found, "steps": chosen.steps, "size": chosen.size}
            line |= {"n": len(cohort), "data_sha256": cohort.data_sha256, "processor_s": time.process_time() - used}
            with chosen.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            say(json.dumps(line))


def tell_table(path: Path) -> None:
    """Mean over seeds of every row, and its difference from the row above with a paired 95 % interval."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    scores_of = path.with_suffix(".scores")
    with np.load(scores_of / "truth.npz", allow_pickle=False) as file:
        labels, patients = file["labels"], file["patients"]
    names = list(dict.fromkeys(line["row"] for line in sorted(lines, key=lambda line: line["number"])))
    seeds = sorted({line["seed"] for line in lines})
    figures = {(line["row"], line["seed"]): line for line in lines}
    seeds = [seed for seed in seeds if all((name, seed) in figures for name in names)]
    say(
        f"superclass of PTB-XL, {len(labels):,} test records of {lines[0]['n']:,}, {lines[0]['steps']} steps, "
        f"seeds {', '.join(map(str, seeds))}"
    )
    say("| objective | " + " | ".join(f"{m} | against the row above" for m in METRICS) + " |")
    say("|---|" + "---|" * 2 * len(METRICS))
    draws: dict[tuple[str, int, str], np.ndarray] = {}
    for name in names:
        for seed in seeds:
            with np.load(scores_of / f"{name}, seed {seed}.npz", allow_pickle=False) as file:
                for m in METRICS:
                    draws[name, seed, m] = bootstrap_macro_auroc(
                        labels, file[m.replace(" ", "_")], patients, n_bootstrap=500
                    )
    for k, name in enumerate(names):
        cells = []
        for m in METRICS:
            cells.append(f"{np.mean([figures[name, seed][m] for seed in seeds]):.1f}")
            if k == 0:
                cells.append("")
                continue
            above = names[k - 1]
            gains = [figures[name, seed][m] - figures[above, seed][m] for seed in seeds]
            each = np.mean([draws[name, seed, m] - draws[above, seed, m] for seed in seeds], axis=0)
            gain = seed_interval(gains, each)
            cells.append(f"{gain.difference:+.1f} [{gain.low:+.1f}, {gain.high:+.1f}]")
        say(f"| {name} | " + " | ".join(cells) + " |")


def say(line: object) -> None:
    """One line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Run, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", help="PTB-XL as published")
    parser.add_argument("--records", type=int, default=6000)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--size", type=int, nargs=2, default=[96, 224], help="height and width in px")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("ablation.jsonl"))
    parser.add_argument("--table", type=Path, help="print the table of these lines instead")
    chosen = parser.parse_args()
    if chosen.table:
        tell_table(chosen.table)
        return
    if chosen.folder is None:
        parser.error("name PTB-XL's folder")
    run_all(chosen)


if __name__ == "__main__":
    main()
