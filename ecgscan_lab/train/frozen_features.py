"""Features of the frozen towers for a whole data set, computed once and kept on disk by what they were made from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecgscan_lab.batch import FrozenFeatures, Statements
from ecgscan_lab.data.prompt_phrases import PROMPT_PHRASES
from ecgscan_lab.data.prompts import builtin_prompts
from ecgscan_lab.data.reports import clean_report, texts_of
from ecgscan_lab.encoders.signal import TinySignalTower
from ecgscan_lab.encoders.signal_features import encode_signals
from ecgscan_lab.encoders.teachers import signal_teacher
from ecgscan_lab.encoders.text import cached_text_features, text_tower
from ecgscan_lab.errors import ArgumentError, CheckpointError
from ecgscan_lab.train.checkpoint import load_checkpoint, save_checkpoint
from ecgscan_lab.train.recipe import Recipe
from ecgscan_lab.train.teacher import fit_teacher
from ecgscan_lab.types import TrainingData
from ecgscan_lab.whole_files import unfinished_file

_VERSION, _TINY_VERSION = 2, 3
_AT_A_TIME = 4096
_ARRAYS = ("signal", "text", "text_ids")
_TEACHER = "teacher.safetensors"


def prepare_frozen(
    data: TrainingData,
    recipe: Recipe,
    cache: Path | str,
    *,
    seed: int = 0,
    say: Callable[[str], object] = lambda line: None,
) -> FrozenFeatures:
    """Text and teacher features of every record, as memory maps of files; the teacher's summary where it is learnt.

    A folder of the cache is named by a hash of data, towers and options; one that is there is used as it is, one that
    was interrupted is made again.

    Args:
        data: the records.
        recipe: names the text tower and the signal teacher; "tiny" trains a teacher first, on the training split, and
            where it distils `teachers` of them, whose summaries stand side by side.
        cache: folder for the features.
        seed: of texts written from labels, and of the tiny teacher.
        say: told what is being done.

    Raises:
        ArgumentError: unknown tower, a teacher whose features are not `d_shared` wide, or distillation from a published
            one, which has no summary.
        CheckpointError, FetchError, LicenceError, MissingExtraError: see the towers.
    """
    if recipe.signal_teacher != "tiny" and recipe.teacher_weights is None:
        raise ArgumentError(
            f"{recipe.signal_teacher} without its weights would teach noise",
            field="teacher_weights",
            expected="a file that encoders.teachers.convert_teacher wrote",
            fix=f"--teacher-weights FILE; ecgscan-lab data show {recipe.signal_teacher} says where to get it",
        )
    distils = recipe.weights.w_distillation > 0
    if distils and recipe.signal_teacher != "tiny":
        raise ArgumentError(
            f"{recipe.signal_teacher} tells its feature only, and no tokens",
            field="w_distillation",
            expected="0, or the tiny teacher",
        )
    folder = Path(cache) / _key(data, recipe, seed)
    if not (folder / "facts.json").is_file():
        say(f"computing features of the frozen towers for {len(data):,} records")
        _make(folder, data, recipe, seed, say)
    names = list(_ARRAYS)
    if distils:
        names.append(_several_summaries(data, recipe, folder, seed, say) if recipe.teachers > 1 else "summary")
    try:
        signal, text, ids, *summary = (
            np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names
        )
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"cached features cannot be read: {error}", file=folder, field="cache", fix="remove the folder"
        ) from error
    if signal.shape[1] != recipe.d_shared:
        raise ArgumentError(
            f"the teacher's features are {signal.shape[1]} wide, the recipe's shared space {recipe.d_shared}",
            field="d_shared",
            expected=str(signal.shape[1]),
        )
    say(f"features of the frozen towers: {folder}")
    said = make_statements(data, recipe, Path(cache) / "texts") if recipe.weights.w_statement > 0 else None
    return FrozenFeatures(signal, text, ids, said, *summary)


def make_statements(data: TrainingData, recipe: Recipe, cache: Path) -> Statements:
    """The labels of all tasks as texts: a column a phrase of `data.prompt_phrases`.

    Raises:
        ArgumentError: none of the tasks has phrases.
    """
    texts: list[str] = []
    columns, weights = [], []
    for task, classes in data.tasks.items():
        if task not in PROMPT_PHRASES:
            continue
        targets = np.asarray(data.targets(task), dtype=np.uint8)
        for k, phrases in enumerate(builtin_prompts(task, classes, templates=["{}"]).values()):
            texts += phrases
            columns += [targets[:, k]] * len(phrases)
            weights += [1 / len(phrases)] * len(phrases)
    if not texts:
        raise ArgumentError(
            f"no phrases for the tasks {', '.join(data.tasks) or 'of data without labels'}",
            field="w_statement",
            expected=f"data with one of the tasks {', '.join(PROMPT_PHRASES)}",
            fix="train with w_statement=0, as the paper does",
        )
    told = np.stack(columns, axis=1)
    train = data.indices("train")
    share = (told[train].sum(0) + 0.5) / (len(train) + 1)
    features, ids = cached_text_features(make_text_tower(recipe), texts, cache)
    log_odds = np.log(share / (1 - share)).astype(np.float32)
    return Statements(tuple(texts), features[ids], told, log_odds, np.asarray(weights, dtype=np.float32))


def frozen_teacher(data: TrainingData, recipe: Recipe, cache: Path | str, *, seed: int = 0) -> Any:
    """The signal teacher behind the features that `prepare_frozen` keeps for the same arguments.

    Returns:
        A frozen `TinySignalTower`, or the published teacher that the recipe names.

    Raises:
        CheckpointError: the features were not prepared here, or the teacher's weights are damaged.
    """
    if recipe.signal_teacher != "tiny":
        return signal_teacher(recipe.signal_teacher, recipe.teacher_weights, lead_order=recipe.teacher_lead_order)
    tensors, facts = load_checkpoint(Path(cache) / _key(data, recipe, seed) / _TEACHER)
    teacher = TinySignalTower(**facts)
    teacher.load_state_dict(tensors)
    return teacher.eval().requires_grad_(False)


def _make(folder: Path, data: TrainingData, recipe: Recipe, seed: int, say: Callable[[str], object]) -> None:
    """Write the arrays beside their place, then rename the folder: it is there whole or not at all."""
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        texts = read_texts(data, seed)
        tower = make_text_tower(recipe)
        features, ids = cached_text_features(tower, texts, folder.parent / "texts")
        say(f"text tower {tower.name}: {len(texts):,} texts, {len(features):,} distinct")
        np.save(unfinished / "text_ids.npy", ids.astype(np.int64), allow_pickle=False)
        text = _map(unfinished / "text.npy", (len(data), features.shape[1]))
        for start in range(0, len(data), _AT_A_TIME):
            text[start : start + _AT_A_TIME] = features[ids[start : start + _AT_A_TIME]]
        text.flush()
        encode = _teacher(data, text, recipe, seed, say, unfinished)
        tiny = recipe.signal_teacher == "tiny"  # its summary begins with its feature
        signal = summary = None
        for start in range(0, len(data), _AT_A_TIME):
            rows = encode(data.read_signals_mv(np.arange(start, min(start + _AT_A_TIME, len(data)))))
            if signal is None:
                width = recipe.d_shared if tiny else rows.shape[1]
                signal = _map(unfinished / "signal.npy", (len(data), width))
                summary = _map(unfinished / "summary.npy", (len(data), rows.shape[1])) if tiny else None
            signal[start : start + len(rows)] = rows[:, : signal.shape[1]]
            if summary is not None:
                summary[start : start + len(rows)] = rows
            say(f"teacher {recipe.signal_teacher}: {start + len(rows):,} of {len(data):,} signals")
        if signal is not None:
            signal.flush()
        if summary is not None:
            _standardise(summary, data.indices("train"))
        (unfinished / "facts.json").write_text(json.dumps(_facts(data, recipe, seed), indent=2), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise CheckpointError(
            f"cannot write the features ({error.strerror or error})", file=folder, field="cache",
            fix="make room on the disk, or name another folder",
        ) from error  # fmt: skip


def _several_summaries(
    data: TrainingData, recipe: Recipe, folder: Path, seed: int, say: Callable[[str], object]
) -> str:
    """Write, once, the summaries of teachers from seeds that follow one another side by side; the file's name."""
    path = folder / f"summary-{recipe.teachers}.npy"
    if not path.is_file():
        weights = dataclasses.replace(recipe.weights, w_statement=0.0)  # statements are not a teacher's business
        alone = dataclasses.replace(recipe, teachers=1, weights=weights)
        told: list[Any] = []
        for k in range(recipe.teachers):
            say(f"teacher {k + 1} of {recipe.teachers}")
            told.append(prepare_frozen(data, alone, folder.parent, seed=seed + k, say=say).signal_summary)
        with unfinished_file(path, error=CheckpointError, field="cache") as unfinished:
            rows = _map(unfinished, (len(data), sum(summary.shape[1] for summary in told)))
            for start in range(0, len(data), _AT_A_TIME):
                piece = slice(start, start + _AT_A_TIME)
                rows[piece] = np.concatenate([summary[piece] for summary in told], axis=1)
            rows.flush()
    return path.stem


