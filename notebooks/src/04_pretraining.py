# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Pretraining: a recipe, a run, and how it goes wrong
#
# **How do you train the image encoder, know beforehand what it costs, and see early that a run is failing?**
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/ecgscan-lab/ecgscan_lab/blob/main/notebooks/04_pretraining.ipynb)
# [![Launch Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/ecgscan-lab/ecgscan_lab/main?urlpath=lab/tree/notebooks/04_pretraining.ipynb)
#
# | | |
# |---|---|
# | **Time and memory** | `quick`: 2 to 4 minutes and about 1.4 GB on two cores; `smoke`: a minute; an hour to work through |
# | **You will learn to** | *plan* a run before it starts, *read* its losses as they fall, *find* what went wrong in one that failed |
# | **You need** | a little PyTorch, and `00_tour`; no GPU, no download, no cardiology |
# | **The code** | the loop: [loop.py](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/ecgscan_lab/train/loop.py), [tested](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/tests/train/test_loop.py); the objective, Eq. 8-9: [objective.py](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/ecgscan_lab/losses/objective.py), [tested](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/tests/losses/test_objective.py) |
#
# The same call trains a tiny model on a laptop and the paper's on a cluster; only the recipe differs. The method is ECG-Scan
# (arXiv 2604.01526), and equation numbers are the paper's.

# %%
import sys

if "google.colab" in sys.modules:
    # %pip install -q "ecgscan-lab[notebooks,towers] @ git+https://github.com/ecgscan-lab/ecgscan_lab"
    pass

from ecgscan_lab.nb.setup import setup_notebook

setup_notebook(threads=1)  # a tiny model learns on one core while another draws its pages

# %% tags=["parameters"]
data = "synthetic"  # or "ptbxl:FOLDER", or "cohort:FOLDER" for your own records
n_records = 1000  # None reads all there are; "smoke" reads 240
profile = "quick"  # "smoke" for a test run, "full" for a longer one on a GPU
seed = 0
out = "ecgscan-pretraining"

# %% [markdown]
# ## 1. A recipe is every choice
#
# Towers (the encoders), pages, losses, steps, precision: all that a run depends on stands in one frozen object. It is printed,
# saved with every checkpoint, and compared when a run is resumed. On a GPU this notebook trains the profile's recipe,
# elsewhere a tiny one.

# %%
import torch

from ecgscan_lab.data import load_cohort
from ecgscan_lab.train.recipes import lesson, paper, paper_plus

cohort = load_cohort(data, n_records={"smoke": 240}.get(profile, n_records), seed=seed)
recipe = lesson(profile, len(cohort.indices("train")), gpu=torch.cuda.is_available())
recipe

# %% [markdown]
# The ° marks what the paper leaves open: there our default is a guess, and yours may be better. Where does this recipe differ
# from the paper's, and the paper's from `paper_plus()`, which adds our cures?

# %%
from ecgscan_lab.train.recipe import compare_recipes

compare_recipes(recipe, paper(), paper_plus())

# %% [markdown]
# Read the last two columns. Two of the changes of `paper_plus` have a notebook of their own, the signed distance
# (`02_gram_volume`) and eight decoded leads (`03_lead_laws`); what the others are for stands in `help(paper_plus)`.
# Batch and steps stay, so that one choice at a time can be taken back with `dataclasses.replace(paper_plus(), ...)`.
#
# ## 2. Is it the paper's model?
#
# The paper states sizes; parameters follow from them. On torch's *meta* device tensors have shapes but no memory, so the
# model of 395 million parameters is built and counted on any laptop.

# %%
from dataclasses import replace

from ecgscan_lab.encoders.parameters import compare_with_paper
from ecgscan_lab.train.building import build_model

with torch.device("meta"):
    big = build_model(replace(paper(), image_weights=None), d_text=768, n_samples=5000, seed=seed)
compare_with_paper(big)

# %% [markdown]
# Of the rows that this model has, all but one agree to the last parameter; the decoder has one norm more, 1,536 numbers. The
# paper does not say which layers its adapters sit on, so three readings are listed. **LoRA** leaves each matrix $W$ as it is
# and learns a thin correction: $W x + \frac{\alpha}{r} B A x$, with $A$ of $r$ rows and $B$ of $r$ columns. What does the
# choice of layers cost? The first two readings, and `out_proj` alone:

# %%
import pandas as pd

