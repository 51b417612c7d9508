# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Read a paper ECG
#
# **What can be told from a photograph of an ECG, and what can not?**
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/ecgscan-lab/ecgscan_lab/blob/main/notebooks/08_read_a_paper_ecg.ipynb)
# [![Launch Binder](https://mybinder.org/badge_logo.svg)](https://mybinder.org/v2/gh/ecgscan-lab/ecgscan_lab/main?urlpath=lab/tree/notebooks/08_read_a_paper_ecg.ipynb)
#
# | | |
# |---|---|
# | **Time and memory** | about half a minute of one slow core, less than 1.2 GB |
# | **You will learn to** | *find* a page on a photograph, *read* its leads back, *abstain* where a finding cannot be told |
# | **You need** | notebooks 01 and 05; no GPU, no download |
# | **The code** | findings: [findings.py](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/ecgscan_lab/evaluate/findings.py), [tested](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/tests/evaluate/test_findings.py); reading a photograph: [photographed.py](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/ecgscan_lab/render/reading/photographed.py), [tested](https://github.com/ecgscan-lab/ecgscan_lab/blob/main/tests/render/test_photographed.py) |
#
# **Not for clinical use.** A score below is a lesson in doubt, never a diagnosis.

# %%
import sys

if "google.colab" in sys.modules:
    # %pip install -q "ecgscan-lab[notebooks,text] @ git+https://github.com/ecgscan-lab/ecgscan_lab"
    pass

from ecgscan_lab.nb.setup import setup_notebook

setup_notebook()

# %% tags=["parameters"]
profile = "quick"  # "smoke" holds the page to fewer reference pages; "full" does as "quick"
picture = ""  # or a photograph of your own, "my_photo.jpg"; no names of patients, please
alpha = 0.1  # how often a label may be ruled out wrongly
seed = 0

# %% [markdown]
# ## 1. The picture
#
# Have you one of your own? Choose it here, then run the cells *below* this one; or name it by the parameter `picture`. A
# file that is no picture, and a picture that is no page, are told so.

# %%
from ecgscan_lab import draw_page, fit_page, synthetic_records
from ecgscan_lab.nb.uploads import ask_for_picture
from ecgscan_lab.plots.photographs import plot_overlay

upload = ask_for_picture(lambda pixels: plot_overlay(pixels, fit_page(pixels)))

# %% [markdown]
# Without a picture of yours, a synthetic recording is printed and photographed, so that the truth is known.

# %%
from ecgscan_lab.evaluate.picture_files import decode_picture, read_file
from ecgscan_lab.plots.figure import show

own = decode_picture(read_file(picture), picture) if picture else upload.pixels
record = synthetic_records(1, seed=2, fs_hz=100.0)[0] if own is None else None
pixels = draw_page(record, dpi=150, degrade="photo", seed=seed).pixels if own is None else own
fit = fit_page(pixels)
print(f"{fit.page.layout}, confidence {fit.confidence:.2f}, crossings within {fit.residual_mm:.2f} mm", *fit.flags)
show(plot_overlay(pixels, fit, record))

# %% [markdown]
# Blue is the page model, laid over the photograph. The residual says how far the crossings of the grid lie from it, the
# confidence how well the print agrees; below 0.5 nothing will be judged.
#
# ## 2. The leads
#
# The sheet is laid flat, and the way through each stretch that crosses least white paper is the trace.

# %%
from ecgscan_lab.plots.paper_reading import plot_read_leads
from ecgscan_lab.render.reading.photographed import read_photograph

read = read_photograph(pixels, fit)
show(plot_read_leads(read.leads_mv, read.fs_hz, None if record is None else record.signal_mv))

# %% [markdown]
# Where a line is missing the page shows nothing: a 3 x 4 page holds 2.5 s of most leads. Steep QRS complexes lose height,
# because a column of pixels is 10 ms wide. What does the lead doctor say?

# %%
from ecgscan_lab import diagnose_leads

diagnose_leads(read.leads_mv, fs_hz=read.fs_hz)

# %% [markdown]
# The doctor needs all six limb leads at once, and a 3 x 4 page never shows them so: it says that instead of guessing. But a
# law ties only three leads, and those of one column run together. Each law is tried where its own leads overlap:

# %%
import numpy as np
import pandas as pd

from ecgscan_lab.leads.partial import check_laws_in_part
from ecgscan_lab.plots.paper_reading import plot_law_check

show(plot_law_check(read.leads_mv, read.fs_hz))
pd.DataFrame([check.row() for check in check_laws_in_part(read.leads_mv, read.fs_hz)]).set_index("law")

