# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The loss lab: from an idea to a verdict
#
# **Is your loss better than the paper's, or only luckier?**
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/ecgscan-lab/ecgscan_lab/blob/main/notebooks/07_loss_lab.ipynb)
# [![Launch Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/ecgscan-lab/ecgscan_lab/main?urlpath=lab/tree/notebooks/07_loss_lab.ipynb)
#
# | | |
# |---|---|
# | **Time and memory** | `quick`: 3 to 5 minutes and about 1.4 GB on two cores, the first time; `smoke`: half a minute; an hour to work through |
# | **You will learn to** | *write* a loss in five lines, *check* it before it costs you a night, *compare* it fairly with others |
# | **You need** | notebook 02 or its take-aways, a little PyTorch; no GPU, no download, no cardiology |
# | **The code** | every loss by name: [registry.py](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/ecgscan_lab/losses/registry.py), [tested](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/tests/losses/test_registry.py); Eq. 1: [contrastive.py](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/ecgscan_lab/losses/contrastive.py), [tested](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/tests/losses/test_contrastive.py) |
#
# ECG-Scan (arXiv 2604.01526) aligns page, signal and report by a contrastive loss (Eq. 1) and a volume (Eq. 2-4). You may
# have a better idea. This notebook takes it from five lines to a table that says what it changed, and what it did not.
# Equation numbers are the paper's.

# %%
import sys

if "google.colab" in sys.modules:
    # %pip install -q "ecgscan-lab[notebooks,text] @ git+https://github.com/ecgscan-lab/ecgscan_lab"
    pass

from ecgscan_lab.nb.setup import setup_notebook

setup_notebook()

# %% tags=["parameters"]
profile = "quick"  # "smoke" for a test run, "full" for more records and a longer frozen tower
data = "synthetic"  # or "ptbxl:FOLDER", or "cohort:FOLDER" for your own records
seed = 0
out = "ecgscan-loss-lab"

# %% [markdown]
# ## 1. What a loss sees
#
# Any function of `Features` that returns one number is a loss here. `Features` holds a batch as three tables with one row
# a record, before normalisation, and the temperatures, which multiply. A model with a decoder adds its reconstruction.

# %%
import pandas as pd

from ecgscan_lab.losses.trial import draw_features

features = draw_features(seed, batch=6, dim=8)
sizes = {name: [list(getattr(value, "shape", ()))] for name, value in vars(features).items() if value is not None}
pd.DataFrame(sizes, index=["shape"]).T

# %% [markdown]
# Here is an idea. A volume lets the image lie *anywhere* in the plane of report and signal. Ask for more: it should lie in
# the **middle** between them. Five lines:

# %%
import torch
from torch.nn.functional import cross_entropy, normalize


def middle(features):
    image, text, signal = (normalize(rows) for rows in (features.image, features.text, features.signal))
    logits = features.logit_scale * image @ normalize(text + signal).T
    here = torch.arange(len(image), device=image.device)
    return (cross_entropy(logits, here) + cross_entropy(logits.T, here)) / 2


middle(features)

# %% [markdown]
# ## 2. Before it trains
#
# A loss that is fine on Monday's batch can be NaN on Tuesday's. `check_loss` tries it where losses break: embeddings that
# coincide, duplicates, dead rows, huge and tiny scales, half precision, a batch of one. The library's own losses are
# tested by the same contract.

# %%
from ecgscan_lab.losses import check_loss

check_loss(middle)

# %% [markdown]
# *Required* is what training needs. *Good to know* is what the loss can and cannot see. Now the paper's volume (Eq. 4) as it was
# published; the library keeps a guarded one beside it:

# %%
report = check_loss("gram", reference="gram")
report

# %% [markdown]
# Two of its lines matter below. When embeddings coincide, the gradient is NaN; and a modality may turn into its opposite at
# no cost. The first ends a run, and you notice. The second ends nothing: keep an eye on it.

# %%
assert not report.ok
assert report["finite at collapse"].holds is report["tells z from -z"].holds is False
assert check_loss("gram").ok
assert check_loss(middle).ok

