"""What the classes of every benchmark task are called, for zero-shot prompts: several phrases a class, in plain words.

Written class by class against the task it stands in, because one acronym means different things in different corpora
(AF is atrial flutter in CSN and atrial fibrillation in CODE). A phrase names its own class or one member of it. No
phrase stands for two classes of a task, none contradicts its class, and a normal class names no abnormality.
"""

from __future__ import annotations


def _phrases(**classes: str) -> dict[str, tuple[str, ...]]:
    return {name: tuple(text.split(" | ")) for name, text in classes.items()}


_NORMAL_ECG = "normal ECG | normal electrocardiogram | tracing within normal limits | no definite pathology"
_CLBBB = "complete left bundle branch block | LBBB | left bundle branch block with broad notched R waves"
_CRBBB = "complete right bundle branch block | RBBB | right bundle branch block with rsR' pattern in V1"
_AFIB = "atrial fibrillation | irregularly irregular rhythm without P waves | fibrillatory waves instead of P waves"
_AFLT = "atrial flutter | sawtooth flutter waves | flutter waves in the inferior leads"
_SBRAD = "sinus bradycardia | slow sinus rhythm | sinus rhythm below 60 beats per minute"
_STACH = "sinus tachycardia | fast sinus rhythm | sinus rhythm above 100 beats per minute"
_SARRH = "sinus arrhythmia | respiratory sinus arrhythmia | sinus rhythm with irregular rate"
_FIRST = "first degree AV block | first degree atrioventricular block | 1st degree A-V block"
_LVH = "left ventricular hypertrophy | hypertrophy of the left ventricle | high voltages suggesting LVH"
_RVH = "right ventricular hypertrophy | hypertrophy of the right ventricle | tall R waves in V1 suggesting RVH"
_PAC = "atrial premature complexes | premature atrial contractions | atrial premature beats | atrial extrasystoles"
_PVC = (
    "ventricular premature complexes | premature ventricular contractions | ventricular premature beats"
    " | ventricular extrasystoles"
)
_INVERTED = "T wave inversion | inverted T waves | negative T waves"
_DEPRESSED = "ST segment depression | depressed ST segments | ST depression"
_RAISED = "ST segment elevation | elevated ST segments | ST elevation"
_WPW = (
    "Wolff-Parkinson-White syndrome | ventricular preexcitation with delta waves | short PR interval with a delta wave"
)

_SUPERCLASS = _phrases(
    NORM=_NORMAL_ECG,
    MI="myocardial infarction | inferior infarct | anterior infarct | old infarct with pathological Q waves",
    STTC="ST-T changes | non-specific ST-T changes | T wave abnormality | ischemic ST-T changes | ST depression",
    CD="conduction disturbance | bundle branch block | AV block | fascicular block | intraventricular conduction delay",
    HYP="hypertrophy | left ventricular hypertrophy | right ventricular hypertrophy | left atrial enlargement",
)

_SUBCLASS = {
    **_phrases(
        AMI="anterior myocardial infarction | anteroseptal infarct | anterolateral infarct | Q waves in anterior leads",
        AVB="AV block | atrioventricular block | AV conduction delay | prolonged PR interval",
        CLBBB=_CLBBB,
        CRBBB=_CRBBB,
        ILBBB="incomplete left bundle branch block | partial left bundle branch block | incomplete LBBB",
        IMI="inferior myocardial infarction | inferior infarct | Q waves in II, III and aVF",
        IRBBB="incomplete right bundle branch block | partial right bundle branch block | incomplete RBBB",
        ISC="ischemic ST-T changes | changes consistent with myocardial ischemia | non-specific ischemia",
        ISCA="ischemia in anterior leads | anterior ischemia | anteroseptal ischemia | ischemia in lateral leads",
        ISCI="ischemia in inferior leads | inferior ischemia | inferolateral ischemia",
        IVCD="intraventricular conduction disturbance | intraventricular conduction delay | non-specific wide QRS",
        LMI="lateral myocardial infarction | lateral infarct | Q waves in I and aVL",
        LVH=_LVH,
        NORM=_NORMAL_ECG,
        NST="non-specific ST changes | unspecific ST segment change | minor ST changes without diagnosis",
        PMI="posterior myocardial infarction | posterior infarct | infarction of the posterior wall",
        RVH=_RVH,
        SEHYP="septal hypertrophy | hypertrophy of the septum | thickened interventricular septum",
        STTC="non-diagnostic T abnormalities | digitalis effect | long QT interval | electrolyte or drug effect",
        WPW=_WPW,
    ),
    "LAFB/LPFB": ("left anterior fascicular block", "left posterior fascicular block", "left anterior hemiblock"),
    "LAO/LAE": ("left atrial enlargement", "left atrial overload", "broad notched P waves of left atrial origin"),
    "RAO/RAE": ("right atrial enlargement", "right atrial overload", "tall peaked P waves of right atrial origin"),
}