from ecgscan_lab.encoders.lora import add_lora, lora_report
from ecgscan_lab.encoders.towers import image_tower

reports = {"attention": lora_report(big.tower)}  # what the model above has
for targets in ("attention+mlp", "out_proj"):
    with torch.device("meta"):
        reports[targets] = add_lora(image_tower("clip-vit-l-14-336"), rank=16, alpha=32, targets=targets)
rows = {
    name: {"layers": report.n_modules, "trainable": report.n_parameters, "share, %": report.n_parameters / 3.035e6}
    for name, report in reports.items()
}
pd.DataFrame(rows).T.round(2)

# %% [markdown]
# Of the tower's parameters about one in a hundred trains; decoder and projections train whole. In a tower whose attention is
# *fused* into one kernel, `out_proj` is never called as a layer, and an adapter there would learn nothing without a word;
# `add_lora` sends a trial gradient through each adapter and refuses.
#
# ### Exercise 04.1
#
# Many recipes adapt only queries and values. CLIP ViT-L/14 has 24 blocks, 1,024 wide. How many numbers train at rank 16 on
# `q_proj` and `v_proj`?
#
# <details><summary>Hint 1</summary>
#
# An adapter on a matrix of $d_{out} \times d_{in}$ learns $A$ with $r$ rows of $d_{in}$, and $B$ with $r$ columns of
# $d_{out}$. How many such matrices are there?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Each of the $24 \cdot 2$ matrices gets $16 \cdot (1024 + 1024)$ numbers.
#
# </details>

# %% tags=["exercise"]
adapter_numbers = ...  # exercise 04.1: your number here

# %%
from ecgscan_lab.nb.exercises import check_exercise

check_exercise("04.1", adapter_numbers)

# %% tags=["solution"]
adapter_numbers = 24 * 2 * 16 * (1024 + 1024)

# %% [markdown]
# ## 3. What will it cost?
#
# Text tower and signal teacher are frozen, so their features are computed once and kept on disk, named by what they were made
# from. Then a few steps are rehearsed with a model that is thrown away, and multiplied.

# %%
from pathlib import Path

from ecgscan_lab.train.estimate import estimate_run
from ecgscan_lab.train.frozen_features import prepare_frozen

out = Path(out)
frozen = prepare_frozen(cohort, recipe, out / "frozen", seed=seed)
print(*estimate_run(cohort, frozen, recipe, seed=seed).lines(), sep="\n")

# %% [markdown]
# Read it before you start. Budget: does it see each record often enough, and not a thousand times? Memory: does the peak fit?
# Time: can you wait? Waiting for pages: does the machine draw as fast as it learns?
#
# ## 4. The run
#
# `judge` measures whatever you like at every validation; here the **effective rank**, the number of directions that the
# embeddings of validation pages really use. Every row of the log also goes to a file that any spreadsheet reads.

# %%
from ecgscan_lab.evaluate import effective_rank
from ecgscan_lab.evaluate.features import embed_pages
from ecgscan_lab.nb.progress import live_losses
from ecgscan_lab.train.loop import pretrain
from ecgscan_lab.train.tracking import csv_tracker


def rank_of_pages(model, step, records=cohort):
    pages = embed_pages(model.image_embeddings, records, recipe.size, indices=records.indices("val")[:256])
    return {"effective_rank": effective_rank(pages)}


on_step, log = live_losses(recipe.steps, "pretraining"), csv_tracker(out / "log.csv")
run = pretrain(
    cohort, frozen, recipe, out / "run", seed=seed, on_step=on_step, judge=rank_of_pages, trackers=[log]
)

# %% [markdown]
# While it runs, look at three things. The **reconstruction** (`mse`, Eq. 5) falls first and fast: a flat line is learned in ten
# steps, beats take thousands. The **contrastive** loss (Eq. 1) starts at $\ln B$, where guessing is, and stays there for a
# while: embeddings must differ before they can be told apart. The **Gram** loss (Eq. 4) follows later.

# %%
from ecgscan_lab.plots.figure import show
from ecgscan_lab.plots.training import plot_history

shown = ("total", "contrastive_above_floor", "gram_above_floor", "mse_visible", "mse_hidden", "effective_rank")
floors = {"contrastive_above_floor": 0.0, "gram_above_floor": 0.0}
show(plot_history(run.history, shown, floors, window=5))