# %% [markdown]
# ### Exercise 07.1
#
# This loss is the mean angle between image and report, and it is broken. Take out the line that raises, run
# `check_loss(angle_loss)`, read why, and mend the loss without changing its value on ordinary features.
#
# <details><summary>Hint 1</summary>
#
# `check_loss` says where it fails. What is the slope of acos at a cosine of 1, where image and report coincide?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# It is infinite at 1 and at -1. Keep the cosine a little inside with `clamp`, by less than anyone would notice.
#
# </details>

# %% tags=["exercise"]
def angle_loss(features):
    raise NotImplementedError("exercise 07.1: mend the two lines below")
    cosine = (normalize(features.image) * normalize(features.text)).sum(1)
    return torch.acos(cosine).mean()

# %%
from ecgscan_lab.nb.exercises import check_exercise

check_exercise("07.1", angle_loss)

# %% tags=["solution"]
def angle_loss(features):
    cosine = (normalize(features.image) * normalize(features.text)).sum(1)
    return torch.acos(cosine.clamp(-1 + 1e-6, 1 - 1e-6)).mean()

# %% [markdown]
# ## 3. A world of points
#
# The lowest rung of the ladder takes a second. Hidden places on a sphere, in four clusters, are seen by three modalities: the
# signal is the place with a little noise, the report says the cluster and its half, the page is a bent view in 18
# dimensions. Two maps into three dimensions, each a linear layer and a tanh as in the paper, are trained, by five losses
# (*pairwise* is the mean of three contrastive losses, one for each pair of modalities):

# %%
from ecgscan_lab import compare_losses
from ecgscan_lab.losses import as_feature_loss

losses = {
    "contrastive": "contrastive",
    "volume": "gram",
    "signed plane": as_feature_loss("gram", kind="signed_plane_distance"),
    "pairwise": "pairwise",
    "middle": middle,
}
log = f"{out}/comparisons.jsonl"
toy = compare_losses(losses, "toy", seeds=range(seed, seed + {"smoke": 3}.get(profile, 6)), log=log)

# %% [markdown]
# Where do held-out pages land, and where their signals? The oval is the whole sphere, flattened; colours are clusters.

# %%
from ecgscan_lab.compare import toy_embeddings
from ecgscan_lab.plots.differences import plot_sphere
from ecgscan_lab.plots.figure import show

panels = {}
for name, loss in losses.items():
    embedded, cases = toy_embeddings(loss, seed=seed)
    test = cases.split == "test"
    panels[name] = embedded.image[test], embedded.signal[test]
show(plot_sphere(panels, cases.targets[test].argmax(1), title="The same world, five losses"))

# %% [markdown]
# *Contrastive* never sees the signal, so its lines are long: page and report agree in a frame of their own. *Volume* brings
# some clusters home and sends others to the **far side** of the sphere: that is the opposite, which a volume cannot tell
# from the right place. The losses that hold a cosine between page and signal have short lines.
#
# ## 4. The verdict
#
# All five start from the same weights and see the same batches, seed by seed. So a difference is taken seed by seed, and
# what a lucky start does to both cancels. Dots are mean differences from the baseline, lines their 95 % intervals.

# %%
from ecgscan_lab.plots.differences import plot_comparison

show(plot_comparison(toy))

# %% [markdown]
# A hollow dot is **no clear difference**: the line covers zero, and anything you say about it is a guess. More seeds make
# lines shorter; more adjectives do not.
#
# ### Exercise 07.2
#
# Write that interval for the mean of paired differences, one a seed (an array). Three seeds make it wide: Student's t is 4.3
# then, not 1.96.
#
# <details><summary>Hint 1</summary>
#
# The mean has a standard error: the standard deviation of the differences over the root of their number. With few
# seeds, divide by n - 1 in the deviation.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `scipy.stats.t.ppf(0.975, n - 1)` standard errors to either side of the mean, with `std(ddof=1)`.
#
# </details>

# %% tags=["exercise"]
def interval(differences):
    raise NotImplementedError("exercise 07.2: return low and high")

# %%
check_exercise("07.2", interval)

# %% tags=["solution"]
def interval(differences):
    from scipy.stats import t

    n = len(differences)
    reach = t.ppf(0.975, n - 1) * differences.std(ddof=1) / n**0.5
    return differences.mean() - reach, differences.mean() + reach

