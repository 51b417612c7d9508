"""What the limb-lead laws say about six limb leads: which story is told, and how sure it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ecgscan_lab.leads.diagnosis import Finding, Repair
from ecgscan_lab.leads.hypotheses import (
    N_LIMB,
    SAME_GAIN,
    VIOLATION,
    Moments,
    Story,
    best_gains,
    best_order,
    best_order_and_gains,
    law_snr_db,
    recompute,
    snr_without_db,
    window_snr_db,
)
from ecgscan_lab.leads.names import CHEST_LEADS, LIMB_LEADS
from ecgscan_lab.leads.samples import copies_of

FloatArray = NDArray[np.float64]

CLEAR_DB = 40.0  # nothing to look for above
LAWFUL_DB = 20.0  # recordings as they are keep it in all but one of 3,000
ORDER_DB, GAIN_DB = 12.0, 15.0  # what a story must reach: orders are few, gains fit more by chance
BETTER_DB = 10.0  # what it must gain over the leads as they are
SIMPLER_DB = 6.0  # what a story may lose against a longer one
APART_DB = 3.0  # between the best order and the next, for the order to count as certain
OFFSET_SHARE = 0.15  # of the limb leads' spread; recordings as they are come to 0.03
IDENTITY = tuple(range(N_LIMB))


def law_findings(
    moments: Moments | None,
    signal: FloatArray,
    leads: tuple[str, ...],
    flat: tuple[str, ...],
    scaling: Finding | None,
    each_lead_scaled: bool,
) -> list[Finding]:
    """Findings about the six limb leads, in the order of their repair."""
    if moments is None:
        limb = tuple(lead for lead in flat if lead in LIMB_LEADS)
        found = (
            [Finding("flat", limb, "error", f"{', '.join(limb)} never move", "leave the record out")] if limb else []
        )
        return [*([scaling] if scaling else []), *found, *(_flat_chest(lead) for lead in flat if lead in CHEST_LEADS)]
    given_db = law_snr_db(moments)
    flat_limb = tuple(lead for lead in flat if lead in LIMB_LEADS)
    found = [_flat_chest(lead) for lead in flat if lead in CHEST_LEADS]
    if flat_limb:
        return [*([scaling] if scaling else []), *_flat_limb(moments, flat_limb, given_db), *found]
    if each_lead_scaled and scaling is not None:
        return [*_rescaled(moments, scaling), *found]
    found = [*([scaling] if scaling else []), *found]
    if not given_db < CLEAR_DB:
        return found
    told = _tell(moments, signal, leads, given_db)
    if not told and given_db < LAWFUL_DB:
        told = [
            Finding(
                "misfit",
                LIMB_LEADS,
                "error",
                f"the limb-lead laws hold to {given_db:.1f} dB only, and no order, sign or gain explains it",
                "read the record from its source again; to go on, project the limb leads onto the laws",
                {"limb-law SNR in dB": given_db},
            )
        ]
    return [*told, *found]


def offset_findings(moments: Moments, leads: tuple[str, ...], chest_levels: FloatArray) -> list[Finding]:
    """Constants added to leads: the moving part obeys the laws, the level does not."""
    broken = np.median(moments.mean @ VIOLATION, axis=0)
    scale = float(np.sqrt(np.mean(moments.spread**2)))
    worst = float(np.abs(broken).max())
    if not worst > OFFSET_SHARE * scale:
        return []
    patterns = [np.ones(N_LIMB), *np.eye(N_LIMB)]
    sizes = [float(broken @ p) / float(p @ VIOLATION @ p) for p in patterns]
    left = [float(np.abs(broken - size * (VIOLATION @ p)).max()) for size, p in zip(sizes, patterns, strict=True)]
    evidence = {"largest level that breaks a law": worst, "spread of the limb leads": scale}
    fix = "subtract it; where only the shape matters, subtract each lead's median"
    best = int(np.argmin(left))
    if left[0] <= 0.2 * worst:
        offset = dict.fromkeys(LIMB_LEADS, sizes[0])
        chest = [lead for lead in leads if lead in CHEST_LEADS]
        if len(chest) and np.median(np.abs(chest_levels - sizes[0])) < np.median(np.abs(chest_levels)):
            offset |= dict.fromkeys(chest, sizes[0])
        sentence = f"all limb leads carry the same offset of {sizes[0]:.3g}"
        return [Finding("offset", tuple(offset), "error", sentence, fix, evidence, Repair(offset=offset), True)]
    if left[best] <= 0.2 * worst:
        lead = LIMB_LEADS[best - 1]
        sentence = f"{lead} carries an offset of {sizes[best]:.3g}"
        repair = Repair(offset={lead: sizes[best]})
        return [Finding("offset", (lead,), "error", sentence, fix, evidence, repair, True)]
    repair = Repair(offset=dict(zip(LIMB_LEADS, broken.tolist(), strict=True)))
    sentence = "the levels of the limb leads break the laws, each in its own way"
    return [Finding("offset", LIMB_LEADS, "error", sentence, fix, evidence, repair, True)]


def burst_findings(moments: Moments, duration_s: float) -> list[Finding]:
    """Short spans in which laws break that hold elsewhere: saturation, a loose electrode."""
    snr_db = window_snr_db(moments)
    violation = np.sqrt(np.maximum(np.einsum("ij,wij->w", VIOLATION, moments.second), 0.0) / N_LIMB)
    bad = (snr_db < LAWFUL_DB) & (violation > 0.05 * np.sqrt(np.mean(moments.spread**2)))
    if not bad.any() or law_snr_db(moments) < LAWFUL_DB:
        return []
    at_s = duration_s * float(np.argmin(np.where(bad, snr_db, np.inf))) / len(bad)
    return [
        Finding(
            "burst",
            LIMB_LEADS,
            "hint",
            f"the laws break in {bad.sum()} of {len(bad)} windows and hold elsewhere: saturation or a loose contact",
            "look at the record there, or leave these seconds out",
            {"worst window begins at, in s": at_s, "limb-law SNR there in dB": float(np.nanmin(snr_db[bad]))},
        )
    ]


def _tell(moments: Moments, signal: FloatArray, leads: tuple[str, ...], given_db: float) -> list[Finding]:
    """The simplest story that explains the broken laws, or none."""
    order, next_db = best_order(moments)
    gains = best_gains(moments)
    without_db = [snr_without_db(moments, k) for k in range(N_LIMB)]
    odd = int(np.argmax(without_db))
    scores = [order.snr_db, gains.snr_db, without_db[odd]]
    both = Story(IDENTITY, np.ones(N_LIMB), float("-inf"))
    if max(scores) < max(LAWFUL_DB, given_db + BETTER_DB):
        both = best_order_and_gains(moments)
    least = max(given_db + BETTER_DB, max(*scores, both.snr_db) - SIMPLER_DB)
    if order.snr_db >= max(least, ORDER_DB):
        return [_ordered(order, given_db, order.snr_db - next_db)]
    if gains.snr_db >= max(least, GAIN_DB):
        return [_gained(gains, given_db)]
    if without_db[odd] >= max(least, GAIN_DB):
        return [_odd_one_out(odd, signal, leads, given_db, without_db[odd])]
    if both.snr_db >= max(least, LAWFUL_DB):
        moved = Story(both.take, np.ones(N_LIMB), both.snr_db)
        return [replace(_ordered(moved, given_db, 0.0), certain=False), _gained(both, given_db)]
    return []


def _ordered(story: Story, given_db: float, apart_db: float) -> Finding:
    moved = {LIMB_LEADS[i]: LIMB_LEADS[k] for i, k in enumerate(story.take) if i != k}
    turned = tuple(lead for lead, gain in zip(LIMB_LEADS, story.gain, strict=True) if gain < 0)
    parts = []
    if moved:
        names = tuple(lead for lead in LIMB_LEADS if lead in moved)
        exchanged = len(moved) == 2
        parts.append(
            f"{' and '.join(names)} are exchanged"
            if exchanged
            else "the rows are out of order: "
            + ", ".join(f"{lead} is in the row of {row}" for lead, row in moved.items())
        )
    if turned:
        parts.append(f"{' and '.join(turned)} {'is' if len(turned) == 1 else 'are'} upside down")
    others = f"; {story.alternatives} other explanations change as few leads" if story.alternatives else ""
    certain = story.alternatives == 0 and apart_db >= APART_DB
    leads = tuple(lead for lead in LIMB_LEADS if lead in moved or lead in turned)
    return Finding(
        "order" if moved else "sign",
        leads,
        "error",
        f"{', and '.join(parts)}{others}",
        ("put the rows under their own names" if moved else f"multiply {' and '.join(turned)} by -1")
        + (" and turn the sign back" if moved and turned else ""),
        {"limb-law SNR in dB": given_db, "after the repair": story.snr_db},
        Repair(take=moved, gain=dict.fromkeys(turned, -1.0)),
        certain,
    )


def _gained(story: Story, given_db: float) -> Finding:
    off = {lead: float(gain) for lead, gain in zip(LIMB_LEADS, story.gain, strict=True) if abs(gain - 1) > SAME_GAIN}
    evidence = {"limb-law SNR in dB": given_db, "after the repair": story.snr_db}
    evidence |= {f"gain that repairs {lead}": gain for lead, gain in off.items()}
    few = len(off) <= 2
    listed = ", ".join(f"{lead} is {_times(1 / gain)} too large" for lead, gain in off.items())
    return Finding(
        "gain" if few else "scaling",
        tuple(off),
        "error",
        listed if few else f"the limb leads have different gains, as after scaling lead by lead: {listed}",
        "divide by these factors" if few else "divide by these factors; they are known up to one common to all",
        evidence,
        Repair(gain=off),
        certain=few,
    )


def _odd_one_out(odd: int, signal: FloatArray, leads: tuple[str, ...], given_db: float, without_db: float) -> Finding:
    lead, row = LIMB_LEADS[odd], {name: k for k, name in enumerate(leads)}
    evidence = {"limb-law SNR in dB": given_db, "of the other five": without_db}
    copies = [leads[j] for j, _ in copies_of(signal, row[lead])]
    if copies:
        sentence = f"{lead} holds the samples of {copies[0]}, and the other limb leads contradict it"
        return Finding(
            "duplicate",
            (lead, copies[0]),
            "error",
            sentence,
            f"compute {lead} from the other limb leads",
            evidence,
            Repair(recompute=(lead,)),
            True,
        )
    limb = signal[[row[name] for name in LIMB_LEADS]]
    expected = recompute(limb, (odd,))[odd]
    for name in (name for name in leads if name in CHEST_LEADS):
        fit_db = _fit_db(signal[row[name]], expected)
        if fit_db >= LAWFUL_DB:
            return Finding(
                "order",
                (lead, name),
                "error",
                f"{lead} is in the row of {name}",
                f"exchange {lead} and {name}, after a look at what the row of {lead} holds",
                evidence | {f"{name} against what {lead} should be, in dB": fit_db},
                Repair(take={lead: name, name: lead}),
            )
    return Finding(
        "misfit",
        (lead,),
        "error",
        f"{lead} does not follow from the other five limb leads, which agree among themselves",
        f"compute {lead} from the others",
        evidence,
        Repair(recompute=(lead,)),
        True,
    )


def _rescaled(moments: Moments, scaling: Finding) -> list[Finding]:
    """Leads scaled one by one: the laws give the ratios of the limb leads back, and their order."""
    story = best_gains(moments)
    found = []
    if story.snr_db < LAWFUL_DB:
        reordered = best_order_and_gains(moments)
        if reordered.snr_db >= max(LAWFUL_DB, story.snr_db + BETTER_DB):
            moved = Story(reordered.take, np.ones(N_LIMB), reordered.snr_db)
            found = [replace(_ordered(moved, story.snr_db, 0.0), certain=False)]
            story = reordered
    if story.snr_db < LAWFUL_DB:
        return [scaling]
    gains = dict(zip(LIMB_LEADS, story.gain.tolist(), strict=True))
    evidence = {**scaling.evidence, **{f"relative gain of {lead}": gain for lead, gain in gains.items()}}
    return [*found, replace(scaling, evidence=evidence, repair=Repair(gain=gains))]


def _flat_limb(moments: Moments, flat: tuple[str, ...], given_db: float) -> list[Finding]:
    out = tuple(LIMB_LEADS.index(lead) for lead in flat)
    others_db = snr_without_db(moments, out) if len(out) <= N_LIMB - 3 else float("nan")
    lawful = given_db >= LAWFUL_DB
    repair = Repair(recompute=flat) if others_db >= LAWFUL_DB and not lawful else None
    if lawful:
        why, fix = ", and the laws hold with it so: two electrodes are at one potential", "check the electrodes"
    elif repair:
        why, fix = ", while the others say what it should be", f"compute {', '.join(flat)} from the other limb leads"
    else:
        why, fix = "", "leave the record out"
    evidence = {"limb-law SNR in dB": given_db} | ({"of the others": others_db} if np.isfinite(others_db) else {})
    sentence = f"{', '.join(flat)} never {'moves' if len(flat) == 1 else 'move'}{why}"
    return [Finding("flat", flat, "error", sentence, fix, evidence, repair, repair is not None)]


def _flat_chest(lead: str) -> Finding:
    return Finding("flat", (lead,), "error", f"{lead} never moves", f"leave {lead} out, or the record")


def _fit_db(row: FloatArray, expected: FloatArray) -> float:
    both = np.isfinite(row) & np.isfinite(expected)
    if both.sum() < 2:
        return float("-inf")
    row, expected = row[both] - row[both].mean(), expected[both] - expected[both].mean()
    power, error = float(expected @ expected), float((row - expected) @ (row - expected))
    return float(10 * np.log10(power / error)) if power > 0 < error else float("-inf")


def _times(factor: float) -> str:
    power = 10.0 ** round(float(np.log10(abs(factor)))) if factor else 1.0
    shown = power if power != 1 and abs(abs(factor) / power - 1) < 0.02 else abs(factor)
    return f"{'-' if factor < 0 else ''}{shown:.4g} times"
