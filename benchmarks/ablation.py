"""What each part of the objective is worth on PTB-XL, end to end, three seeds: a table in about an hour.

    python benchmarks/ablation.py FOLDER --out ablation.jsonl  # one line a run; a seed that is there is not done again
    python benchmarks/ablation.py --table ablation.jsonl       # means, and differences from the row above
    python benchmarks/ablation.py FOLDER --size 192 448 --steps 3000 --records 0 --workers 4 --out long.jsonl  # a GPU

Every row trains the tower and schedule of `ptbxl_laptop` on clean pages, from the same first weights on the same
batches: the rows of a seed learn side by side, so that a page is drawn once for all of them. What comes after the last
step is judged on fold 9, by linear probes and by prompts. A row changes one thing of the row above it. Differences are
paired over seeds and resampled patients (`evaluate.paired.seed_interval`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ecgscan_lab.batch import FrozenFeatures, feed
from ecgscan_lab.data.prompts import builtin_prompts
from ecgscan_lab.encoders.model import EcgScanModel
from ecgscan_lab.evaluate import linear_probe
from ecgscan_lab.evaluate.features import embed_pages
from ecgscan_lab.evaluate.intervals import bootstrap_macro_auroc
from ecgscan_lab.evaluate.judgement import labelled
from ecgscan_lab.evaluate.paired import seed_interval
from ecgscan_lab.evaluate.prompt_judgement import judge_prompts
from ecgscan_lab.losses.objective import Weights
from ecgscan_lab.replicate.ptbxl import load_split
from ecgscan_lab.train.frozen_features import make_text_tower, prepare_frozen
from ecgscan_lab.train.processes import join_processes
from ecgscan_lab.train.recipe import Recipe
from ecgscan_lab.train.recipes import ptbxl_laptop
from ecgscan_lab.train.step import make_learner, take_training_step
from ecgscan_lab.types import Cohort, TextTower

METRICS: dict[str, tuple[str, float | None]] = {
    "probe 100 %": ("superclass", 1.0),
    "probe 1 %": ("superclass", 0.01),
    "form, 100 %": ("form", 1.0),
    "zero-shot": ("superclass", None),
}
"""What is told of a row: task, and share of the labels that the probe sees; None asks by prompts."""


def rows(recipe: Recipe) -> dict[str, Recipe]:
    """What is compared, each row with one thing more than the row above."""
    nothing = Weights(theta=0.0, beta=0.0, w_rule=0.0)
    paper = Weights.paper()
    cured = replace(paper, gram_kind="signed_plane_distance", hidden_weight=0.25)
    tokens = replace(
        recipe, column_queries=False, cross_attention=True, decoder_dim=64, decoder_heads=2, mask_share=0.25,
        samples_per_query=40,
    )  # fmt: skip
    plain = replace(
        tokens, weights=nothing, multi_positive=False, cross_attention=False, independent_leads=False,
        project="tanh", signal_unit="mv",
    )  # fmt: skip
    return {
        "contrastive only": plain,
        "+ Gram": replace(plain, weights=replace(nothing, theta=0.05)),
        "+ reconstruction": replace(plain, weights=replace(paper, w_rule=0.0)),
        "+ lead laws (the paper's objective)": replace(plain, weights=paper),
        "+ our cures": replace(tokens, weights=cured),
        "+ statements": replace(tokens, weights=replace(cured, w_statement=1.0)),
        "statements at 0.02": replace(tokens, weights=replace(cured, w_statement=0.02)),
        "+ distillation": tokens,
        "columns in place of tokens": recipe,
    }


def small(steps: int, size: tuple[int, int]) -> Recipe:
    """`ptbxl_laptop()` on clean pages of that size from the first step on."""
    return replace(
        ptbxl_laptop(), name="ablation", size=size, first_size=None, first_share=0.0, steps=steps,
        degrade="clean", layout_share=0.0,
    )  # fmt: skip


def train_rows(
    cohort: Cohort, frozen: FrozenFeatures, recipes: Mapping[str, Recipe], seed: int, workers: int = 0
) -> dict[str, EcgScanModel]:
    """Train all rows side by side on the same pages."""
    processes = join_processes()
    first = next(iter(recipes.values()))
    learners = {}
    for name, recipe in recipes.items():
        heard = frozen if recipe.weights.w_statement > 0 else replace(frozen, statements=None)
        learners[name] = make_learner(cohort, heard, recipe, seed, processes)
    batches = feed(
        cohort, frozen, first.plan(), cohort.indices("train"), batch_size=first.batch_size, seed=seed,
        steps=range(first.steps), workers=workers, device=processes.device,
    )  # fmt: skip
    with closing(batches):
        for fed in batches:
            for name, learner in learners.items():
                taken = take_training_step(learner, fed)
                if taken.skipped:
                    say(f"{name}, seed {seed}, step {fed.step}: skipped, {taken.skipped}")
    return {name: learner.model.cpu().eval() for name, learner in learners.items()}


def judge(
    cohort: Cohort, model: EcgScanModel, size: tuple[int, int], tower: TextTower, seed: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """AUROC in percent, and the scores of the test records behind each figure."""
    features = embed_pages(model.tower, cohort, size)
    found, scores = {}, {}
    for name, (task, share) in METRICS.items():
        kept = labelled(cohort, task)
        split = np.array([cohort.records[i].split for i in kept])
        labels, patients = cohort.targets(task)[kept], cohort.patients[kept]
        if share is None:
            test = split == "test"
            shared = model.project_images(features[kept][test])
            prompts = builtin_prompts(task, cohort.tasks[task])
            result: Any = judge_prompts(shared, model, tower, prompts, labels[test], patients[test], n_bootstrap=10)
        else:
            result = linear_probe(
                features[kept], labels, split, patients, label_fraction=share, fraction_seed=seed, n_bootstrap=10
            )
        found[name], scores[name] = result.macro_auroc, np.asarray(result.scores, np.float32)
    return found, scores


def run_all(chosen: argparse.Namespace) -> None:
    """Every row with every seed, what is there already left out."""
    cohort = load_split(chosen.folder, 9, chosen.records or None)[0]
    recipes = rows(small(chosen.steps, tuple(chosen.size)))
    richest = recipes["+ distillation"]
    tower = make_text_tower(richest)
    for seed in seeds_to_do(chosen, cohort, recipes):
        used = time.process_time()
        frozen = prepare_frozen(cohort, richest, chosen.out.with_suffix(".cache"), seed=0)  # one teacher for all seeds
        models = train_rows(cohort, frozen, recipes, seed, chosen.workers)
        for number, (name, model) in enumerate(models.items()):
            found, scores = judge(cohort, model, tuple(chosen.size), tower, seed)
            keep_row(chosen, cohort, {"row": name, "number": number, "seed": seed, **found}, scores)
        say(f"seed {seed}: {time.process_time() - used:.0f} s of processor time")


def seeds_to_do(chosen: argparse.Namespace, cohort: Cohort, recipes: Mapping[str, Recipe]) -> list[int]:
    """Seeds of which a row is missing; the truth behind the scores is written beside them."""
    lines = chosen.out.read_text().splitlines() if chosen.out.exists() else []
    made = [json.loads(line) for line in lines]
    if any((line["steps"], line["size"], line["n"]) != (chosen.steps, list(chosen.size), len(cohort)) for line in made):
        raise SystemExit(f"{chosen.out} holds runs of other steps, size or records: name another file")
    home = scores_folder(chosen.out)
    home.mkdir(parents=True, exist_ok=True)
    for task in {task for task, _ in METRICS.values()}:
        test = np.intersect1d(labelled(cohort, task), cohort.indices("test"))
        np.savez(home / f"{task}.npz", labels=cohort.targets(task)[test], patients=cohort.patients[test])
    done = {(line["row"], line["seed"]) for line in made}
    return [seed for seed in chosen.seeds if any((name, seed) not in done for name in recipes)]


def keep_row(
    chosen: argparse.Namespace, cohort: Cohort, line: dict[str, Any], scores: Mapping[str, np.ndarray]
) -> None:
    """Write a row's scores, then its line; the last line of a row and seed counts."""
    name = f"{line['row']}, seed {line['seed']}"
    np.savez(scores_folder(chosen.out) / f"{name}.npz", **{m.replace(" ", "_"): rows for m, rows in scores.items()})
    line |= {"steps": chosen.steps, "size": list(chosen.size), "n": len(cohort), "data_sha256": cohort.data_sha256}
    with chosen.out.open("a") as file:
        file.write(json.dumps(line) + "\n")
    say(json.dumps(line))