# %% [markdown]
# ## 5. Real features
#
# The next rung trains the paper's two projections, nothing else, on features of frozen towers: seconds a loss. The frozen
# image tower has learned to predict the signal's and the report's features by least squares. That contrasts no pairs and
# measures no volume, so it favours none of the five. It takes a minute, once; the features are kept in the folder `out`.

# %%
from ecgscan_lab.compare import rung_for

heads = compare_losses(losses, rung_for("heads", profile), data=data, log=log, cache=f"{out}/features", say=print)
heads

# %% [markdown]
# The table holds everything: the mean over seeds, and below it the difference from the baseline with its interval and what
# may be said about it. Read *page finds signal* first.

# %%
show(plot_comparison(heads, ["text_median_rank", "signal_median_rank", "signal_recall_at_10",
                             "probe_auroc", "zero_shot_auroc", "modality_gap"]))  # fmt: skip

# %% [markdown]
# Wide lines for `volume`? Look at its runs one by one. Where does a page's own signal stand among all test signals
# (median rank, 1 is best; one column a seed)?

# %%
heads.by_seed("signal_median_rank").round(0)

# %% [markdown]
# In the quick profile on synthetic records, `volume` alone puts a page's own signal, one of 413, behind where chance would
# put it (207) from most starts, near the end from some: not lost, but close to **last**. Pages have turned their backs on their
# signals, which costs a volume nothing, and which `check_loss` had announced.
# On PTB-XL the start decided: rank 23 of 2,186 from one seed, 2,167 from two others. The paper's contrastive term prevents
# it, and the signed kind needs no help. The probe sees none of it: a linear classifier does not care about a sign. **A figure
# that cannot see a fault is no evidence against it.**
#
# And the idea of section 1? `middle` finds signals nearly as well as `pairwise` does, and reports as badly as a volume does.
# Nothing in it asks page and report to agree once the signal has drawn the page along. A negative result, and it is kept.
#
# Take another baseline. Which of the five is different from `middle`, or from one of your own?

# %%
from ecgscan_lab.nb.widgets import choice, interact_figure


def against(baseline):
    return plot_comparison(heads.against(baseline))


interact_figure(against, baseline=choice(list(losses), "middle", "baseline"))

# %% [markdown]
# ## 6. What an idea does not do
#
# A second idea. The table above has a *modality gap*: the centres of pages and of reports lie apart. Close it:

# %%
def closed(features, weight=1.0):
    gap = normalize(features.image).mean(0) - normalize(features.text).mean(0)
    return as_feature_loss("contrastive")(features) + weight * gap.square().sum()


ideas = {"contrastive": "contrastive", "closed by 1": closed, "closed by 10": as_feature_loss(closed, weight=10.0)}
gap = compare_losses(ideas, rung_for("heads", profile), data=data, log=log, cache=f"{out}/features")
show(plot_comparison(gap, ["modality_gap", "zero_shot_auroc", "text_recall_at_10", "text_median_rank", "probe_auroc", "effective_rank"]))

# %% [markdown]
# In the quick profile the gap closes, and zero-shot gains 3 points by weight 1 and 7 by weight 10. Is the loss better, then? A
# page finds its report no better, and by weight 10 its rank is worse; for the probe there is no clear difference. On PTB-XL
# zero-shot gained 2.1 [1.4, 2.7] and 4.7 [3.3, 6.1] points, and recall@10 of the report (how often it is among the ten
# nearest) *lost* 0.9 and 2.5. An effect, at a price: that is a result one can use, and "better" would have been the wrong word.
#
# Now forget the intervals. What would a single seed have told you about the probe (AUROC in percent; one column a seed)?

# %%
gap.by_seed("probe_auroc").round(2)

# %% [markdown]
# Every seed has a winner, and a paper could be written about it. Report the interval, and report the comparisons that came to
# nothing: they are in the log, so that nobody has to try them again.

# %%
from ecgscan_lab.compare import read_comparisons

kept = read_comparisons(log)
rows = [{"rung": c.rung, "data": c.data, "against": c.baseline, "losses": ", ".join(c.losses[1:]), "seeds": len(c.seeds)}
        for c in kept]  # fmt: skip
pd.DataFrame(rows).tail(5)

# %% [markdown]
# ## 7. A loss that leaves the numbers
#
# The lab takes broken losses, too. This one takes the logarithm of a cosine, and forgets that a cosine can be negative.

