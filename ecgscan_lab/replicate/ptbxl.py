"""PTB-XL, from its folder to the figures of the paper's table: `replicate_ptbxl`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ecgscan_lab.batch import FrozenFeatures, PagePlan
from ecgscan_lab.data.corpora import load_ptbxl
from ecgscan_lab.encoders.model import EcgScanModel
from ecgscan_lab.errors import ArgumentError, CheckpointError
from ecgscan_lab.evaluate.embedding import recipe_page
from ecgscan_lab.evaluate.feature_table import read_features
from ecgscan_lab.evaluate.full_evaluation import ENCODER, evaluate_encoders, probe_task
from ecgscan_lab.evaluate.probe_table import ProbeTable
from ecgscan_lab.replicate import figures, judging
from ecgscan_lab.replicate.stages import Made, Say, Stages, timed
from ecgscan_lab.train.frozen_features import frozen_teacher, prepare_frozen
from ecgscan_lab.train.loop import load_model, pretrain
from ecgscan_lab.train.precision import pick_device, pick_precision
from ecgscan_lab.train.recipe import Recipe, recipe_differences, with_defaults
from ecgscan_lab.train.recipes import ptbxl_laptop
from ecgscan_lab.train.run_folder import BEST, LAST, claimed
from ecgscan_lab.types import Cohort
from ecgscan_lab.whole_files import write_json, write_whole

PROFILES = ("short", "full", "long")
FRACTIONS = (1.0, 10.0, 100.0)
_IDENTITY = "replication.json"
_OURS = ("stages", "run", "frozen", "evaluation", "replicate.json", "report.md")


@dataclass(frozen=True)
class Judging:
    """How much the judgement computes; the defaults are what figures of the full profile are quoted with.

    Attributes:
        draws: draws of the labelled records below 100 %.
        n_bootstrap: patient resamples behind every interval.
        n_digitised: test pages that are digitised, evenly spaced.
    """

    draws: int = 5
    n_bootstrap: int = 1000
    n_digitised: int = 400


JUDGED = {"short": Judging(n_digitised=200), "full": Judging(), "long": Judging()}


def replicate_ptbxl(
    data_dir: str | PathLike[str],
    out: str | PathLike[str],
    profile: str = "short",
    seed: int = 0,
    *,
    test_fold: int | None = None,
    recipe: Recipe | None = None,
    n_records: int | None = None,
    judging_options: Judging | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> dict[str, Any]:
    """Pretrain on PTB-XL's training folds, judge on held-out patients, and write everything down.

    Stages: features of the frozen towers (the signal teacher is trained here), pretraining, linear probes of the
    encoder and its rivals with zero-shot, retrieval, reconstruction, photographs, digitising, the teacher itself. Each
    keeps its result in `out`; the same call goes on where it was stopped and does nothing twice.

    The validation fold chooses: the checkpoint, and C of every probe. Folds 9 and 10 are never trained on.

    Args:
        data_dir: PTB-XL's own folder, see `data.corpora.load_ptbxl`.
        out: folder of this replication alone.
        profile: "short", "full" or "long": which recipe; "full" is "long" where that one fits into its 90 minutes, see
            `profile_here`.
        seed: of every random choice.
        test_fold: 9 or 10; None takes 10 where the folder has it, else 9. The fold before it is for validation.
        recipe: in place of the profile's. In which fields it differs from that one, whatever it is called, is said and
            written into the report.
        n_records: about this many records, whole patients; None takes all.
        judging_options: how much the judgement computes; None takes `JUDGED` of the profile.
        say: called with a line about what is being done.

    Returns:
        What `out/replicate.json` holds; AUROC is percent. `out/run/best.safetensors` is the encoder.

    Raises:
        ArgumentError: unknown profile or fold.
        CheckpointError: `out` belongs to something else, or the trained weights were changed since.
        EcgScanLabError: the data cannot be read, or `out` cannot be written.
    """
    if profile not in PROFILES:
        raise ArgumentError(f"unknown profile {profile!r}", field="profile", expected=f"one of {', '.join(PROFILES)}")
    if test_fold not in (None, 9, 10):
        raise ArgumentError(
            f"test_fold is {test_fold!r}", field="test_fold", expected="9 or 10", fix="the others are trained on"
        )
    folder = Path(out).resolve()  # stages name their files within it, whatever the working folder was
    if folder.exists() and not folder.is_dir():
        raise ArgumentError("the output is a file", file=folder, field="out", expected="a folder")
    seconds: dict[str, float] = {}
    processor_seconds: dict[str, float] = {}
    with claimed(folder):
        with timed(seconds, processor_seconds, "load"):
            cohort, folds = load_split(str(data_dir).removeprefix("ptbxl:"), test_fold, n_records, seed)
        asked, profile = profile, profile_here(profile)
        if profile != asked:
            say(f"profile {asked}: this machine multiplies in bfloat16, so the {profile} one fits into 90 minutes")
        named = ptbxl_laptop(profile)
        chosen = recipe or named
        changes = recipe_differences(chosen.as_dict(), {**named.as_dict(), "name": chosen.name})
        identity = {
            "data_sha256": cohort.data_sha256, "folds": folds, "seed": seed, "profile": profile,
            "recipe": chosen.as_dict(),
        }  # fmt: skip
        identity = json.loads(json.dumps(identity))  # as a file gives it back
        _claim_for(folder, identity)
        counts = ", ".join(f"{len(cohort.indices(name)):,} {name} (folds {_words(folds[name])})" for name in folds)
        say(f"PTB-XL: {counts}; recipe {chosen.name}{_changed(named.name, profile, changes)}, seed {seed}")
        stages = Stages(folder, identity, say, seconds, processor_seconds)
        replication = _Replication(folder, cohort, chosen, seed, judging_options or JUDGED[profile], stages)
        found = replication.everything()
        values = figures.replicate_values(
            found, identity, stages, recipe_changes=changes, n_of=_counts(cohort), checkpoint=f"run/{BEST}",
            checkpoint_sha256=stages.files("pretrain")[f"run/{BEST}"],
        )  # fmt: skip
        write_whole(folder / "report.md", figures.markdown(values).encode())
        write_json(folder / "replicate.json", values)
    return values


@dataclass(frozen=True, eq=False)
class _Replication:
    """All that the stages share."""

    folder: Path
    cohort: Cohort
    recipe: Recipe
    seed: int
    judging: Judging
    stages: Stages

    def everything(self) -> dict[str, dict[str, Any]]:
        """Run what is not there yet; stage -> result."""
        run, options = self.stages.run, dataclasses.asdict(self.judging)
        run("prepare", self.prepare)
        trained_on = {"frozen": self.stages.files("prepare")}
        found = {"pretrain": run("pretrain", self.pretrain, made_from=trained_on)}
        by_weights = {**trained_on, "weights": self.stages.files("pretrain"), "judging": options}
        # Named, so that a result from before the scores were kept is made anew.
        found["evaluate"] = run("evaluate", self.evaluate, made_from={**by_weights, "keeps": self.scores.name})
        by_features = {**by_weights, "features": self.stages.files("evaluate")}
        for name in ("retrieval", "reconstruction", "photo", "digitised"):
            found[name] = run(name, getattr(self, name), made_from=by_features)
        found["teacher"] = run("teacher", self.teacher, made_from={**trained_on, "judging": options})
        return found

    @property
    def cache(self) -> Path:
        """Where features of the frozen towers lie."""
        return self.folder / "frozen"

    @property
    def checkpoint(self) -> Path:
        """The encoder."""
        return self.folder / "run" / BEST

    @property
    def scores(self) -> Path:
        """What the encoder's probes said of the test records."""
        return self.folder / "evaluation" / "scores.npz"

    def frozen(self, say: Say = lambda line: None) -> FrozenFeatures:
        """Features of the frozen towers, made or read."""
        return prepare_frozen(self.cohort, self.recipe, self.cache, seed=self.seed, say=say)

    def features(self) -> np.ndarray:
        """The encoder's features of every record, as the evaluation left them."""
        return read_features(self.folder / "evaluation" / "features.parquet").features

    def prepare(self) -> Made:
        """Text and teacher features."""
        if self.stages.was_done("prepare"):  # and is not whole any more, or this would not run
            shutil.rmtree(self.cache, ignore_errors=True)
        frozen = self.frozen(self.stages.say)
        home = Path(str(frozen.signal.filename)).parent  # type: ignore[attr-defined]
        return {"n": len(self.cohort)}, sorted(path for path in home.iterdir() if path.is_file())

    def pretrain(self) -> Made:
        """The image encoder."""
        run = self.folder / "run"
        if self.stages.was_done("pretrain"):
            raise CheckpointError(
                "the trained weights, or what they were trained on, changed since they were written",
                file=self.checkpoint, field="out", expected="the file that the training left",
                fix="put it back, choose another folder, or remove this one to train again",
            )  # fmt: skip
        told = _Progress(self.stages.say, self.recipe.steps)
        done = pretrain(self.cohort, self.frozen(), self.recipe, run, seed=self.seed, resume=True, on_step=told)
        rows = [dict(row) for row in done.history if row["split"] == "val"]
        result = {"best_step": done.best_step, "steps": self.recipe.steps, "validation": rows}
        (run / LAST).unlink(missing_ok=True)
        return result, [self.checkpoint]

    def evaluate(self) -> Made:
        """Probes of the encoder, its own tower with fresh weights and the raw pixels; prompts."""
        home = self.folder / "evaluation"
        found = evaluate_encoders(
            self.cohort, self.checkpoint, out=home, fractions=FRACTIONS, draws=self.judging.draws,
            cache=self.folder / "cache", pretrained_on=["ptbxl"], n_bootstrap=self.judging.n_bootstrap,
            seed=self.seed, say=lambda line: self.stages.say(f"  {line}"),
        )  # fmt: skip
        result = found.as_dict()
        for table in result["probes"].values():
            for row in table["rows"]:
                row.pop("draws")
        scores = judging.write_scores(self.scores, found.probes, ENCODER, self.cohort)
        return result, [home / "features.parquet", scores]

    def retrieval(self) -> Made:
        """Page to report, page to signal."""
        model, _ = self.encoder()
        return judging.judge_retrieval(model, self.cohort, self.frozen(), self.features()), []

    def reconstruction(self) -> Made:
        """Signals from test pages."""
        model, plan = self.encoder()
        return judging.judge_reconstruction(model, self.cohort, plan), []

    def photo(self) -> Made:
        """Photographed test pages."""
        if "superclass" not in self.cohort.tasks:
            return {}, []
        model, plan = self.encoder()
        found = judging.judge_photographs(
            model, self.cohort, plan, self.features(), n_bootstrap=self.judging.n_bootstrap, seed=self.seed
        )
        return found, []

    def digitised(self) -> Made:
        """Pages read back, then the signal teacher; the encoder's lead over it on the same pages."""
        _, plan = self.encoder()
        teacher = frozen_teacher(self.cohort, self.recipe, self.cache, seed=self.seed)
        positions, features = judging.digitised_features(
            teacher, self.cohort, plan, self.judging.n_digitised, self.stages.say
        )
        n_test = len(positions) - sum(len(self.cohort.indices(name)) for name in ("train", "val"))
        tables, found = self._probed("digitised", features, positions)
        found["encoder_minus_digitised"] = {
            task: judging.difference_to(self.scores, table, task, self.cohort, positions, self.judging.n_bootstrap)
            for task, table in tables.items()
        }
        return found | {"n_test_digitised": n_test}, []

    def teacher(self) -> Made:
        """The signal teacher on the recorded signals."""
        return self._probed("teacher", np.asarray(self.frozen().signal), np.arange(len(self.cohort)))[1], []

    def _probed(
        self, name: str, features: np.ndarray, positions: np.ndarray
    ) -> tuple[dict[str, ProbeTable], dict[str, Any]]:
        notes: list[str] = []
        tables = {}
        for task in self.cohort.tasks:
            table = probe_task(
                {name: features}, self.cohort, task, "sound", FRACTIONS, self.judging.draws, self.judging.n_bootstrap,
                notes, positions,
            )  # fmt: skip
            if table is not None:
                tables[task] = table
        rows = {task: [row.as_dict() for row in table.rows] for task, table in tables.items()}
        return tables, {"rows": rows, "notes": [f"{name}, {note}" for note in notes]}

    def encoder(self) -> tuple[EcgScanModel, PagePlan]:
        """The model, and the pages that `evaluate` embedded: the recipe's, clean, at the tower's own size."""
        model, facts = load_model(self.checkpoint)
        plan = self.recipe.plan().plain()
        tower: Any = model.tower
        return model, dataclasses.replace(plan, size=tuple(tower.size), page=recipe_page(None, facts))