# %% [markdown]
# - *Above floor*: label smoothing keeps both alignment losses above a floor (`02_gram_volume`), which is taken off here.
#   Zero is perfect at any batch size.
# - *Visible and hidden*: what the page shows can be read off it; three quarters of most leads it does not show, and they must
#   be guessed.
# - *Validation* pages are plain and nothing is masked, so validation may lie below training. When it turns up while
#   training falls, the run has begun to learn its records by heart; the weights kept are those of the lowest point.

# %%
val = [row for row in run.history if row["split"] == "val"]
first, best = val[0], min(val, key=lambda row: row["total"])
assert best["step"] == run.best_step
for name in ("total", "contrastive_above_floor", "gram_above_floor", "mse", "effective_rank"):
    print(f"{name:<24} {first[name]:8.3f} at the first validation, {best[name]:8.3f} at the best, step {best['step'] + 1}")

# %% [markdown]
# ### Where does a step's time go?

# %%
from ecgscan_lab.plots.training import plot_step_times

show(plot_step_times(run.history, title="This run"))

# %% [markdown]
# Pages are drawn ahead, in a thread or in `workers`, while the model learns; the dashed line is that work. As long as it stays
# below the time of a step, nobody waits. *Other* is what lies between: numbers that are read and logged, and validations.
#
# ### Exercise 04.2
#
# The learning rate rises in a straight line over the first tenth of the steps, then falls as half a cosine to zero (section
# 5.2 of the paper). Write it. The warm-up has `math.ceil(warmup_share * steps)` steps; step 0 already learns, and the last of
# the warm-up has the peak.
#
# <details><summary>Hint 1</summary>
#
# In the warm-up the rate is proportional to how many steps have been taken, this one included: `step + 1`. Afterwards
# count from the end of the warm-up.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Falling: `peak * 0.5 * (1 + cos(pi * done))`, with `done = (step - warmup) / (steps - warmup)`, 0 at first and nearly
# 1 at last.
#
# </details>

# %% tags=["exercise"]
def rate_at(step, steps, peak, warmup_share):
    raise NotImplementedError("exercise 04.2: return the learning rate of a step")

# %%
check_exercise("04.2", rate_at)

# %% tags=["solution"]
def rate_at(step, steps, peak, warmup_share):
    import math

    warmup = math.ceil(warmup_share * steps)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))

# %% [markdown]
# ## 5. Too large for the memory?
#
# The usual way out is to send a batch through in parts and to add up their gradients. For a contrastive loss that is **another
# loss**: each part is compared with itself alone. Take one batch of 32 in four parts of 8:

# %%
from ecgscan_lab.batch import make_batch, split_batch
from ecgscan_lab.losses import contrastive_loss

model = run.model.cpu().eval()
trained = [*model.tower.parameters(), *model.project_contrastive.parameters()]
batch = make_batch(cohort, frozen, cohort.indices("train")[:32], recipe.size)
pieces = split_batch(batch, 4)


def page_report_loss(features):
    return contrastive_loss(features.image, features.text.detach(), 14.3)


def gradient(loss):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, trained)])


whole, alone = page_report_loss(model(batch)), [page_report_loss(model(piece)) for piece in pieces]
exact, naive = gradient(whole), gradient(sum(alone) / 4)

# %% [markdown]
# What is large are the activations; the features are small. So: send all parts through without a graph and keep the features;
# ask the loss of *all* features for a gradient by each; send the parts through again, each with its share of that gradient.

# %%
with torch.no_grad():
    features = torch.cat([model.image_embeddings(piece.images) for piece in pieces])
features.requires_grad_()
texts = model.project_text(batch.text_features).detach()
cached_loss = contrastive_loss(features, texts, 14.3)
(wanted,) = torch.autograd.grad(cached_loss, features)
cached = torch.zeros_like(exact)
for piece, share in zip(pieces, wanted.split(8), strict=True):
    cached += gradient((model.image_embeddings(piece.images) * share).sum())

off = {"parts alone": (sum(alone) / 4, naive), "cached features": (cached_loss, cached)}
rows = {"whole batch": {"loss": whole.item(), "gradient off by, %": 0.0}}
for name, (loss, found) in off.items():
    rows[name] = {"loss": loss.item(), "gradient off by, %": 100 * ((found - exact).norm() / exact.norm()).item()}
pd.DataFrame(rows).T.round(3)

