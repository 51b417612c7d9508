# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Embeddings: what a map shows, and what it invents
#
# **When two pages lie side by side in a picture, are they alike?**
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/ecgscan-lab/ecgscan_lab/blob/main/notebooks/06_embeddings.ipynb)
# [![Launch Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/ecgscan-lab/ecgscan_lab/main?urlpath=lab/tree/notebooks/06_embeddings.ipynb)
#
# | | |
# |---|---|
# | **Time and memory** | `quick`: one to three minutes and about 1.3 GB, much of it UMAP compiling itself; `smoke`: half a minute |
# | **You will learn to** | *map* a space of embeddings, *measure* what the picture kept, *ask* which ink moved a decision |
# | **You need** | cosines, an idea of an embedding; no GPU, no download, no cardiology |
# | **The code** | neighbours: [neighbours.py](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/ecgscan_lab/evaluate/neighbours.py), [tested](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/tests/evaluate/test_neighbours.py); saliency: [saliency.py](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/ecgscan_lab/evaluate/saliency.py), [tested](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/tests/evaluate/test_saliency.py) |
#
# ECG-Scan (arXiv 2604.01526) shows its space as a t-SNE picture, Figure 4: tight clusters, well apart. Such a picture
# persuades. This notebook draws it for weights that come with the package, and asks what may be read from it.

# %%
import sys

if "google.colab" in sys.modules:
    # %pip install -q "ecgscan-lab[notebooks,text] @ git+https://github.com/ecgscan-lab/ecgscan_lab"
    pass

from ecgscan_lab.nb.setup import setup_notebook

setup_notebook()

# %% tags=["parameters"]
profile = "quick"  # "smoke" for a test run, "full" for more records
data = "synthetic"  # or "ptbxl:FOLDER", or "cohort:FOLDER" for your own records
seed = 0

# %% [markdown]
# ## 1. One model, three kinds of things
#
# The model puts pages and reports into one space. Records with exactly one class of the first task are kept.

# %%
import numpy as np

from ecgscan_lab import load_cohort
from ecgscan_lab.evaluate.features import embed_pages
from ecgscan_lab.nb.maps import map_settings
from ecgscan_lab.train.building import build_model, load_model
from ecgscan_lab.train.shipped import shipped_checkpoint

settings = map_settings(profile)
model, facts = load_model(shipped_checkpoint())
cohort = load_cohort(data, n_records=settings.n_records)
task = next(iter(cohort.tasks))
single = np.flatnonzero(cohort.targets(task).sum(axis=1) == 1)
labels = np.array(cohort.tasks[task])[cohort.targets(task)[single].argmax(axis=1)]
size = tuple(facts["recipe"]["size"])
pages = embed_pages(model.image_embeddings, cohort, size, batch_size=16)
print(f"{len(single)} of {len(cohort)} records, {pages.shape[1]} dimensions, pages of {size[1]} by {size[0]} px")

# %% [markdown]
# The reports go through the same text tower as in training, then through the model's projection.

# %%
from ecgscan_lab.data.reports import class_prompts, texts_of
from ecgscan_lab.encoders.text import text_tower

texts = texts_of(cohort, seed=seed)
prompts = class_prompts(cohort.tasks[task], cohort.descriptions)
reader = text_tower(facts["recipe"]["text_tower"])
reports = model.project_texts(reader.encode_text(texts))
classes = {name: model.project_texts(reader.encode_text(list(phrases))).mean(axis=0) for name, phrases in prompts.items()}
del reader

# %% [markdown]
# The signal is another matter. In the paper pages learn to follow a frozen signal *teacher*, and a checkpoint does not hold
# it. So a small signal tower is taught here to follow the pages, the paper's way reversed. That it lies near them on
# training records is taught, and proves nothing. Look at test records only. (In `smoke` it is taught so briefly that all signals
# lie on one spot.)

# %%
from ecgscan_lab.encoders.signal_features import encode_signals
from ecgscan_lab.train.signal_reader import fit_signal_reader

tower = fit_signal_reader(cohort, pages, steps=settings.reader_steps, seed=seed)
signals = encode_signals(tower, cohort.signals_mv)

# %% [markdown]
# ## 2. Three pictures of one space
#
# PCA turns the space and takes its two widest directions. t-SNE and UMAP bend it, so that neighbours stay neighbours.

# %%
from ecgscan_lab.plots.figure import show
from ecgscan_lab.plots.maps import map_2d, plot_maps

