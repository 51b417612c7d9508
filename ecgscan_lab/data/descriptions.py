"""Plain words for every label: one description a code, how machines phrase it, and what else cardiologists call it.

Codes are those of PTB-XL's statement catalogue (P. Wagner et al., Sci. Data 7 (2020) 154) and its 5 superclasses and 23
subclasses, which are no rows of the catalogue; some split files drop the trailing or leading underscore, so both
spellings are here. A few codes at the end exist only in synthetic reports.
"""

from __future__ import annotations

SUPERCLASSES = ("NORM", "MI", "STTC", "CD", "HYP")

DESCRIPTIONS: dict[str, str] = {
    # superclasses
    "NORM": "normal ECG",
    "MI": "myocardial infarction",
    "STTC": "ST-segment and T-wave changes",
    "CD": "conduction disturbance",
    "HYP": "hypertrophy",
    # subclasses that gather several statements
    "ISCA": "ischemic ST-T changes in anterior leads",
    "ISCI": "ischemic ST-T changes in inferior leads",
    "LAFB/LPFB": "left anterior or left posterior fascicular block",
    "_AVB": "atrioventricular block",
    "AVB": "atrioventricular block",
    # infarction and injury
    "AMI": "anterior myocardial infarction",
    "ASMI": "anteroseptal myocardial infarction",
    "ALMI": "anterolateral myocardial infarction",
    "LMI": "lateral myocardial infarction",
    "IMI": "inferior myocardial infarction",
    "ILMI": "inferolateral myocardial infarction",
    "IPMI": "inferoposterior myocardial infarction",
    "IPLMI": "inferoposterolateral myocardial infarction",
    "PMI": "posterior myocardial infarction",
    "INJAS": "subendocardial injury in anteroseptal leads",
    "INJAL": "subendocardial injury in anterolateral leads",
    "INJIN": "subendocardial injury in inferior leads",
    "INJLA": "subendocardial injury in lateral leads",
    "INJIL": "subendocardial injury in inferolateral leads",
    # ST-T changes
    "NDT": "non-diagnostic T-wave abnormalities",
    "NST_": "non-specific ST changes",
    "NST": "non-specific ST changes",
    "NT_": "non-specific T-wave changes",
    "NT": "non-specific T-wave changes",
    "STD_": "ST-segment depression",
    "STD": "ST-segment depression",
    "STE_": "ST-segment elevation",
    "STE": "ST-segment elevation",
    "TAB_": "T-wave abnormality",
    "TAB": "T-wave abnormality",
    "INVT": "inverted T waves",
    "LOWT": "low-amplitude T waves",
    "ISC_": "ischemic ST-T changes",
    "ISC": "ischemic ST-T changes",
    "ISCAN": "ischemic ST-T changes in anterior leads",
    "ISCAS": "ischemic ST-T changes in anteroseptal leads",
    "ISCAL": "ischemic ST-T changes in anterolateral leads",
    "ISCLA": "ischemic ST-T changes in lateral leads",
    "ISCIN": "ischemic ST-T changes in inferior leads",
    "ISCIL": "ischemic ST-T changes in inferolateral leads",
    "DIG": "digitalis effect",
    "LNGQT": "long QT interval",
    "ANEUR": "ST-T changes compatible with ventricular aneurysm",
    "EL": "ST-T changes compatible with electrolyte disturbance or drug effect",
    # conduction
    "LAFB": "left anterior fascicular block",
    "LPFB": "left posterior fascicular block",
    "CLBBB": "complete left bundle branch block",
    "ILBBB": "incomplete left bundle branch block",
    "CRBBB": "complete right bundle branch block",
    "IRBBB": "incomplete right bundle branch block",
    "IVCD": "non-specific intraventricular conduction disturbance",
    "1AVB": "first degree AV block",
    "2AVB": "second degree AV block",
    "3AVB": "third degree AV block",
    "LPR": "prolonged PR interval",
    "WPW": "Wolff-Parkinson-White syndrome",
    # hypertrophy and overload
    "LVH": "left ventricular hypertrophy",
    "RVH": "right ventricular hypertrophy",
    "SEHYP": "septal hypertrophy",
    "VCLVH": "voltage criteria for left ventricular hypertrophy",
    "LAO/LAE": "left atrial overload or enlargement",
    "RAO/RAE": "right atrial overload or enlargement",
    # other shapes of the QRS
    "ABQRS": "abnormal QRS complex",
    "QWAVE": "pathological Q waves",
    "LVOLT": "low QRS voltages in the frontal and horizontal leads",
    "HVOLT": "high QRS voltage",
    # premature beats
    "PVC": "ventricular premature complexes",
    "PAC": "atrial premature complexes",
    "PRC(S)": "premature complexes",
    "BIGU": "bigeminal pattern of supraventricular or ventricular origin",
    "TRIGU": "trigeminal pattern of supraventricular or ventricular origin",
    # rhythm
    "SR": "sinus rhythm",
    "SBRAD": "sinus bradycardia",
    "STACH": "sinus tachycardia",
    "SARRH": "sinus arrhythmia",
    "AFIB": "atrial fibrillation",
    "AFLT": "atrial flutter",
    "SVARR": "supraventricular arrhythmia",
    "SVTAC": "supraventricular tachycardia",
    "PSVT": "paroxysmal supraventricular tachycardia",
    "PACE": "normally functioning artificial pacemaker",
    # remarks of synthetic reports
    "LAD": "left axis deviation",
    "RAD": "right axis deviation",
    "RVR": "rapid ventricular response",
    "ACUTE": "infarction probably acute",
    "RECENT": "infarction possibly recent",
    "OLD": "infarction probably old",
    "STRAIN": "repolarization abnormality consistent with left ventricular strain",
}