# %% [markdown]
# The law should give zero. What is left is what reading cost: spikes where steep strokes lost height. An offset, where zero
# lines disagree, is taken off in the figure and stands in the table. *Partial* is to be taken literally: of the rest of the
# recording the page gives no account. And a law that holds does not prove the names: electrodes exchanged on the patient obey
# it, too.
#
# ## 3. Findings, beside pages of known label
#
# The leads are drawn once more as the page that the shipped encoder was trained on. A cosine to a sentence means nothing
# alone, so it is held to reference pages. How unusual is it among pages *without* the finding?
#
# ### Exercise 08.1
#
# Write that p-value. The page itself counts as one of the n + 1.
#
# <details><summary>Hint 1</summary>
#
# Under the hypothesis the page is one more of the reference pages. In how many places of the ranking could it stand?
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Count reference scores at least as high, add one for the page itself, above and below: a p-value is never 0.
#
# </details>

# %% tags=["exercise"]
def p_value(score, reference):
    raise NotImplementedError("exercise 08.1: how unusual is so high a score?")

# %%
from ecgscan_lab.nb.exercises import check_exercise

check_exercise("08.1", p_value)

# %% tags=["solution"]
def p_value(score, reference):
    return (1 + (reference >= score).sum()) / (len(reference) + 1)

# %%
from ecgscan_lab.evaluate.findings import read_paper_ecg, reference_pages

reference = reference_pages(n_records={"smoke": 120}.get(profile, 400))
found = read_paper_ecg(pixels, fit=fit, reference=reference, alpha=alpha, seed=seed)
print(f"p-value among the reference {found.p_familiar:.2f}, among its normal pages {found.p_normal:.2f}")
pd.DataFrame(found.rows())

# %%
from ecgscan_lab.plots.paper_reading import plot_findings

known, rows = reference.scores(reference.embeddings), []
for c, f in enumerate(found.findings):
    has = reference.labels[:, c] == 1
    rows.append({**f._asdict(), "without": known[~has, c], "having": known[has, c]})
show(plot_findings(rows, alpha=alpha))

# %% [markdown]
# The blue bar spans other readings of the same page, with errors of a pen's width. The rule: a page unlike all of the
# reference is not judged. Else *absent* is ruled out where even the lowest score is unusual without the finding, *present*
# where even the highest is unusual with it. And where the page is not unusual among normal ones, an abnormal finding that
# would be *seen* cannot be told from normal. The promise: of pages that come from the same source as the reference, in no
# special order (*exchangeable* with it), at most a share alpha has its true label ruled out.
#
# ### Exercise 08.2
#
# Two p-values, one for each possibility. Which of the two is ruled out?
#
# <details><summary>Hint 1</summary>
#
# A small p-value says that the page would be unusual among those of that label.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# A label is ruled out where its p-value is at most alpha. Both can be, or neither: that is what silence means.
#
# </details>

# %% tags=["exercise"]
def ruled_out(p_absent, p_present, alpha):
    raise NotImplementedError("exercise 08.2: is absent ruled out, is present ruled out?")

# %%
check_exercise("08.2", ruled_out)

# %% tags=["solution"]
def ruled_out(p_absent, p_present, alpha):
    return np.array([p_absent <= alpha, p_present <= alpha])

# %% [markdown]
# How strict should the rule be? Move alpha. A smaller one means fewer false alarms and more that cannot be told; a larger one
# calls more pages strange, too, and those are not judged.

# %%
from ecgscan_lab.evaluate.findings import DOUBTFUL, judge_leads
from ecgscan_lab.nb.widgets import interact_figure, slider


def at_alpha(alpha):
    judged = judge_leads(read, reference, alpha=alpha, seed=seed)[1]
    verdicts = ["not judged" if fit.confidence < DOUBTFUL else finding.verdict for finding in judged]
    judged_rows = [{**row, "verdict": verdict} for row, verdict in zip(rows, verdicts, strict=True)]
    return plot_findings(judged_rows, alpha=alpha)


interact_figure(at_alpha, alpha=slider(0.02, 0.5, alpha, 0.02, "alpha (share, no unit)"))

# %% [markdown]
# ### Exercise 08.3
#
# "Reference pages like it" counts among *our* pages. Carry a share over to a waiting room where the finding is rarer. `share`: of
# our reference pages with such a score, how many have the finding. `reference`: how common the finding is among all of ours;
# `prevalence`: among the new ones (all from 0 to 1). What share is to be expected there?
#
# <details><summary>Hint 1</summary>
#
# Bayes: the odds of the share, p / (1 - p), are what the score says (the likelihood ratio) times the odds of the finding among
# our pages. Divide those out, multiply by the new ones.
#
# </details>
#
# <details><summary>Hint 2</summary>
#
# Weigh both sides: share * prevalence / reference against (1 - share) * (1 - prevalence) / (1 - reference).
#
# </details>

