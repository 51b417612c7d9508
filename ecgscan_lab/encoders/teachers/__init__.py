"""Published signal teachers behind one interface: millivolts in canonical lead order in, a frozen feature out.

None of their code is here, and none of their weights. Each file rebuilds one architecture under the published names,
so that published weights load strictly; `convert_teacher` turns a publisher's file into one for `signal_teacher`.
"""

from __future__ import annotations

from ecgscan_lab.encoders.teachers.conversion import Converted, convert_teacher
from ecgscan_lab.encoders.teachers.preprocessing import MIMIC_LEADS, Preprocessing
from ecgscan_lab.encoders.teachers.registry import TEACHERS, signal_teacher
from ecgscan_lab.encoders.teachers.teacher import SignalTeacher, reordered

__all__ = [
    "MIMIC_LEADS",
    "TEACHERS",
    "Converted",
    "Preprocessing",
    "SignalTeacher",
    "convert_teacher",
    "reordered",
    "signal_teacher",
]