def read_texts(data: TrainingData, seed: int) -> list[str]:
    """One text a record: its report, cleaned, else one written from its labels where the data can say them."""
    if hasattr(data, "records"):
        return texts_of(data, seed=seed)  # type: ignore[arg-type]
    texts = getattr(data, "texts", None) or getattr(data, "reports", None)
    if texts is None:
        raise ArgumentError("these data have no reports", field="data", expected="a Cohort or a record store")
    cleaned: dict[str, str] = {}
    return [cleaned.setdefault(report, clean_report(report)) for report in texts()]


def make_text_tower(recipe: Recipe) -> Any:
    """The recipe's text tower."""
    return text_tower(
        recipe.text_tower, recipe.text_weights, pooling=recipe.text_pooling, max_tokens=recipe.text_max_tokens
    )


def _teacher(
    data: TrainingData, text: np.ndarray, recipe: Recipe, seed: int, say: Callable[[str], object], folder: Path
) -> Callable[[np.ndarray], np.ndarray]:
    """Signals in mV -> features of the teacher; one trained here is kept in the folder, and gives its summary."""
    if recipe.signal_teacher == "tiny":
        say(f"training the tiny signal teacher for {recipe.teacher_steps} steps")

        def told(row: Mapping[str, float | int | str]) -> None:
            if int(row["step"]) % 100 == 0:
                say(f"  step {int(row['step']) + 1:,} of {recipe.teacher_steps:,}: masked {row['masked_mse']:.4f} mV²")

        teacher: Any = fit_teacher(data, np.asarray(text), recipe, seed, told)[0]
        facts = {"embed_dim": teacher.embed_dim, "width": teacher.width, "fs_hz": teacher.fs_hz}
        save_checkpoint(folder / _TEACHER, teacher.state_dict(), facts)
    else:
        teacher = signal_teacher(recipe.signal_teacher, recipe.teacher_weights, lead_order=recipe.teacher_lead_order)
    return lambda signals_mv: encode_signals(teacher, signals_mv, data.fs_hz, summary=recipe.signal_teacher == "tiny")