maps = {method: map_2d(pages[single], method, seed) for method in settings.methods}
show(plot_maps(maps, labels, "The same pages, laid out in different ways"))
print(settings.left_out or "All three methods are here.")

# %% [markdown]
# The same numbers went in. What did each keep? *Trustworthiness* is 1 when no neighbour on the map is invented; *overlap* is
# the share of true neighbours that the map shows; *same label* counts those of the ten nearest that have
# the record's own class.

# %%
import pandas as pd

from ecgscan_lab.evaluate.neighbours import chance_share, map_trustworthiness, neighbour_overlap, same_label_share

space = pages[single]
rows = [{"where": "full space", "same label (%)": same_label_share(space, labels)}]
for name, points in maps.items():
    same = same_label_share(points, labels, metric="euclidean")
    kept_share, trust = neighbour_overlap(space, points), map_trustworthiness(space, points)
    rows.append({"where": name, "same label (%)": same, "overlap (%)": kept_share, "trustworthiness": trust})
rows.append({"where": "drawn by lot", "same label (%)": chance_share(labels)})
pd.DataFrame(rows).set_index("where").map(lambda value: "–" if np.isnan(value) else f"{value:.3g}")

# %% [markdown]
# Read the last row first: neighbours drawn by lot agree, too. What a space is worth is the distance from there.
#
# **What a bent map does not say.** Distances *between* clusters, their sizes and their densities mean nothing: both methods
# choose them. Empty space is drawn where there is none. And the picture of UMAP depends on the order in which a processor adds
# numbers, so that your machine draws another one than mine from the same seed. Compare the numbers, not the pictures.
#
# ### Exercise 06.1
#
# Of each row find the nearest other row by cosine. In how many cases has it the row's own label? Return a **percentage**, from 0
# to 100. (The table above asks the ten nearest.)
#
# <details><summary>Hint 1</summary>
#
# Make every row a unit vector; then one matrix product holds all cosines.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A row is its own nearest neighbour: put minus infinity on the diagonal before `argmax`.
#
# </details>

# %% tags=["exercise"]
def agreement(rows, labels):
    raise NotImplementedError("exercise 06.1: percent of rows whose nearest other row has the same label")

# %%
from ecgscan_lab.nb.exercises import check_exercise

check_exercise("06.1", agreement)

# %% tags=["solution"]
def agreement(rows, labels):
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    return 100 * (labels[cosine.argmax(axis=1)] == labels).mean()

# %% [markdown]
# ### Exercise 06.2
#
# And if the neighbour were drawn by lot among the other rows? Percent again.
#
# <details><summary>Hint 1</summary>
#
# Of all pairs of different rows, how many have the same label?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# There are n (n - 1) ordered pairs. `labels[:, None] == labels` also counts each row with itself.
#
# </details>

# %% tags=["exercise"]
def by_chance(labels):
    raise NotImplementedError("exercise 06.2: the agreement that luck gives, percent")

# %%
check_exercise("06.2", by_chance)

# %% tags=["solution"]
def by_chance(labels):
    n = len(labels)
    return 100 * ((labels[:, None] == labels).sum() - n) / (n * (n - 1))

# %% [markdown]
# ### Exercise 06.3
#
# Two integer tables hold the neighbours of each row, in the full space and on a map. How many percent of the first did the map
# keep?
#
# <details><summary>Hint 1</summary>
#
# Go row by row: which of the neighbours in the full space are among those on the map?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# `np.isin(a, b).mean()` is the share of one row. Where in a row a neighbour stands does not matter.
#
# </details>

# %% tags=["exercise"]
def kept(full, flat):
    raise NotImplementedError("exercise 06.3: the neighbours that the map kept, percent")

# %%
check_exercise("06.3", kept)

# %% tags=["solution"]
def kept(full, flat):
    return 100 * np.mean([np.isin(a, b).mean() for a, b in zip(full, flat, strict=True)])

# %% [markdown]
# ## 3. Figure 4, before and after
#
# The paper's Figure 4 is t-SNE, too. It compares encoders, and lacks one: the *same* tower with random weights.

# %%
from ecgscan_lab.train.recipe import Recipe

fresh = build_model(Recipe.from_dict(facts["recipe"]), facts["d_text"], facts["n_samples"], seed).eval()
before = embed_pages(fresh.image_embeddings, cohort, size, indices=single, batch_size=16)
both = {"random weights": before, "trained": space}
show(plot_maps({name: map_2d(table, "t-SNE", seed) for name, table in both.items()}, labels, "Before and after training"))
for name, table in both.items():
    print(f"{name}: {same_label_share(table, labels):.1f} % of neighbours have the record's own class")