@dataclass
class _Progress:
    """A line every so many steps, and at every validation."""

    say: Say
    steps: int
    said: int = 0

    def __call__(self, row: Mapping[str, Any]) -> None:
        share = 20 * int(row["step"]) // max(1, self.steps)
        if row["split"] == "val" or share > self.said:
            self.said = share
            self.say(f"  step {row['step'] + 1:,} of {self.steps:,} {row['split']}: loss {row['total']:.4f}")


def profile_here(profile: str) -> str:
    """What a profile's name stands for on this machine: "full" is the best that 90 minutes give.

    Hardware that multiplies bfloat16 trains about four times as fast as two cores without AVX-512: there "full" is
    "long", elsewhere a shorter recipe of its own.

    Example:
        >>> profile_here("short")
        'short'
    """
    native = pick_precision(pick_device()) == "bf16"
    return "long" if profile == "full" and native else profile


def load_split(
    folder: str, test_fold: int | None = None, n_records: int | None = None, seed: int = 0
) -> tuple[Cohort, dict[str, list[int]]]:
    """The cohort, and split -> folds; no fold from 9 on is ever in the training split."""
    cohort = load_ptbxl(folder, test_fold=test_fold, n_records=n_records, seed=seed)
    kept = tuple(r for r in cohort.records if r.split != "train" or (r.fold or 0) < 9)
    if len(kept) < len(cohort.records):  # test fold 9, and fold 10 is there
        digest = hashlib.sha256(f"{cohort.data_sha256} without fold 10".encode()).hexdigest()
        cohort = dataclasses.replace(cohort, records=kept, data_sha256=digest)
    folds = {name: sorted({int(r.fold or 0) for r in kept if r.split == name}) for name in ("train", "val", "test")}
    return cohort, folds