# %%
def log_cosine(features):
    return -(normalize(features.image) * normalize(features.text)).sum(1).log().mean()


broken = compare_losses({"contrastive": "contrastive", "log cosine": log_cosine}, "toy", log=None)
broken.notes

# %% [markdown]
# No traceback: the runs that went well are judged, the others are named with their step. The published volume
# (`reference="gram"`) can be compared the same way.
#
# ### Exercise 07.3
#
# Your turn. Write a loss on all three modalities that passes `check_loss` and tells z from -z. Then put it in `losses` above
# and run sections 3 to 5 again.
#
# <details><summary>Hint 1</summary>
#
# A volume is the same for z and -z, a cosine is not. Which pairs of modalities should have a high one?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Take the cross-entropy of `logit_scale * a @ b.T` for each of the three pairs of unit rows, and add them up.
#
# </details>

# %% tags=["exercise"]
def my_loss(features):
    raise NotImplementedError("exercise 07.3: a loss on image, text and signal that knows front from back")

# %%
check_exercise("07.3", my_loss)

# %% tags=["solution"]
def my_loss(features):
    image, text, signal = (normalize(rows) for rows in (features.image, features.text, features.signal))
    here = torch.arange(len(image), device=image.device)
    pairs = ((image, text), (image, signal), (text, signal))
    return sum(cross_entropy(features.logit_scale * a @ b.T, here) for a, b in pairs) / 3

# %% [markdown]
# ## 8. Up the ladder
#
# | rung | trains | takes, for five losses and three seeds on two cores |
# |---|---|---|
# | `toy` | both projections, on points | a second or two |
# | `heads` | both projections on frozen features | under two minutes, features included |
# | `quick` | a small image tower, end to end | under 20 minutes for two losses |
# | `full` | the full recipe | a GPU |
#
# `compare_losses(losses, "quick", data="ptbxl:FOLDER")` is the same call. A rung only tells you what is worth the next one:
# frozen features cannot show what a loss does to the tower.

# %% [markdown]
# The figures of this run. `ecgscan-lab notebooks sweep 07 --grid seed=0,1,2` runs the notebook once for each seed, and puts them into
# one table.

# %%
from ecgscan_lab.nb.results import record_result

means = heads.table()["signal_median_rank"]
gained = {(d.loss, d.metric): d.difference for d in gap.found}
record_result(
    volume_signal_median_rank=means["volume"],
    middle_signal_median_rank=means["middle"],
    gap_closed_zero_shot_gain_points=gained["closed by 10", "zero_shot_auroc"],
)

# %% [markdown]
# ## Check yourself
#
# Four questions. Where this notebook is live, choose a letter below each; anywhere else, put your letters in place of the
# question marks in the cell that follows and run it.

# %%
from ecgscan_lab.nb.quizzes import check_quiz, quiz

quiz("07")

# %%
check_quiz("07", "?", "?", "?", "?")

# %% [markdown]
# ## What to take away
#
# - A loss is five lines; what makes it fit for training is a contract, and the contract can be run.
# - Same starts, same batches, paired differences, an interval. Where it covers zero, say "no clear difference".
# - Look at figures that *can* see the fault you fear: a probe is blind to a sign, retrieval is not.
# - Of twenty intervals one excludes zero by luck. Decide what you look for before you look.
#
# **Limits.** One learning rate for all losses; a loss that needs another is undersold. Three seeds. `middle` has no label
# smoothing, the library's losses have 0.1. Synthetic records are cleaner than real ones, and written reports repeat.
# Not for clinical use.
#
# **References.** Pham et al. (2026), *Learning ECG Image Representations via Dual Physiological-Aware Alignments*, arXiv
# 2604.01526: Eq. 1 contrastive, Eq. 2-4 volume and Gram loss. Wang and Isola (2020), arXiv 2005.10242: alignment and uniformity.
# Liang et al. (2022), arXiv 2203.02053: modality gap. Garrido et al. (2023), arXiv 2210.02885: effective rank. The idea called
# *middle* is this notebook's own.
#
# **Next**: [08_read_a_paper_ecg](08_read_a_paper_ecg.ipynb), where a photograph goes in and findings come out.
