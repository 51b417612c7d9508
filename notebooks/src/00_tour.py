# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The tour: from millivolts to a page to a diagnosis
#
# **How much can a network learn about the heart from the *picture* of an ECG?**
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/ecgscan-lab/ecgscan_lab/blob/main/notebooks/00_tour.ipynb)
# [![Launch Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/ecgscan-lab/ecgscan_lab/main?urlpath=lab/tree/notebooks/00_tour.ipynb)
#
# | | |
# |---|---|
# | **Time and memory** | `quick`: about five minutes on two cores, 1.2 GB (1.5 with a CUDA build of torch); `smoke`: half a minute |
# | **You will learn to** | *draw* an ECG page from a recording, *align* pages with signals and reports, *judge* what the image encoder learned |
# | **You need** | Python, a little deep learning; no GPU, no download, no cardiology |
# | **The code** | the objective, Eq. 8-9: [objective.py](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/ecgscan_lab/losses/objective.py), [tested](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/tests/losses/test_objective.py); the loop: [loop.py](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/ecgscan_lab/train/loop.py), [tested](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/tests/train/test_loop.py) |
#
# ECG-Scan (arXiv 2604.01526) trains an image encoder on pages, signals and reports. The tour walks through all of it once;
# notebooks 01 to 08 take the parts to pieces. Equation numbers are the paper's.

# %%
import sys

if "google.colab" in sys.modules:
    # %pip install -q "ecgscan-lab[notebooks,text] @ git+https://github.com/ecgscan-lab/ecgscan_lab"
    pass

from ecgscan_lab.nb.setup import setup_notebook

setup_notebook()

# %% tags=["parameters"]
data = "synthetic"  # or "ptbxl:FOLDER", or "cohort:FOLDER" for your own records
profile = "quick"  # "smoke" for a test run, "full" for a GPU
seed = 0
out = "ecgscan-tour"

# %% [markdown]
# ## 1. Records
#
# A record is twelve **leads** (views of the heart's voltage from twelve directions) in millivolts, some labels, and perhaps a
# report. The default data are drawn by a small model of the heart: a dipole that moves, seen by the leads. `data` switches
# to real recordings; nothing below changes. Patients are split, not records: nobody is in training and in the test.

# %%
from pathlib import Path

import pandas as pd

from ecgscan_lab.data import load_cohort
from ecgscan_lab.train.recipes import recipe_for, records_for

out = Path(out)
cohort = load_cohort(data, n_records=records_for(profile, data), seed=seed)
recipe = recipe_for(profile, len(cohort.indices("train")))
task = next(iter(cohort.tasks))
counts = {s: cohort.targets(task)[cohort.indices(s)].sum(0) for s in ("train", "val", "test")}
table = pd.DataFrame(counts, index=pd.Index(cohort.tasks[task], name=task))
table.loc["records"] = [len(cohort.indices(s)) for s in counts]
table

# %%
from ecgscan_lab.plots.ecg import plot_record
from ecgscan_lab.plots.figure import show

record = cohort.records[cohort.indices("test")[0]]
show(plot_record(record))
print("labels:", dict(record.labels))

# %% [markdown]
# Bad files are not hidden: what was skipped or repaired on the way in is listed here and in the report.

# %%
print(f"{len(cohort)} records read, {len(cohort.skipped)} skipped, data {cohort.data_sha256[:12]}")
for sentence, count in cohort.repairs.items():
    print(f"  {count} x {sentence}")
for skipped in cohort.skipped[:10]:
    print(f"  skipped {skipped.record_id}: {skipped.message}")

# %% [markdown]
# The six limb leads are two measurements in disguise: II = I + III (Einthoven), and aVR, aVL and aVF follow
# (Goldberger). How well do the recordings obey? The signal-to-noise ratio (SNR) says it in decibels: at 40 dB a lead is off
# by one part in a hundred of its amplitude. The paper's Table 1 finds 40 to 50 dB and more.

# %%
from ecgscan_lab.evaluate import limb_law_snr

law_snr = limb_law_snr(cohort.signals_mv)
law_snr[["median_db", "q25_db", "q75_db", "n_records"]].round(1)

# %% [markdown]
# ## 2. Pages
#
# Paper moves at 25 mm/s and a millivolt is 10 mm high. The clinical page shows 2.5 s of each lead in three rows, and ten
# seconds of lead II below, the rhythm strip. So eleven leads of twelve hide three quarters of what was recorded.

# %%
from ecgscan_lab import draw_page
from ecgscan_lab.plots.ecg import plot_page, plot_pages

image = draw_page(record, dpi=110)
show(plot_page(image))