# %% [markdown]
# Compare both with the neighbours by lot of section 2. Random weights may lie at it or above it, since pages are drawn alike
# and a place on them means something. What training added is the difference between the two.
#
# ## 4. Neighbours, as pages
#
# A number says that neighbours agree; a look says in what. First a page, then the three nearest to it in the full space:

# %%
from ecgscan_lab.batch import draw_images
from ecgscan_lab.evaluate.neighbours import neighbour_indices
from ecgscan_lab.plots.ecg import plot_pages

near = neighbour_indices(space, k=3)
shown = [0, *near[0]]
pictures = draw_images(cohort, single[shown], size).numpy()
show(plot_pages(list(pictures), [f"{'asked' if k == 0 else f'nearest {k}'}: {labels[i]}" for k, i in enumerate(shown)]))

# %% [markdown]
# A class has no average page, but it has a middle: the page most alike to all others of its class. Five of them on the map:

# %%
from ecgscan_lab.evaluate.neighbours import class_medoids
from ecgscan_lab.plots.maps import plot_map_pages

flat = maps["t-SNE"] / np.abs(maps["t-SNE"]).max()
middles = class_medoids(space, labels)
drawn = draw_images(cohort, single[list(middles.values())], size).numpy().transpose(0, 2, 3, 1)
show(plot_map_pages(flat, labels, middles, list(drawn)))

# %% [markdown]
# ## 5. One record, three places
#
# Page, report and signal of the test records on one map. Choose a record: how large is its triangle?

# %%
from ecgscan_lab.nb.widgets import interact_figure, slider
from ecgscan_lab.plots.maps import Places, plot_linked

test = cohort.indices("test")
parts = [table[test] / np.linalg.norm(table[test], axis=1, keepdims=True) for table in (pages, reports, signals)]
places = Places(*np.split(map_2d(np.concatenate(parts), "PCA"), 3))


def linked(record):
    page = draw_images(cohort, test[[record]], size).numpy()[0].transpose(1, 2, 0)
    return plot_linked(places, record, page, texts[test[record]], f"test record {record}")


interact_figure(linked, record=slider(0, len(test) - 1, 0, 1, "test record"))

# %% [markdown]
# The same map again, one that answers: whatever point of a record you touch, all three of its places are joined.

# %%
from ecgscan_lab.nb.map_panel import explore_map
from ecgscan_lab.plots.live_maps import linked_chart


def test_page(record):
    return draw_images(cohort, test[[record]], size).numpy()[0], f"test record {record}: {texts[test[record]]}"


said = [texts[i] for i in test]
explore_map(linked_chart(places, "Page, report and signal of test records (PCA)", said=said), test_page)

# %% [markdown]
# Pages, reports and signals may lie apart as whole clouds, the *modality gap*. Retrieval survives it, since
# it ranks within a cloud; so a wide triangle is no proof of a bad match.
#
# ## 6. Who lies here?
#
# Take a circle out of the t-SNE map: which classes are in it, and what does their mean beat look like?

# %%
from ecgscan_lab.plots.maps import plot_selection, within

recorded = cohort.signals_mv[single]


def selected(x, y, radius):
    return plot_selection(recorded, cohort.fs_hz, within(flat, x, y, radius), labels, flat)


place = {name: slider(-1.0, 1.0, 0.0, 0.05, f"{name} of the circle (share of the map)") for name in ("x", "y")}
interact_figure(selected, **place, radius=slider(0.05, 1.5, 0.5, 0.05, "radius (share of the map)"))

# %% [markdown]
# A circle is a poor tool. In a live notebook, draw a lasso around whatever looks like a cluster, and point at its members.
# Does the picture's cluster have a beat of its own?

# %%
from ecgscan_lab.plots.live_maps import map_chart


def its_page(record):
    words = f"record {record}, {labels[record]}: {texts[single[record]]}"
    return draw_images(cohort, single[[record]], size).numpy()[0], words


def lassoed(records):
    return plot_selection(recorded, cohort.fs_hz, records, labels, flat)


explore_map(map_chart(flat, labels, "Pages, laid out by t-SNE", said=[texts[i] for i in single]), its_page, lassoed)

# %% [markdown]
# ## 7. Which ink moved the decision?
#
# Take the record of a class that is nearest to it, draw its page again without a lead, and see how far the cosine falls. Blue
# spoke for the class, red against it.

# %%
import torch
from torch.nn.functional import normalize