# %% tags=["exercise"]
def elsewhere(share, reference, prevalence):
    raise NotImplementedError("exercise 08.3: the same score at another prevalence")

# %%
check_exercise("08.3", elsewhere)

# %% tags=["solution"]
def elsewhere(share, reference, prevalence):
    with_it = share * prevalence / reference
    return with_it / (with_it + (1 - share) * (1 - prevalence) / (1 - reference))

# %% [markdown]
# ## 4. What the paper does not show
#
# A 3 x 4 page leaves out 7.5 of 10 s of most leads. The encoder learned to draw twelve whole leads back from its page, so it can
# be asked for them. Four of the twelve:

# %%
from ecgscan_lab.plots.ecg import plot_reconstruction

whole_mv = reference.complete(read.leads_mv[None], read.fs_hz)[0]
known_mv = read.leads_mv if record is None else record.signal_mv
show(plot_reconstruction(known_mv, whole_mv, read.fs_hz, visible=np.isfinite(read.leads_mv)))

# %% [markdown]
# Blue is what the page shows; beside it the decoder guesses, from what a beat looks like in this lead and when the strip says
# that one comes. Look closely: heights fall short, P waves are faint, and inside the blue it is little better than outside (on
# unseen recordings 7.3 dB and 5.2 dB: a fifth and three tenths of the power are error). For what is shown, the reading of
# section 2 is better. A single odd beat that this lead does not show cannot be guessed. With a picture of your own black is
# what was read: beside the blue nobody can tell you whether the guess is right.
#
# ## 5. Failing well
#
# A sheet without a grid is no ECG page, and says so; nothing is embedded.

# %%
from ecgscan_lab import PageSpec
from ecgscan_lab.errors import PageError

example = synthetic_records(1, seed=3, fs_hz=100.0)[0]
try:
    read_paper_ecg(draw_page(example, PageSpec(grid="none"), dpi=100).pixels, reference=reference)
except PageError as error:
    print(f"{type(error).__name__}: {error}")

# %% [markdown]
# And this is what the button of section 1 says to a letter:

# %%
from ecgscan_lab.nb.uploads import answer_file

print(answer_file(b"Dear colleague, thank you for sending us this patient.").words)

# %% [markdown]
# The figures of this run. `ecgscan-lab notebooks sweep 08 --grid seed=0,1,2` runs the notebook once for each seed, and puts
# them into one table.

# %%
from ecgscan_lab.nb.results import record_result

tried = [law for law in check_laws_in_part(read.leads_mv, read.fs_hz) if not law.verdict.startswith("not tried")]
record_result(
    grid_residual_mm=fit.residual_mm,
    worst_law_residual_mv=max((law.residual_mv for law in tried), default=None),
    findings_told_count=sum(f.verdict in ("seen", "not seen") for f in found.findings),
)

# %% [markdown]
# ## Check yourself
#
# Four questions. Where this notebook is live, choose a letter below each; anywhere else, put your letters in place of the
# question marks in the cell that follows and run it.

# %%
from ecgscan_lab.nb.quizzes import check_quiz, quiz

quiz("08")

# %%
check_quiz("08", "?", "?", "?", "?")

# %% [markdown]
# ## What to take away
#
# - A photograph gives millivolts only where the page shows them, and a millimetre too far is a tenth of a millivolt. What a
#   decoder draws beside them is a guess, however much it looks like an ECG.
# - A score without reference pages is a number. Beside them it has a p-value, and often no verdict.
# - The promise on alpha holds for pages exchangeable with the reference, and for no others.
#
# **Limits.** Not for clinical use: not for diagnosis, triage or reassurance, not even as a second opinion. The default
# reference is synthetic, so that its p-values promise nothing about real people; reading errors are not part of it. Photographs
# of 12 x 1 pages and of pages without margins are often fitted wrongly. "Not seen" is not "healthy".
#
# **References.** Pham et al. (2026), arXiv 2604.01526: section 5. Vovk, Gammerman and Shafer (2005), *Algorithmic Learning in
# a Random World*: conformal prediction. Angelopoulos and Bates (2021), arXiv 2107.07511: a gentle introduction.
#
# **Next**: [00_tour](00_tour.ipynb), once more, with your own records; or back to the table of the README: what do you want to do?