# %% [markdown]
# Parts alone have an easier task, a lower loss, and another gradient. With cached features all three are those of the whole
# batch. The library does this for any loss of the features when a recipe has a `micro_batch`, and must come to the same:

# %%
from ecgscan_lab.train.accumulate import backward
from ecgscan_lab.types import LossOutput

model.zero_grad()
scored = backward(
    lambda part, mask, k: model(part), batch, None, lambda f, b: LossOutput(page_report_loss(f), {}), model=model, parts=4
)
library = torch.cat([parameter.grad.flatten() for parameter in trained])
torch.testing.assert_close(scored.total, cached_loss.detach(), rtol=1e-4, atol=1e-5)
assert (library - cached).norm() < 1e-3 * cached.norm() < 0.1 * (naive - exact).norm()

# %% [markdown]
# One reservation. The tiny tower has batch norms, which in training see a part and not the whole batch; above, it was set to
# `eval`. The paper's tower has layer norms and no such trouble. The price is a second forward pass: about a third more time.
#
# ## 6. Stop anywhere, go on
#
# What a step sees, masks and drops is a function of (seed, step), and everything else lies in `last.safetensors`. So a run that
# was stopped goes on to the very weights it would have had. Let us press Ctrl-C at step 11 of a short run:

# %%
import signal

few = load_cohort("synthetic", n_records=240, seed=seed)
short = replace(lesson("smoke", 0), name="short", validations=4)
few_frozen = prepare_frozen(few, short, out / "frozen", seed=seed)


def judge(model, step):
    return rank_of_pages(model, step, few)


unbroken = pretrain(few, few_frozen, short, out / "unbroken", seed=seed, judge=judge)


# %%
def press_ctrl_c(row):
    if row["step"] == 10:
        signal.raise_signal(signal.SIGINT)


try:
    pretrain(few, few_frozen, short, out / "stopped", seed=seed, on_step=press_ctrl_c)
except KeyboardInterrupt:
    print("stopped; left behind:", sorted(path.name for path in (out / "stopped").glob("*.safetensors")))

# %%
from ecgscan_lab.train.checkpoint import load_checkpoint

resumed = pretrain(few, few_frozen, short, out / "stopped", seed=seed, resume=True)
ours, theirs = (load_checkpoint(out / name / "last.safetensors")[0] for name in ("stopped", "unbroken"))
largest = max((ours[name].double() - theirs[name].double()).abs().max().item() for name in theirs)
print(f"{len(ours)} tensors of weights and optimiser, largest difference {largest}")
assert ours.keys() == theirs.keys()
assert largest == 0 or torch.cuda.is_available()  # a GPU may add up in another order

# %% [markdown]
# The optimiser's moments and counts are among the tensors. A recipe that was changed halfway is refused, so that nobody gets a
# run that is half one thing and half another:

# %%
from ecgscan_lab.errors import CheckpointError

try:
    pretrain(few, few_frozen, replace(short, lr=1e-3, mask_share=0.5), out / "stopped", seed=seed, resume=True)
except CheckpointError as error:
    print(error)

# %% [markdown]
# ## 7. Runs that went wrong
#
# Four faults, planted. For each: what you see first, and what settles it.
#
# **The rate is a million times too high**: someone typed `4e3` for `4e-3`. A step whose loss or gradient is not finite is
# skipped and counted, and its records are written down. After `max_bad_steps` of them the run ends, and says what to try:

# %%
from ecgscan_lab.errors import TrainingError

try:
    pretrain(few, few_frozen, replace(short, lr=4e3, max_bad_steps=3), out / "typo", seed=seed)
except TrainingError as error:
    print(error)

# %% [markdown]
# **Or is it the data?** The message says the same for a record that is broken. Here one record's teacher features are NaN:

# %%
from ecgscan_lab.batch import FrozenFeatures

broken = few_frozen.signal.copy()
broken[few.indices("train")[5]] = float("nan")
torn = FrozenFeatures(broken, few_frozen.text, few_frozen.text_ids)
pretrain(few, torn, replace(short, steps=32), out / "torn", seed=seed)


def suspects(folder):
    lines = pd.read_json(folder / "bad_batches.jsonl", lines=True)
    return len(lines), set.intersection(*map(set, lines["positions"]))