# %% [markdown]
# The network sees a more compact page, and every time a record comes round its page looks a little different: colour and
# strength of the grid, width of the pen, place of the rows; where records are few, also the moment at which it begins. Two
# records, one a column, as three passes over the data see them:

# %%
import numpy as np

from ecgscan_lab.batch import draw_images

two = cohort.indices("train")[:2]
passes = [draw_images(cohort, two, recipe.plan(), seed=seed, epoch=epoch).numpy() for epoch in range(3)]
show(plot_pages(list(np.concatenate(passes).transpose(0, 2, 3, 1)), columns=2))

# %% [markdown]
# ## 3. Words
#
# Reports are the second modality. A record without a report gets one written from its labels; those of the synthetic records
# are all made that way. A frozen sentence encoder turns each text into a vector; it is never trained here.

# %%
from ecgscan_lab.data.reports import texts_of
from ecgscan_lab.encoders.text import text_tower

texts = texts_of(cohort, seed=seed)
distinct, text_ids = np.unique(texts, return_inverse=True)
tower = text_tower(recipe.text_tower)
text_features = tower.encode_text(list(distinct))[text_ids]
print(f"{tower.name}: {len(texts)} texts, {len(distinct)} distinct, {text_features.shape[1]} dimensions")
del tower  # 90 MB, wanted again in section 8 only
pd.Series(texts).value_counts().head(5).rename("records").to_frame()

# %% [markdown]
# ## 4. The signal teacher
#
# Signals are the third. In the paper their encoder is D-BETA, a published one that was trained on a large archive and is
# frozen; it *teaches*, since pages are drawn to where it puts their signals. Ours is small and trained here, on the training
# patients only: it fills in masked stretches of signal and matches signals with their texts. Then it is frozen, too.

# %%
from ecgscan_lab.batch import FrozenFeatures
from ecgscan_lab.nb.progress import live_losses
from ecgscan_lab.train.teacher import encode_signals, fit_teacher

on_step = live_losses(recipe.teacher_steps, "signal teacher")
teacher, teacher_history = fit_teacher(cohort, text_features, recipe, seed, on_step)
frozen = FrozenFeatures(encode_signals(teacher, cohort.signals_mv), text_features, text_ids)

# %% [markdown]
# ## 5. The objective
#
# The vectors of a page, its signal and its report should point the same way. Two losses ask for it: a contrastive loss, by
# which a page picks its own report out of the batch (Eq. 1), and the **volume** of the parallelepiped that the three unit
# vectors span (Eq. 2-4), $V = \sqrt{|\det G|}$, small when they lie close together. $G$ holds their dot products; with $a, b, c$
# the three cosines, $\det G = 1 + 2abc - a^2 - b^2 - c^2$. Here is that by hand, for one triple:

# %%
import torch

from ecgscan_lab.losses.gram import gram_volume

three = torch.nn.functional.normalize(torch.randn(3, 256, generator=torch.Generator().manual_seed(seed)), dim=1)
a, b, c = three[0] @ three[1], three[0] @ three[2], three[1] @ three[2]
by_hand = (1 + 2 * a * b * c - a**2 - b**2 - c**2).sqrt()
assert torch.allclose(gram_volume(*three.split(1))[0, 0], by_hand, atol=1e-4)
print(f"volume of three random directions: {by_hand:.3f}")

# %% [markdown]
# A third part decodes the twelve leads from the page (Eq. 5) and holds them to the limb-lead laws (Eq. 6-7). In all
# (Eq. 8-9): $L = 0.1\,L_{ctr} + 0.05\,L_{gram} + 1.0\,(L_{mse} + 0.1\,L_{rule})$. Before training, every part is where
# chance puts it: the contrastive and the Gram loss near the logarithm of the batch size, which is what guessing costs.

# %%
from ecgscan_lab.batch import make_batch
from ecgscan_lab.losses import objective
from ecgscan_lab.train.loop import build_model, pretrain

untrained = build_model(recipe, text_features.shape[1], cohort.signals_mv.shape[-1], seed).eval()
batch = make_batch(cohort, frozen, cohort.indices("train")[: recipe.batch_size], recipe.size)
with torch.no_grad():
    loss = objective(untrained(batch), recipe.weights)
pd.Series({name: float(part) for name, part in loss.parts.items()} | {"total": float(loss.total)}).round(4).to_frame("loss")

# %% [markdown]
# ## 6. Pretraining
#
# The loop can be read in a sitting: `ecgscan_lab/train/loop.py`. The weights with the lowest validation loss are kept; if you
# interrupt the cell, the latest ones are kept, too. The objective has the paper's weights; a small tower, pages of this size,
# batch, rate and minutes in place of hours on a GPU are ours. In `quick`, for up to 2,000 training records, three of our
# cures are on as well: no tanh before the shared space, each signal in units of its own deviation, and a decoder that reads
# the page column by column. `04_pretraining` sets recipes side by side.