def scores_folder(out: Path) -> Path:
    """Where the scores behind a file of lines lie."""
    return out.with_suffix(".scores")


def tell_table(path: Path) -> None:
    """Mean over seeds of every row, and its difference from the row above with a paired 95 % interval."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines = list({(line["row"], line["seed"]): line for line in lines}.values())
    truth = {}
    for task in {task for task, _ in METRICS.values()}:
        with np.load(scores_folder(path) / f"{task}.npz", allow_pickle=False) as file:
            truth[task] = file["labels"], file["patients"]
    names = list(dict.fromkeys(line["row"] for line in sorted(lines, key=lambda line: line["number"])))
    seeds = sorted({line["seed"] for line in lines})
    figures = {(line["row"], line["seed"]): line for line in lines}
    seeds = [seed for seed in seeds if all((name, seed) in figures for name in names)]
    say(
        f"PTB-XL, {len(truth['superclass'][0]):,} test records of {lines[0]['n']:,}, {lines[0]['steps']:,} steps, "
        f"seeds {', '.join(map(str, seeds))}"
    )
    say("| objective | " + " | ".join(f"{m} | against the row above" for m in METRICS) + " |")
    say("|---|" + "---|" * 2 * len(METRICS))
    draws: dict[tuple[str, int, str], np.ndarray] = {}
    for name in names:
        for seed in seeds:
            with np.load(scores_folder(path) / f"{name}, seed {seed}.npz", allow_pickle=False) as file:
                for m, (task, _) in METRICS.items():
                    labels, patients = truth[task]
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
    parser.add_argument("--records", type=int, default=6000, help="0 takes all")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--size", type=int, nargs=2, default=[96, 224], help="height and width in px")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--workers", type=int, default=0, help="processes that draw pages; 0 draws in a thread")
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
