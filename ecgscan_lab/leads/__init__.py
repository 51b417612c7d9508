"""Leads: their names, the laws that tie the six limb leads together, and a doctor for recordings that break them.

names     what the twelve leads are called, and in which order they come
laws      Einthoven, Goldberger, projections onto both, and twelve leads from eight
doctor    `diagnose_leads` and `repair_leads`: order, signs, units and what else can be wrong with leads; beside it
hypotheses (scores of what could have happened), verdicts (which one is told), samples and plausibility
(what shows without the laws), diagnosis (how it is told)
"""

from __future__ import annotations

from ecgscan_lab.leads.diagnosis import Finding, LeadDiagnosis, Repair
from ecgscan_lab.leads.doctor import diagnose_leads, repair_leads
from ecgscan_lab.leads.laws import (
    LIMB_PROJECTOR,
    LimbProjection,
    derive_limb_leads,
    derive_twelve_leads,
    einthoven_projection,
    goldberger_equations,
    limb_law_residuals,
    project_limb_leads,
    zero_sum_projection,
)
from ecgscan_lab.leads.names import (
    CHEST_LEADS,
    INDEPENDENT_LEADS,
    LEADS,
    LIMB_LEADS,
    canonical_lead,
    canonical_order,
)

__all__ = [
    "CHEST_LEADS",
    "INDEPENDENT_LEADS",
    "LEADS",
    "LIMB_LEADS",
    "LIMB_PROJECTOR",
    "Finding",
    "LeadDiagnosis",
    "LimbProjection",
    "Repair",
    "canonical_lead",
    "canonical_order",
    "derive_limb_leads",
    "derive_twelve_leads",
    "diagnose_leads",
    "einthoven_projection",
    "goldberger_equations",
    "limb_law_residuals",
    "project_limb_leads",
    "repair_leads",
    "zero_sum_projection",
]