def _standardise(rows: np.memmap, train: np.ndarray) -> None:
    """Subtract the training records' mean and divide by their standard deviation, in place."""
    pieces = [train[start : start + _AT_A_TIME] for start in range(0, len(train), _AT_A_TIME)]
    mean = sum(rows[piece].sum(0, dtype=np.float64) for piece in pieces) / max(len(train), 1)
    spread = np.sqrt(sum(((rows[piece] - mean) ** 2).sum(0) for piece in pieces) / max(len(train), 1))
    spread = np.where(spread < 1e-6, 1.0, spread)  # an entry that never varies stays at zero
    for start in range(0, len(rows), _AT_A_TIME):
        rows[start : start + _AT_A_TIME] = (rows[start : start + _AT_A_TIME] - mean) / spread
    rows.flush()


def _map(path: Path, shape: Sequence[int]) -> np.memmap:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=tuple(shape))


def _facts(data: TrainingData, recipe: Recipe, seed: int) -> dict[str, Any]:
    names = "text_tower text_weights text_pooling text_max_tokens signal_teacher teacher_weights".split()
    names.append("teacher_lead_order")
    if recipe.signal_teacher == "tiny":
        names += "d_shared teacher_steps teacher_batch teacher_lr warmup_share weight_decay clip_norm".split()
    values = recipe.as_dict()
    stamps = {
        name: [path.stat().st_size, path.stat().st_mtime_ns]
        for name in ("text_weights", "teacher_weights")
        if values[name] and (path := Path(values[name])).exists()
    }
    return {
        "version": _TINY_VERSION if recipe.signal_teacher == "tiny" else _VERSION, "files": stamps,
        "data_sha256": data.data_sha256, "seed": seed,
        **{name: values[name] for name in names},
    }  # fmt: skip


def _key(data: TrainingData, recipe: Recipe, seed: int) -> str:
    return hashlib.sha256(json.dumps(_facts(data, recipe, seed), sort_keys=True).encode()).hexdigest()[:24]
