"""The training loop: read it in one sitting.

Every step draws its pages, embeds them, asks the objective for a loss, and updates (`step.py`). Now and then the
validation loss is measured, and the weights are kept when it is the best so far. What a step sees, masks and drops out
is a function of (seed, step), and all else that matters lies in `last.safetensors` (`state.py`): a run that was
stopped, by Ctrl-C, a cluster or a power cut, goes on to the very weights it would have had.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ecgscan_lab.batch import Fed, FrozenFeatures, step_indices
from ecgscan_lab.encoders.model import EcgScanModel
from ecgscan_lab.errors import CheckpointError, MemoryFullError, SplitError, TrainingError
from ecgscan_lab.train.building import build_model, kept_tensors, load_model
from ecgscan_lab.train.checkpoint import load_checkpoint, save_checkpoint
from ecgscan_lab.train.interrupts import Asked, deferred_signals, stop_error
from ecgscan_lab.train.phases import feed_phases
from ecgscan_lab.train.processes import join_processes
from ecgscan_lab.train.recipe import Recipe
from ecgscan_lab.train.run_folder import BAD_BATCHES, BEST, LAST, claimed, forget_run
from ecgscan_lab.train.scoring import FeaturesLoss, validation_loss
from ecgscan_lab.train.state import Row, RunState, exchange, load_state, save_state, write_bad_batches
from ecgscan_lab.train.step import Learner, Taken, describe_bad, make_learner, take_training_step
from ecgscan_lab.types import History, TrainingData

__all__ = ["Judge", "Pretrained", "Tracker", "build_model", "load_model", "pretrain", "validation_loss"]

Judge = Callable[[EcgScanModel, int], Mapping[str, float]]
Tracker = Callable[[Row], object]
LOG_EVERY = 10


@dataclass(frozen=True, eq=False)
class Pretrained:
    """What a run leaves behind: the best model, its history, and where its weights lie."""

    model: EcgScanModel
    history: History
    checkpoint: Path
    best_step: int
    seconds: float


def pretrain(
    data: TrainingData,
    frozen: FrozenFeatures,
    recipe: Recipe,
    out: Path | str,
    *,
    seed: int = 0,
    on_step: Callable[[Row], None] | None = None,
    loss: FeaturesLoss | None = None,
    resume: bool = False,
    judge: Judge | None = None,
    trackers: Sequence[Tracker] = (),
    workers: int = 0,
    draw_on: str = "cpu",
    save_every_s: float = 600.0,
    save_every: int | None = None,
) -> Pretrained:
    """Train the image tower on (image, signal, report) triples by the whole objective, Eq. 1-9, or by another loss.

    Under torchrun every process calls this with the same arguments, takes its part of each batch, and sees the
    negatives of all; the first one writes and logs.

    Args:
        data: records with a "train" and a "val" split.
        frozen: features of the signal teacher and the text tower.
        recipe: towers, sizes, steps and weights.
        out: folder for `best.safetensors` (lowest validation loss, of the last phase) and `last.safetensors`.
        seed: seed of weights, order, pages and masks.
        on_step: called with every logged row: a progress bar, a live table.
        loss: minimised in place of the objective: any function of `Features` that returns a scalar.
        resume: go on from `last.safetensors` where there is one; the result is that of a run never stopped. Without,
            what an earlier run left in the folder is removed.
        judge: called with the model and the step at every validation; what it measures joins the row.
        trackers: called with every row, and closed at the end.
        workers: processes that draw pages; 0 draws in a thread.
        draw_on: "cpu" or "gpu".
        save_every_s, save_every: write `last.safetensors` after so many seconds, or steps, besides at validations.

    Returns:
        The model with the best weights loaded, in `eval` mode.

    Raises:
        KeyboardInterrupt: Ctrl-C; `StoppedError` (a SystemExit): SIGTERM; both after `last.safetensors` is written.
        SplitError: nothing to train on, nothing to validate on, or patients in both.
        CheckpointError: the folder is another run's, the disk is full, or the validation loss was never finite.
        TrainingError: too many steps were not finite; MemoryFullError: too little memory; both say what to try.
    """
    out, processes = Path(out), join_processes()
    train, val = _records_to_use(data, recipe)
    with claimed(out) if processes.leads else nullcontext(), deferred_signals() as asked, _memory_advice(recipe):
        learner = make_learner(data, frozen, recipe, seed, processes, loss)
        state = _begin(out, learner, resume)
        run = _Run(learner, state, out, data, frozen, val, judge, on_step, tuple(trackers), time.perf_counter())
        batches = feed_phases(
            data,
            frozen,
            recipe,
            train,
            range(state.step, recipe.steps),
            seed=seed,
            rank=processes.rank,
            world_size=processes.world_size,
            workers=workers,
            device=processes.device,
            draw_on=draw_on,
        )
        with closing(batches), run:
            try:
                run.catch_up()
                _go(run, batches, train, asked, save_every_s, save_every)
            except (KeyboardInterrupt, SystemExit):
                run.save()
                raise
            run.save()
        return _finish(run)


def _go(
    run: _Run, batches: Iterator[Fed], train: np.ndarray, asked: Asked, save_every_s: float, save_every: int | None
) -> None:
    """Every step that is left."""
    learner, state = run.learner, run.state
    saved_at, pace = time.perf_counter(), _Pace(learner.recipe.batch_size)
    for fed in batches:
        logged = fed.step % LOG_EVERY == 0 or fed.step in run.validate_at
        taken = take_training_step(learner, fed, exact_times=logged)
        state.step = fed.step + 1
        pace.add(fed)
        if taken.skipped is not None and taken.counts:
            run.note_bad(fed, taken, train)
        if logged or (taken.skipped and taken.counts):
            run.log(_training_row(fed, taken, run.seconds, pace))
        run.catch_up()
        now = time.perf_counter()
        due = save_every is not None and state.step % save_every == 0
        stop, slow = learner.processes.largest(asked.signal, float(now - saved_at >= save_every_s))
        if stop:
            raise stop_error(int(stop))
        if due or slow:
            run.save()
            saved_at = now


@dataclass(eq=False)
class _Run:
    """A run in its folder: who learns, how far it is, who is told."""

    learner: Learner
    state: RunState
    out: Path
    data: TrainingData
    frozen: FrozenFeatures
    val: np.ndarray
    judge: Judge | None
    on_step: Callable[[Row], None] | None
    trackers: tuple[Tracker, ...]
    started: float

    def __post_init__(self) -> None:
        steps, n = self.learner.recipe.steps, self.learner.recipe.validations
        self.validate_at = {round(steps * (i + 1) / n) - 1 for i in range(n)} - {-1}
        self.before = self.state.seconds

    def __enter__(self) -> _Run:
        step = self.state.step - 1
        if step in self.validate_at and self.state.validated < step and self.learner.processes.leads:
            # A log drops what it has from its first row on, and that row will be the validation still to come.
            for row in self.state.rows:
                if row["step"] == step:
                    for tracker in self.trackers:
                        tracker(row)
        return self

    def __exit__(self, *error: object) -> None:
        for tracker in self.trackers:
            close = getattr(tracker, "close", None)
            if close is not None and self.learner.processes.leads:
                close()

    @property
    def seconds(self) -> float:
        """Time spent on the run, by earlier processes too."""
        return self.before + time.perf_counter() - self.started

    def log(self, row: Row) -> None:
        """Keep a row, and tell those who asked; the first process alone."""
        if self.learner.processes.leads:
            self.state.rows.append(row)
            for told in (*([] if self.on_step is None else [self.on_step]), *self.trackers):
                told(row)

    def catch_up(self) -> None:
        """Measure the validation loss if the last step asks for it and it was not done: also after an interruption."""
        step, state, learner = self.state.step - 1, self.state, self.learner
        if step not in self.validate_at or state.validated >= step:
            return
        phase, plan = learner.recipe.phase_at(step)
        if state.best_step < phase.start:  # chosen on other pages, which says nothing about these
            state.best_loss = math.inf
        found = {"total": math.inf}
        if learner.processes.leads:
            exchange(learner.average, learner.model)
            try:
                found = validation_loss(
                    learner.model, self.data, self.frozen, learner.recipe, self.val, learner.judge_score,
                    precision=learner.precision, plan=plan,
                )  # fmt: skip
                judged = {} if self.judge is None else dict(self.judge(learner.model, step))
                if found["total"] < state.best_loss:
                    state.best_loss, state.best_step = found["total"], step
                    facts = {**learner.facts, "step": step, "validation_loss": found["total"]}
                    save_checkpoint(self.out / BEST, kept_tensors(learner.model, learner.recipe.save), facts)
            finally:
                exchange(learner.average, learner.model)
            state.validated = step
            self.log({"step": step, "split": "val", **found, **judged})
        learner.processes.wait()
        state.validated = step
        self.save()

    def note_bad(self, fed: Fed, taken: Taken, train: np.ndarray) -> None:
        """Count a skipped step and write down its records.

        Raises:
            TrainingError: there were too many.
        """
        recipe, state = self.learner.recipe, self.state
        positions, _ = step_indices(train, recipe.batch_size, self.learner.seed, fed.step)
        state.bad.append(describe_bad(fed, taken, positions))
        if self.learner.processes.leads:
            write_bad_batches(self.out, state.bad)
        if len(state.bad) >= recipe.max_bad_steps:
            self.save()
            raise TrainingError(
                f"{len(state.bad)} steps were skipped because {taken.skipped}, the last one step {fed.step}",
                file=self.out / BAD_BATCHES,
                field="max_bad_steps",
                expected=f"fewer than {recipe.max_bad_steps} such steps",
                fix="lower lr or clip_norm, take precision='fp32', or look at the records whose positions the file "
                "lists: the same ones every time point to the data",
            )

    def save(self) -> None:
        """Write `last.safetensors`."""
        learner = self.learner
        if learner.processes.leads:
            self.state.seconds = self.seconds
            save_state(
                self.out / LAST, learner.model, learner.optimizer, learner.scaler, learner.average, self.state,
                learner.facts,
            )  # fmt: skip


def _begin(out: Path, learner: Learner, resume: bool) -> RunState:
    """The state to start from: that of the folder, or a fresh one."""
    processes = learner.processes
    found = resume and (out / LAST).exists()
    if found:
        state = load_state(out / LAST, learner.model, learner.optimizer, learner.scaler, learner.average, learner.facts)
    else:
        state = RunState()
        if processes.leads:
            forget_run(out)
    processes.wait()
    return state


def _finish(run: _Run) -> Pretrained:
    """The best weights, loaded from where they lie."""
    run.learner.processes.wait()
    if run.state.best_step < run.learner.recipe.phases()[-1][0].start or not (run.out / BEST).exists():
        raise CheckpointError(
            "the validation loss was never finite, so no weights are worth keeping",
            file=run.out / LAST,
            fix="lower the learning rate, or look at the history for the step where the loss left the numbers",
        )
    model = run.learner.model.to(memory_format=torch.contiguous_format)
    model.load_state_dict(load_checkpoint(run.out / BEST)[0], strict=False)
    state = run.state
    return Pretrained(model.eval(), History(tuple(state.rows)), run.out / BEST, state.best_step, run.seconds)


class _Pace:
    """Pages a second, and waiting and drawing a step, since the last row."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self._restart()

    def add(self, fed: Fed) -> None:
        self.steps += 1
        self.wait_s += fed.wait_s
        self.draw_s += fed.draw_s

    def read(self) -> dict[str, float]:
        elapsed = max(time.perf_counter() - self.since, 1e-9)
        facts = {
            "wait_s": self.wait_s / self.steps,
            "draw_s": self.draw_s / self.steps,
            "step_s": elapsed / self.steps,
            "images_per_s": self.steps * self.batch_size / elapsed,
        }
        self._restart()
        return facts

    def _restart(self) -> None:
        self.since, self.steps, self.wait_s, self.draw_s = time.perf_counter(), 0, 0.0, 0.0