_FORM = {
    **_phrases(
        ABQRS="abnormal QRS | abnormal QRS complex | abnormal QRS morphology",
        DIG="digitalis effect | digoxin effect | scooped ST segments from digitalis",
        HVOLT="high QRS voltage | large QRS amplitude | tall QRS complexes",
        INVT=_INVERTED,
        LNGQT="long QT interval | prolonged QT interval | QT prolongation",
        LOWT="low amplitude T waves | flat T waves | flattened T waves",
        LPR="prolonged PR interval | long PR interval | PR interval over 200 ms",
        LVOLT="low QRS voltages | low voltage in the limb and chest leads | small QRS complexes",
        NDT="non-diagnostic T abnormalities | T abnormality without diagnosis | borderline T abnormality",
        NST="non-specific ST changes | unspecific ST segment change | minor ST changes without diagnosis",
        NT="non-specific T wave changes | unspecific T change | minor T wave changes",
        PAC=_PAC,
        PVC=_PVC,
        QWAVE="Q waves present | pathological Q waves | deep broad Q waves",
        STD=_DEPRESSED,
        STE=_RAISED,
        TAB="T wave abnormality | abnormal T waves | abnormal repolarization of the T wave",
        VCLVH="voltage criteria for left ventricular hypertrophy | voltages meet LVH criteria | LVH by voltage",
    ),
    "PRC(S)": ("premature complexes", "premature beats of unknown origin", "extrasystoles of unknown origin"),
}

_RHYTHM = _phrases(
    AFIB=_AFIB,
    AFLT=_AFLT,
    BIGU="bigeminal pattern | bigeminy | every second beat is premature",
    PACE="normally functioning artificial pacemaker | paced rhythm | pacemaker spikes",
    PSVT="paroxysmal supraventricular tachycardia | PSVT | sudden narrow complex tachycardia",
    SARRH=_SARRH,
    SBRAD=_SBRAD,
    SR="sinus rhythm | normal sinus rhythm | regular P waves before every QRS complex",
    STACH=_STACH,
    SVARR="supraventricular arrhythmia | irregular supraventricular rhythm | atrial arrhythmia",
    SVTAC="supraventricular tachycardia | SVT | tachycardia of supraventricular origin",
    TRIGU="trigeminal pattern | trigeminy | every third beat is premature",
)

_CPSC = {
    **_phrases(
        AFIB=_AFIB,
        VPC=_PVC,
        NORM="normal ECG | normal sinus rhythm | tracing within normal limits",
        STE=_RAISED,
        PAC=_PAC,
        CLBBB="left bundle branch block | LBBB | broad notched R waves in the lateral leads",
        CRBBB="right bundle branch block | RBBB | rsR' pattern in V1",
        STD=_DEPRESSED,
    ),
    "1AVB": tuple(_FIRST.split(" | ")),
}

_CSN = {
    **_phrases(
        AQW="abnormal Q wave | abnormal Q waves | deep broad Q waves",
        UW="U wave | U waves after the T wave | prominent U waves",
        SR="sinus rhythm | normal sinus rhythm | regular P waves before every QRS complex",
        WPW=_WPW,
        AT="atrial tachycardia | fast atrial rhythm with abnormal P waves | ectopic atrial tachycardia",
        VB="ventricular bigeminy | ventricular premature beat after every normal beat | bigeminy of ventricular origin",
        ARS="right axis deviation | rightward axis | electrical axis shifted to the right",
        STTC="ST-T change | ST-T changes | changes of ST segment and T wave together",
        SA=_SARRH,
        STE="ST segment extension | lengthened ST segment | long ST segment",
        VPB=_PVC,
        TWO=_INVERTED,
        STTU="ST segment tilted up | upsloping ST segment | raised ST segment",
        ALS="left axis deviation | leftward axis | electrical axis shifted to the left",
        APB=_PAC,
        PRIE="prolonged PR interval | long PR interval | extension of the PR interval",
        CCR="counterclockwise rotation | early R wave transition in the chest leads | rotation against the clock",
        CR="clockwise rotation | late R wave transition in the chest leads | delayed R wave progression by rotation",
        AF=_AFLT,
        AVB="AV block | atrioventricular block | A-V conduction block",
        QTIE="prolonged QT interval | long QT interval | extension of the QT interval",
        LBBB="left bundle branch block | LBBB | broad notched R waves in the lateral leads",
        VEB="ventricular escape beat | ventricular escape rhythm | late ventricular beat after a pause",
        SVT="supraventricular tachycardia | SVT | tachycardia of supraventricular origin",
        RBBB="right bundle branch block | RBBB | rsR' pattern in V1",
        STDD=_DEPRESSED,
        MI="myocardial infarction | infarct | infarction with pathological Q waves",
        AFIB=_AFIB,
        TWC="T wave change | T wave changes | abnormal T waves",
        PWC="P wave change | P wave changes | abnormal P waves",
        ERV="early repolarization | early repolarization pattern | J point notching with concave ST segments",
        RVH=_RVH,
        LVH=_LVH,
        ST=_STACH,
        JEB="junctional escape beat | junctional escape rhythm | late junctional beat after a pause",
    ),
    "2AVB": ("second degree AV block", "second degree atrioventricular block", "2nd degree A-V block"),
    "2AVB1": ("Mobitz type I block", "Wenckebach phenomenon", "PR interval grows until a beat is dropped"),
    "1AVB": tuple(_FIRST.split(" | ")),
}

_CODE = {
    **_phrases(
        RBBB="right bundle branch block | RBBB | rsR' pattern in V1",
        LBBB="left bundle branch block | LBBB | broad notched R waves in the lateral leads",
        SB=_SBRAD,
        AF=_AFIB,
        ST=_STACH,
    ),
    "1dAVb": tuple(_FIRST.split(" | ")),
}

PROMPT_PHRASES: dict[str, dict[str, tuple[str, ...]]] = {
    "superclass": _SUPERCLASS,
    "subclass": _SUBCLASS,
    "form": _FORM,
    "rhythm": _RHYTHM,
    "cpsc2018": _CPSC,
    "csn": _CSN,
    "code": _CODE,
}
"""Task, as the cohorts name it -> class -> phrases."""