# %%
on_step = live_losses(recipe.steps, "pretraining")
run = pretrain(cohort, frozen, recipe, out / "checkpoints", seed=seed, on_step=on_step)
print(f"best at step {run.best_step + 1}; weights in {run.checkpoint.name}, {run.checkpoint.stat().st_size / 1e6:.1f} MB")

# %%
from ecgscan_lab.plots.training import plot_history

show(plot_history(run.history, parts=("total", "contrastive", "gram", "mse", "rule", "violation")))

# %% [markdown]
# ## 7. Linear probe
#
# Freeze the image tower, fit a logistic regression on its features, and rank the pages of the test patients. Beside it stand
# four rivals: the same tower with random weights, raw pixels, the same tower trained **with labels** of the first task for about
# as long (the other tasks borrow its features), and the teacher, which sees the signal itself.

# %%
from ecgscan_lab.baselines.pixels import pixel_features
from ecgscan_lab.baselines.supervised import fit_supervised
from ecgscan_lab.evaluate.features import embed_pages

on_step = live_losses(recipe.supervised_steps, "trained with labels")
supervised = fit_supervised(cohort, task, recipe, seed=seed, on_step=on_step)
features = {
    "pretrained": embed_pages(run.model.tower, cohort, recipe.size),
    "random_init": embed_pages(untrained.tower, cohort, recipe.size),
    "raw_pixels": pixel_features(cohort, recipe.size, cell=(recipe.size[0] // 24, recipe.size[1] // 28)),
    "supervised": embed_pages(supervised, cohort, recipe.size),
    "signal_teacher": frozen.signal,
}

# %%
from ecgscan_lab.evaluate.judgement import probe_encoders, side_by_side
from ecgscan_lab.plots.comparison import plot_auroc_bars

probes = probe_encoders(features, cohort, n_bootstrap=recipe.n_bootstrap, seed=seed)
rows = [{"label": n.replace("_", " "), "group": t, **r.as_dict()} for t, by in probes.items() for n, r in by.items()]
show(plot_auroc_bars(rows, title="Linear probe on held-out patients"))

# %% [markdown]
# **AUROC** is the chance that a page with a finding gets a higher score than one without: 50 is guessing, 100 a perfect
# ranking. Each dot is its mean over the labels that can be judged (*macro*), each line a 95 % interval over patients. Where two
# intervals are apart, the difference is hardly luck; where they overlap, `07_loss_lab` has a sharper test.
#
# ## 8. Zero-shot
#
# Now without fitting anything: project the same features into the shared space, embed a few sentences for each diagnosis, and
# see which pages lie closest to them.

# %%
from ecgscan_lab.evaluate.judgement import zero_shot_tasks

embeddings = run.model.project_images(features["pretrained"])
tower = text_tower(recipe.text_tower)
zero_shots = zero_shot_tasks(run.model, embeddings, tower, cohort, n_bootstrap=recipe.n_bootstrap, seed=seed)
rows = [{"label": t, **r.as_dict()} for t, r in zero_shots.items()]
show(plot_auroc_bars(rows, title="Zero-shot on held-out patients"))

# %%
from ecgscan_lab.plots.comparison import plot_per_class

per_class = {"linear probe": probes[task]["pretrained"].per_class, "zero-shot": zero_shots[task].per_class}
show(plot_per_class(per_class, title=f"{task}, label by label"))

# %% [markdown]
# Retrieval asks the same of single records: among all test records, does a page find its own text, and its own signal?
# *Recall@10* is how often the right one is among the ten nearest. Any text with the same words counts as its own, so that
# chance is higher there than for signals.

# %%
from ecgscan_lab.evaluate import retrieval

test = cohort.indices("test")
found = {
    "text": retrieval(embeddings[test], run.model.project_texts(text_features[test]), text_ids=text_ids[test]),
    "signal": retrieval(embeddings[test], frozen.signal[test]),
}
recall = {f"page to {k}": {f"recall@{n}, %": v for n, v in r.recall_image_to_other.items()} for k, r in found.items()}
pd.DataFrame(recall).round(1)

# %% [markdown]
# ## 9. Back to millivolts
#
# The paper's decoder draws ten seconds of twelve leads from one vector, and has 86 million parameters and 50,000 steps to learn
# where each beat is; ours would still draw a flat line (an SNR of 0 dB) after minutes. So each of its queries also reads the
# column of the page's first feature map that shows its moment (in `quick`, for up to 2,000 training records). What the page
# shows it begins to read, slow waves before narrow ones; what the page hides it must guess.

# %%
from ecgscan_lab.evaluate import reconstruction_error
from ecgscan_lab.plots.ecg import plot_reconstruction
from ecgscan_lab.render import PageSpec, visible_samples

shown = test[:256]
decoded_mv = embed_pages(run.model.reconstruct, cohort, recipe.size, indices=shown)
visible = visible_samples(PageSpec.compact(), cohort.fs_hz, cohort.signals_mv.shape[-1])
errors = reconstruction_error(cohort.signals_mv[shown], decoded_mv, visible)
show(plot_reconstruction(cohort.signals_mv[shown[0]], decoded_mv[0], cohort.fs_hz, visible))
errors.query("lead in ('all leads', 'I', 'II', 'V1', 'V5')").round(3)

# %% [markdown]
# ## 10. A map of what was learned
#
# The first two principal components of the test pages' features: the flat view that keeps most of their spread. Pages that
# are neighbours here look alike to the network; `06_embeddings` says how far such a map can be trusted.

# %%
from ecgscan_lab.plots.embedding import pca_2d, plot_embedding

view = pca_2d(features["pretrained"][test], seed=seed)
first = ["".join(cohort.records[i].labels.get(task, ("none",))[:1]) or "none" for i in test]
classes = [name for name in cohort.tasks[task] if name in first][:7]
kept = np.isin(first, classes)
show(plot_embedding(view.points[kept], np.array(first)[kept], classes, view.explained_percent, title="Test pages"))

# %% [markdown]
# ## 11. The record of this run
#
# Everything that this run used and found goes into one file: a number without its data, recipe and seed cannot be checked.

# %%
from ecgscan_lab.nb.results import write_results

results = {
    "title": "ECG-Scan tour", "data": data.partition(":")[0], "profile": profile, "seed": seed,
    "records": {s: len(cohort.indices(s)) for s in ("train", "val", "test")},
    "data_sha256": cohort.data_sha256, "text_tower": tower.name,
    "linear_probe": side_by_side(probes, "pretrained"),
    "zero_shot": {t: r.as_dict() for t, r in zero_shots.items()},
    "retrieval": {k: r.as_dict() for k, r in found.items()},
    "reconstruction": errors.to_dict("records"), "limb_law_snr": law_snr.reset_index().to_dict("records"),
    "repairs": dict(cohort.repairs), "skipped_records": [vars(s) for s in cohort.skipped],
    "recipe": recipe.as_dict(),
}  # fmt: skip
print("wrote", write_results(out / "results.json", results).name)

# %% [markdown]
# The figures of this run. `ecgscan-lab notebooks sweep 00 --grid seed=0,1,2` runs the notebook once for each seed, and puts
# them into one table.

# %%
from ecgscan_lab.nb.results import record_result

record_result(
    probe_auroc_percent=probes[task]["pretrained"].macro_auroc,
    zero_shot_auroc_percent=zero_shots[task].macro_auroc,
    page_to_text_recall_at_10_percent=found["text"].recall_image_to_other[10],
)

# %% [markdown]
# ## Check yourself
#
# Four questions. Where this notebook is live, choose a letter below each; anywhere else, put your letters in place of the
# question marks in the cell that follows and run it.

# %%
from ecgscan_lab.nb.quizzes import check_quiz, quiz

quiz("00")

# %%
check_quiz("00", "?", "?", "?", "?")

# %% [markdown]
# ## What to take away
#
# - A page is geometry: 25 mm a second and 10 mm a millivolt turn a signal into a picture, and back.
# - An image encoder can learn to diagnose from pages, signals and what reports say (here they were written from labels). What
#   labels of the first task would add is roughly the gap to the tower that was trained with them.
# - Intervals over patients, a random encoder and raw pixels beside every number keep one honest.
#
# **Limits.** Clean pages only; a small teacher; minutes of training; reports written from labels (all of the synthetic
# ones, many of PTB-XL's), which tell the encoder something that a hospital's reports would not. Not for clinical use.
#
# **References.** Pham et al. (2026), *Learning ECG Image Representations via Dual Physiological-Aware Alignments*, arXiv
# 2604.01526: Eq. 1 contrastive, Eq. 2-4 Gram volume, Eq. 5 reconstruction, Eq. 6-7 lead laws, Eq. 8-9 total. Cicchetti
# et al. (2024), *Gramian Multimodal Representation Learning and Alignment*, arXiv 2412.11959. Wagner et al. (2020),
# *PTB-XL, a large publicly available electrocardiography dataset*.
#
# **Next**: [01_rendering](01_rendering.ipynb), where millivolts become ink.
