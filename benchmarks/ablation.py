"""What each part of the objective is worth on PTB-XL, end to end, three seeds: a table in minutes to hours.

    python benchmarks/ablation.py FOLDER [--records N] [--steps N] [--seeds 0 1 2] [--out FILE.csv]

Every row trains the tower, pages and schedule of `ptbxl_laptop`, in smaller measure, from the same first weights on the
same batches; it is judged on fold 9 by a linear probe with all labels and with 1 %, and by prompts. Differences are
paired over seeds and resampled patients.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

import pandas as pd

from ecgscan_lab.compare.ablations import ablate, objective_variants
from ecgscan_lab.compare.rungs import Rung
from ecgscan_lab.losses.objective import Weights
from ecgscan_lab.train.recipes import ptbxl_laptop


def say(line: object) -> None:
    """One line, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Run the table and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="PTB-XL as published")
    parser.add_argument("--records", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--task", default="superclass")
    parser.add_argument("--out", help="write the table to this CSV")
    chosen = parser.parse_args()
    recipe = replace(ptbxl_laptop("short"), name="ablation", weights=Weights.paper(), steps=chosen.steps, validations=2)
    recipe = replace(recipe, multi_positive=False, cross_attention=False, independent_leads=False, degrade="clean")
    variants = {name: v for name, v in objective_variants().items() if name != "reconstruction only"}
    table = ablate(
        variants,
        f"ptbxl:{chosen.folder}",
        Rung("quick", n_records=chosen.records, recipe=recipe, d_shared=recipe.d_shared),
        task=chosen.task,
        seeds=chosen.seeds,
        on_run=lambda run: say(f"{run}"[:300]),
        say=lambda sentence: say(sentence),
    )
    with pd.option_context("display.width", 250, "display.max_columns", None, "display.max_colwidth", 60):
        say(table.table)
    if chosen.out:
        table.table.to_csv(chosen.out)


if __name__ == "__main__":
    main()