def _training_row(fed: Fed, taken: Taken, seconds: float, pace: _Pace) -> Row:
    return {
        "step": fed.step,
        "split": "train",
        **taken.parts,
        "lr": taken.lr,
        "gradient_norm": taken.norm,
        "seconds": seconds,
        **pace.read(),
        **taken.laps,
    }


def _records_to_use(data: TrainingData, recipe: Recipe) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation records."""
    found = []
    for split in ("train", "val"):
        indices = data.indices(split)
        if len(indices) == 0:
            raise SplitError(
                f"the {split} split has no records",
                field="split",
                expected="records to train on and others to validate on",
                fix="use more records, or assign splits by patient",
            )
        found.append(indices)
    train, val = found
    if recipe.split_by == "patient":
        both = np.intersect1d(data.patients[train], data.patients[val])
        if len(both):
            raise SplitError(
                f"{len(both)} patients have records in both the training and the validation split",
                field="split_by",
                expected="no patient in two splits",
                fix="split by patient (ecgscan_lab.data.splits), or say split_by='record' in the recipe",
            )
    return train, val


@contextmanager
def _memory_advice(recipe: Recipe) -> Iterator[None]:
    """Say what makes a run smaller where memory is full; nothing is changed behind the reader's back."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        full = isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
        if not full:
            raise
        half = max(1, (recipe.micro_batch or recipe.batch_size) // 2)
        raise MemoryFullError(
            f"there is too little memory for this run ({str(error).splitlines()[0][:120]})",
            field="micro_batch",
            expected="a run that fits",
            fix=f"micro_batch={half} (the same gradient in smaller parts), checkpointing=True, precision='bf16' where "
            "a GPU has it, smaller pages, or a smaller decoder; then start again",
        ) from error