for name in ("typo", "torn"):
    n, common = suspects(out / name)
    print(f"{name}: {n} bad steps, records that are in all of them: {sorted(common) or 'none'}")
assert suspects(out / "torn")[1] == {few.indices("train")[5]}

# %% [markdown]
# Other records each time: the rate. One record every time: the data. That run went on without it, as it should.
#
# **The rate is a hundred times too high.** Nothing is NaN, and the total falls nicely. Look at the parts, beside the unbroken
# run:

# %%
from ecgscan_lab.plots.geometry import plot_curves

hot = pretrain(few, few_frozen, replace(short, lr=0.4), out / "hot", seed=seed, judge=judge)
found = {n: [r for r in h.history if r["split"] == "val"] for n, h in {"rate 0.004": unbroken, "rate 0.4": hot}.items()}
steps = [row["step"] + 1 for row in found["rate 0.4"]]
ranks = {name: [row["effective_rank"] for row in rows] for name, rows in found.items()}
show(plot_curves(steps, ranks, xlabel="training step", ylabel="effective rank of validation pages"))

# %%
import math

from ecgscan_lab.losses import smoothed_floor

guess = math.log(short.batch_size)
last = found["rate 0.4"][-1]["contrastive"]
print(f"contrastive loss {last:.4f}, guessing pays ln {short.batch_size} = {guess:.4f}")
assert abs(last - guess) < 0.02
assert ranks["rate 0.4"][-1] < 0.5 * ranks["rate 0.004"][-1]

# %% [markdown]
# The contrastive loss stands still *at* $\ln B$ to two decimals: every page has become nearly the same vector, and nothing is
# left to tell them apart by. That is **collapse**, and the rank shows it while the total still looks well. A healthy run may
# stand near $\ln B$ at first, too, but its pages differ in many directions.
#
# **A temperature that is stuck.** With $\tau = 1$ logits range over 2, and even a perfect encoder is far from sure:

# %%
from ecgscan_lab.losses.contrastive import symmetric_cross_entropy

rows = {}
for size in (16, 80, 2048):
    pays = {f"perfect, τ = {tau}": symmetric_cross_entropy(tau * torch.eye(size), label_smoothing=0.1).item() for tau in (1, 7, 14)}
    rows[f"B = {size}"] = {"guessing, ln B": math.log(size), **pays, "floor": smoothed_floor(size, 0.1)}
pd.DataFrame(rows).T.round(3)

# %% [markdown]
# Perfect means a cosine of 1 with its own report and 0 with all others. First column against second: a loss that will not go
# far below $\ln B$ may have a $\tau$ that is too small, so look at `model.log_logit_scale.exp()`; with smoothing, too large a
# one costs as well. Last column: **a loss of 0.76 at a batch of 80 is not a failure** but nearly the best there is, and a
# larger batch has a higher floor *and* a higher start. Compare runs only by what lies above their floors.
#
# **A starved device.** Each batch now comes from a disk that takes 0.3 s:

# %%
import time


class SlowDisk:
    def __init__(self, records):
        self.records = records

    def __getattr__(self, name):
        return getattr(self.records, name)

    def read_signals_mv(self, indices):
        time.sleep(0.3)
        return self.records.read_signals_mv(indices)


starved = pretrain(SlowDisk(few), few_frozen, replace(short, steps=12, validations=1), out / "starved", seed=seed)
show(plot_step_times(starved.history, title="A slow disk"))

# %% [markdown]
# The losses of this run are right, to the bit; only your time is gone. `live_losses` tells you while a run goes on; the title
# of this figure says how many workers would do. The other cures: records in a store (below), or clean pages drawn on the GPU.
#
# ## 8. The paper's run
#
# Four commands. The first reads MIMIC-IV-ECG once into a store (of its 800,035 recordings the paper keeps 789,511); the
# second says where the teacher's weights are, which are gated and yours to fetch; the third prints section 3's estimate and
# stops; the last trains.
#
# ```
# ecgscan-lab data prepare mimic:FOLDER STORE --fs 500 --workers 16
# ecgscan-lab data show d-beta
# ecgscan-lab pretrain --data store:STORE --recipe paper --teacher-weights FILE --out RUN --workers 14 --estimate-only
# ecgscan-lab pretrain --data store:STORE --recipe paper --teacher-weights FILE --out RUN --workers 14 --set compile_model=true
# ```
#
# Stopped by the queue after a night? The last command again with `--resume`. Two nodes of four GPUs: on each of them,
#
# ```
# torchrun --nnodes 2 --nproc_per_node 4 --rdzv_backend c10d --rdzv_endpoint HOST:29500 \
#     -m ecgscan_lab.cli pretrain --data store:STORE --recipe paper --teacher-weights FILE --out RUN --workers 4 --processes 8
# ```
#
# The batch of 80 is that of *all* processes: 8 GPUs see 10 pages each, and every page the reports of all 80. `--processes 8`
# refuses to start when a node is missing, in place of training another recipe without a word.
#
# How long? An image needs 1.13 TFLOP a step, forward and back. A chip does not reach its matrix rate, so measure:

# %%
measured = pd.DataFrame(
    {"ms a step": [1.13e12 * 80 / 769e12 * 1000, 426, 318, 479], "memory, GB": ["–", 66, 51, "–"]},
    index=["floor, H200 at 769 TFLOP/s", "one H200 as it is", "one H200, compile_model", "one H100 as it is"],
)
measured["images/s"] = 80_000 / measured["ms a step"]
measured["hours for 50,000 steps"] = 50_000 * measured["ms a step"] / 3.6e6
measured.round(1)

# %% [markdown]
# Source: `benchmarks/training.py`, 80 pages a step. Compiling fuses what lies between the matrix products, and a third of the
# time above the floor comes back. Fourteen drawing processes gave 1,407 to 1,858 pages a second, and 251 are needed: if this
# run starves, then on its disk.
#
# ### Exercise 04.3
#
# A colleague's chip does 769 TFLOP/s on large matrices, and her run reaches 40 % of that. How many hours do 50,000 steps of
# 80 pages take?
#
# <details><summary>Hint 1</summary>
#
# Section 8 says what an image costs: 1.13 TFLOP a step, forward and back. Count the images of the whole run.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# $80 \cdot 50{,}000$ images of $1.13 \cdot 10^{12}$ operations, over $0.4 \cdot 769 \cdot 10^{12}$ of them a second.
# Then hours.
#
# </details>

# %% tags=["exercise"]
hours = ...  # exercise 04.3: your number here

# %%
check_exercise("04.3", hours)

# %% tags=["solution"]
hours = 1.13e12 * 80 * 50_000 / (0.4 * 769e12) / 3600

# %% [markdown]
# The figures of this run. `ecgscan-lab notebooks sweep 04 --grid seed=0,1,2` runs the notebook once for each seed, and puts
# them into one table.

# %%
from ecgscan_lab.nb.results import record_result

record_result(
    contrastive_above_floor_nats=best["contrastive_above_floor"],
    gram_above_floor_nats=best["gram_above_floor"],
    effective_rank=best["effective_rank"],
)

# %% [markdown]
# ## Check yourself
#
# Four questions. Where this notebook is live, choose a letter below each; anywhere else, put your letters in place of the
# question marks in the cell that follows and run it.

# %%
from ecgscan_lab.nb.quizzes import check_quiz, quiz

quiz("04")

# %%
check_quiz("04", "?", "?", "?", "?")

# %% [markdown]
# ## What to take away
#
# - A recipe is every choice. Print it, diff it, and count its parameters before you call it the paper's.
# - Rehearse before you run: steps, memory, hours, and whether pages come fast enough.
# - Judge alignment losses above their floor and against $\ln B$, and watch the effective rank beside them.
# - Negatives live in the batch: accumulate through cached features, or you train another loss.
# - A stopped run goes on to the same weights; a changed one is refused.
#
# **Limits.** A tiny tower, synthetic records, minutes: the losses behave as the large run's do, the numbers do not. The times
# are of single machines, one run each. The paper's result needs gated data and weights, and is not reproduced here.
# Not for clinical use.
#
# **References.** Pham et al. (2026), *Learning ECG Image Representations via Dual Physiological-Aware Alignments*, arXiv
# 2604.01526: Eq. 1 contrastive, Eq. 4 Gram, Eq. 5 reconstruction, Eq. 8-9 total, section 5.2 schedule. Hu et al. (2021),
# *LoRA*, arXiv 2106.09685. Gao et al. (2021), gradient caching, arXiv 2101.06983. Garrido et al. (2023), effective rank,
# arXiv 2210.02885.
#
# **Next**: [05_probing](05_probing.ipynb), where the encoder is judged.