from ecgscan_lab.evaluate.saliency import beat_spans, occlusion, score_without
from ecgscan_lab.leads import LEADS
from ecgscan_lab.plots.maps import plot_occlusion

name = str(next((label for label in labels if label != cohort.tasks[task][0]), labels[0]))
direction = normalize(torch.from_numpy(classes[name]), dim=0)
of_class = single[labels == name]
asked = int(of_class[(normalize(torch.from_numpy(pages[of_class])) @ direction).argmax()])


def score(images):
    return normalize(model.cpu().image_embeddings(images)) @ direction


leads = occlusion(score, cohort.records[asked], size)
show(plot_occlusion(leads, f"What speaks for {name}? By lead"))

# %%
spans = beat_spans(cohort.records[asked])
beats = occlusion(score, cohort.records[asked], size, spans)
show(plot_occlusion(beats, f"What speaks for {name}? By lead and beat"))

# %% [markdown]
# Most cells are white, because the page shows each lead but II for 2.5 s only. And where on the page is that? Pale stretches
# moved little beside the strongest.

# %%
from ecgscan_lab.plots.page_saliency import plot_page_saliency

show(plot_page_saliency(beats, cohort.records[asked], spans, f"What speaks for {name}? On the page"))

# %% [markdown]
# Is that more than a picture? On several test records, leave out *at once* the three leads that spoke loudest for the class,
# and compare the fall with that of triples drawn by lot. The bars left
# out one lead at a time; the fall of three together need not be their sum.

# %%
rng = np.random.default_rng(seed)
falls = []
for i in [int(i) for i in test if i in single][:8]:
    direction = normalize(torch.from_numpy(classes[str(labels[single == i][0])]), dim=0)
    drops = occlusion(score, cohort.records[i], size)[:, 0]
    top = [LEADS[k] for k in drops.argsort()[-3:]]
    drawn = [list(rng.choice(LEADS, 3, replace=False)) for _ in range(10)]
    base, loudest, *by_lot = score_without(score, cohort.records[i], [[], top, *drawn], size)
    falls.append((base - loudest, base - np.mean(by_lot)))
pd.DataFrame(falls, columns=["loudest three", "three by lot"]).describe().loc[["mean", "min", "max"]].round(3)

# %% [markdown]
# Where the first column is not clearly above the second, the bars above were no explanation. Mind the sign: a lead that speaks
# *against* the class raises the score when it goes, and cancels another.
#
# A page without a lead is a page that nobody has seen in training; part of what falls is surprise. And what moved *this model*
# is no statement about the heart.

# %% [markdown]
# The figures of this run. `ecgscan-lab notebooks sweep 06 --grid seed=0,1,2` runs the notebook once for each seed, and puts them into
# one table.

# %%
from ecgscan_lab.nb.results import record_result

record_result(
    same_label_percent=same_label_share(space, labels),
    same_label_by_lot_percent=chance_share(labels),
    tsne_trustworthiness=map_trustworthiness(space, maps["t-SNE"]),
)

# %% [markdown]
# ## Check yourself
#
# Four questions. Where this notebook is live, choose a letter below each; anywhere else, put your letters in place of the
# question marks in the cell that follows and run it.

# %%
from ecgscan_lab.nb.quizzes import check_quiz, quiz

quiz("06")

# %%
check_quiz("06", "?", "?", "?", "?")

# %% [markdown]
# ## What to take away
#
# - A bent map shows neighbours and nothing else. Put overlap and trustworthiness beside it.
# - Agreement of neighbours starts at chance, or where random weights stand, not at zero.
# - Occlusion says what a model used. Check it against leads drawn by lot.
#
# **Limits.** The weights were trained with PTB-XL's labels in words beside its reports: that neighbours share a class is in part
# taught. On synthetic records they are far from what they were trained on. The signal's place is that of a reader taught here,
# not of the paper's teacher. One record's saliency is an anecdote. Not for clinical use.
#
# **References.** Pham et al. (2026), *Learning ECG Image Representations via Dual Physiological-Aware Alignments*, arXiv
# 2604.01526: Figure 4. McInnes et al. (2018), arXiv 1802.03426: UMAP. Van der Maaten and Hinton (2008): t-SNE. Venna and Kaski
# (2001): trustworthiness. Liang et al. (2022), arXiv 2203.02053: modality gap. Zeiler and Fergus (2014), arXiv 1311.2901.
#
# **Next**: [07_loss_lab](07_loss_lab.ipynb), where a difference between two losses has to earn its interval.