_MEMBERS = {
    "MI": "AMI ASMI ALMI LMI IMI ILMI IPMI IPLMI PMI INJAS INJAL INJIN INJLA INJIL",
    "STTC": "NDT NST_ NST NT_ NT STD_ STD STE_ STE TAB_ TAB INVT LOWT ISC_ ISC ISCA ISCI ISCAN ISCAS ISCAL ISCLA ISCIN "
    "ISCIL DIG LNGQT ANEUR EL",
    "CD": "LAFB LPFB LAFB/LPFB CLBBB ILBBB CRBBB IRBBB IVCD 1AVB 2AVB 3AVB _AVB AVB LPR WPW",
    "HYP": "LVH RVH SEHYP VCLVH LAO/LAE RAO/RAE",
}
# The superclass that a more specific label makes it needless to spell out; form statements stand with their kind.
SUPERCLASS_OF: dict[str, str] = {code: name for name, codes in _MEMBERS.items() for code in codes.split()}

# Whole statements as electrocardiographs print them, without the full stop; other codes use their description.
PHRASINGS: dict[str, tuple[str, ...]] = {
    "SR": ("Sinus rhythm", "Normal sinus rhythm", "Rhythm is sinus"),
    "SBRAD": ("Sinus bradycardia", "Sinus rhythm with slow rate, sinus bradycardia"),
    "STACH": ("Sinus tachycardia", "Sinus rhythm with fast rate, sinus tachycardia"),
    "AFIB": (
        "Atrial fibrillation",
        "Atrial fibrillation, irregular ventricular response",
        "Rhythm is atrial fibrillation",
    ),
    "AFLT": ("Atrial flutter", "Rhythm is atrial flutter"),
    "RVR": ("Rapid ventricular response", "Ventricular response is rapid"),
    "1AVB": ("First degree AV block", "Prolonged PR interval, first degree AV block", "1st degree A-V block"),
    "CLBBB": ("Left bundle branch block", "Complete left bundle branch block", "LBBB"),
    "CRBBB": ("Right bundle branch block", "Complete right bundle branch block", "RBBB"),
    "LVH": (
        "Left ventricular hypertrophy",
        "Voltages are high in chest leads suggesting LVH",
        "Voltage criteria for left ventricular hypertrophy",
    ),
    "STRAIN": ("Repolarization abnormality consistent with LV strain", "ST-T changes due to LV strain"),
    "AMI": (
        "Anterior myocardial infarction",
        "Anteroseptal infarct",
        "Findings consistent with anterior infarction",
    ),
    "IMI": (
        "Inferior myocardial infarction",
        "Inferior infarct",
        "Findings consistent with inferior infarction",
    ),
    "ACUTE": ("Probably acute", "Consider acute infarct"),
    "RECENT": ("Possibly recent", "Age undetermined"),
    "OLD": ("Probably old", "Likely old"),
    "STD_": ("ST depression", "ST segments are depressed", "Non-specific ST depression"),
    "INVT": ("T wave inversion", "Inverted T waves", "T waves are inverted"),
    "PVC": ("Ventricular premature complexes", "Premature ventricular contraction(s)", "Ventricular extrasystoles"),
    "LAD": ("Left axis deviation",),
    "RAD": ("Right axis deviation",),
}