def _claim_for(folder: Path, wanted: Mapping[str, Any]) -> None:
    """Write down whose folder this is, or refuse one that is another's."""
    path = folder / _IDENTITY
    if not path.is_file():
        held = [name for name in _OURS if (folder / name).exists()]
        if held:
            raise _foreign(folder, f"the folder holds {', '.join(held)}, and nothing says of what")
        write_json(path, wanted)
        return
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
        same = {name: there[name] for name in wanted if name != "recipe"}
        lines = [f"{name} {same[name]} there, {wanted[name]} here" for name in same if same[name] != wanted[name]]
        lines += [f"recipe.{line}" for line in recipe_differences(wanted["recipe"], with_defaults(there["recipe"]))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _foreign(folder, f"cannot read {_IDENTITY}: {error!r}"[:200]) from error
    if lines:
        more = f", and {len(lines) - 4} more" if len(lines) > 4 else ""
        raise _foreign(folder, f"the folder is another replication's: {'; '.join(lines[:4])}{more}")


def _foreign(folder: Path, what: str) -> CheckpointError:
    return CheckpointError(
        what, file=folder, field="out", expected="an empty folder, or that of the same data, recipe and seed",
        fix="choose another folder (--out)",
    )  # fmt: skip


def _changed(name: str, profile: str, changes: Sequence[str]) -> str:
    """That a recipe is not the named one, and in which fields; nothing where it is."""
    fields = ", ".join(line.partition(":")[0] for line in changes)
    return f" (not {name} of profile {profile}: it differs in {fields})" if changes else ""


def _counts(cohort: Cohort) -> dict[str, int]:
    return {name: len(cohort.indices(name)) for name in ("train", "val", "test")}


def _words(folds: Sequence[int]) -> str:
    return ", ".join(map(str, folds)) or "none"