# Other correct names and findings of a class for zero-shot prompts. Each names the class itself or one member of it,
# never a thing that other classes share or that contradicts it.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "NORM": (
        "normal electrocardiogram",
        "sinus rhythm, normal ECG",
        "no definite pathology",
        "tracing within normal limits",
    ),
    "MI": (
        "inferior myocardial infarction",
        "anterior myocardial infarction",
        "old inferior infarct, pathological Q waves",
        "anteroseptal infarct, loss of R waves",
    ),
    "STTC": (
        "non-specific ST-T changes",
        "ST depression",
        "T wave inversion",
        "ischemic ST-T changes",
        "T wave abnormality",
    ),
    "CD": (
        "left bundle branch block",
        "right bundle branch block",
        "first degree AV block",
        "left anterior fascicular block",
        "intraventricular conduction delay",
    ),
    "HYP": (
        "left ventricular hypertrophy",
        "right ventricular hypertrophy",
        "voltage criteria for left ventricular hypertrophy",
        "left atrial enlargement",
    ),
    "SR": ("normal sinus rhythm",),
    "SBRAD": ("sinus rhythm with slow rate", "slow sinus rhythm below 60 beats per minute"),
    "STACH": ("sinus rhythm with fast rate", "fast sinus rhythm above 100 beats per minute"),
    "SARRH": ("sinus rhythm with irregular rate", "respiratory sinus arrhythmia"),
    "AFIB": ("irregularly irregular rhythm without P waves", "fibrillatory waves, irregular ventricular response"),
    "AFLT": ("typical flutter waves", "sawtooth flutter waves in the inferior leads"),
    "PACE": ("ventricular paced rhythm", "pacemaker spikes"),
    "1AVB": ("prolonged PR interval over 200 ms", "first degree atrioventricular block"),
    "AVB": ("first degree AV block", "AV conduction delay"),
    "_AVB": ("first degree AV block", "AV conduction delay"),
    "CLBBB": ("left bundle branch block", "LBBB, broad notched R waves in lateral leads"),
    "CRBBB": ("right bundle branch block", "RBBB, rsR' pattern in V1"),
    "IRBBB": ("partial right bundle branch block", "rSr' pattern in V1"),
    "LAFB": ("left anterior hemiblock",),
    "LPFB": ("left posterior hemiblock",),
    "LAFB/LPFB": ("left anterior fascicular block", "left anterior hemiblock", "left posterior hemiblock"),
    "LVH": ("high voltages suggesting LVH", "hypertrophy of the left ventricle"),
    "RVH": ("hypertrophy of the right ventricle", "tall R waves in V1, right ventricular hypertrophy"),
    "AMI": ("anterior infarct", "anteroseptal infarction", "Q waves in anterior leads, anterior infarction"),
    "IMI": ("inferior infarct", "Q waves in II, III, aVF, inferior infarction"),
    "LMI": ("lateral infarct", "high lateral infarction"),
    "PMI": ("posterior infarct",),
    "STD_": ("ST segments are depressed", "ST depression"),
    "STD": ("ST segments are depressed", "ST depression"),
    "INVT": ("T wave inversion", "negative T waves"),
    "ISC_": ("changes consistent with myocardial ischemia",),
    "ISC": ("changes consistent with myocardial ischemia",),
    "PVC": ("premature ventricular contractions", "ventricular extrasystoles", "ventricular ectopic beats"),
    "PAC": ("supraventricular extrasystoles", "premature atrial contractions"),
    "WPW": ("ventricular preexcitation with delta waves",),
}
