"""A glossary from the German of electrocardiographs (and the Swedish of a few PTB-XL reports) to English.

Word by word and in the order it finds: reports are lists of nouns and adjectives, where that reads well; free
sentences come out broken. Written for the reports of PTB-XL; a word that is not here stays as it is.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise

# Entries "german = english" between semicolons or line ends. A trailing * stands for the endings e, er, en, em, es, s
# and n; a full stop marks an abbreviation, whose own stop goes with it. Umlauts match however they are spelt (ä or ae),
# EKG matches ECG, and hyphens, slashes and blanks join the words of a phrase alike.
_ENTRIES = """
vorhofflimmern flattern = atrial fibrillation/flutter ; vorhofflimmern = atrial fibrillation
vorhofflattern = atrial flutter
voehofflimmern = atrial fibrillation ; vonrhofflimmern = atrial fibrillation ; vhf = atrial fibrillation
flattern = flutter ; tachykard* vorhofflimmern = atrial fibrillation with rapid ventricular response
normokard* vorhofflimmern = atrial fibrillation with controlled ventricular response
bradykard* vorhofflimmern = atrial fibrillation with slow ventricular response
tachykard* vorhofflattern = atrial flutter with rapid ventricular response
normokard* vorhofflattern = atrial flutter with controlled ventricular response
tachykard* vorhofflimmern flattern = atrial fibrillation/flutter with rapid ventricular response
normokard* vorhofflimmern flattern = atrial fibrillation/flutter with controlled ventricular response
bradykard* vorhofflimmern flattern = atrial fibrillation/flutter with slow ventricular response
tachykard* = tachycardic ; normokard* = normocardic ; normocard* = normocardic ; normokardg* = normocardic
bradykard* = bradycardic ; tachykardie = tachycardia ; tachycardie = tachycardia ; bradykardie = bradycardia
tachyarrhythmie = tachyarrhythmia ; sinusrhythmus = sinus rhythm ; sinusbradykardie = sinus bradycardia
sinusbrsadykardie = sinus bradycardia ; sinustachykardie = sinus tachycardia ; sinusarrhythmie = sinus arrhythmia
arrhythmie = arrhythmia ; rhythmus = rhythm ; unregelmaessig* = irregular ; regelmaessig* = regular
supraventrikulaer* = supraventricular ; supraventr. = supraventricular ; ventrikulaer* = ventricular
ventr. = ventricular
av knotenrhythmus = junctional rhythm ; av rhythmus = junctional rhythm ; beschleunigt* = accelerated
knotung = notching ; ersatzsystole* = escape beats ; extrasystole* = extrasystoles ; exrtrasystole* = extrasystoles
interponiert* = interpolated
ves = ventricular extrasystoles ; sves = supraventricular extrasystoles ; vorhof es = atrial extrasystoles
vorhofs es = atrial extrasystoles ; av es = junctional extrasystoles ; es = extrasystoles
er salve = run ; salve* = runs ; bigeminus = bigeminy ; bigeminie = bigeminy ; trigeminus = trigeminy
uniform* = uniform ; multiform* = multiform ; schrittmacher = pacemaker ; schrittmacher ecg = paced ecg
lagetyp normal = normal axis ; normal* lagetyp = normal axis ; linkstyp = leftward axis ; rechtstyp = rightward axis
ueberdreht* linkstyp = left axis deviation ; ueberdreht* rechtstyp = right axis deviation
extrem ueberdreht* linkstyp = extreme left axis deviation
extrem ueberdreht* rechtstyp = extreme right axis deviation
ueberdreht* = deviated ; extrem* = extreme ; linkslagetyp = leftward axis ; llt = leftward axis ; rlt = rightward axis
mlt = intermediate axis ; slt = vertical axis ; stlt = vertical axis ; steiltyp = vertical axis
steillagetyp = vertical axis ; steilagetyp = vertical axis ; steillage = vertical axis ; seitenlagetyp = lateral axis
indifferenztyp = intermediate axis
indiff typ = intermediate axis ; indiff. = intermediate ; typ = type ; lagetyp = axis ; sagittaltyp = sagittal axis
schwierig bestimmbar* qrs achse = qrs axis difficult to determine ; schwierig = difficult ; bestimmbar* = determinable
achse = axis ; nicht bestimmbar* = indeterminate
normal* ecg = normal ecg ; normaels ecg = normal ecg ; sonst normal* ecg = otherwise normal ecg ; sonst = otherwise
pathologisch* ecg = abnormal ecg ; pathologsich* ecg = abnormal ecg ; pathologish* ecg = abnormal ecg
path. ecg = abnormal ecg ; pathologisch* = pathological ; path. = pathological ; ecg = ecg ; ruhe ecg = resting ecg
belastungs ecg = exercise ecg ; ergometrie = exercise test ; ergo = exercise test ; grenzbefund = borderline finding
normal* = normal ; abnorm* = abnormal ; abnormal* = abnormal ; abn. = abnormal ; auffallend* = remarkable
alles = all ; periphere niederspannung = low limb lead voltage ; niederspannung = low voltage
niederspannungs ecg = low voltage ecg
niedervoltage = low voltage ; peripher* = limb lead ; hochspannung = high voltage
rechtsschenkelblock = right bundle branch block ; linksschenkelblock = left bundle branch block
links schenkelblock = left bundle branch block ; rechts schenkelblock = right bundle branch block
schenkelblock = bundle branch block ; rechts sb = right bundle branch block ; rsb = right bundle branch block
lsb = left bundle branch block ; unvollstaendig* = incomplete ; vollstaendig* = complete ; kompl. = complete
inkomplett* = incomplete ; komplett* = complete ; partiell* = partial ; lahb = left anterior hemiblock
lah = left anterior hemiblock ; linksanterior* = left anterior ; linksposterior* = left posterior
bifaszikulaer* = bifascicular ; trifaszikulaer* = trifascicular ; intraventrikulaer* = intraventricular
intraventr. = intraventricular ; leitungsstoerung = conduction disturbance
leistungsstoerung = conduction disturbance
erregungsausbreitungsstoerung* = conduction disturbance ; erregungsrueckbildungsstoerung* = repolarization disturbance
ueberleitung = conduction ; verzoegert* = delayed ; verzoegerung = delay
a v block i = first degree av block ; av block i = first degree av block ; av block 1 grades = first degree av block
a v block ii = second degree av block ; a v block iii = third degree av block ; grades = degree
linkshypertrophie = left ventricular hypertrophy ; rechtshypertrophie = right ventricular hypertrophy
linksventrikelhypertrophie = left ventricular hypertrophy
links ventrikel hypertrophie = left ventricular hypertrophy
linkskammmerhypertrophie = left ventricular hypertrophy ; linkskammerhypertrophie = left ventricular hypertrophy
kammerhypertrophie = ventricular hypertrophy ; hypertrophie = hypertrophy ; septal* = septal
amplitudenkriterien fuer linkshypertrophie = voltage criteria for left ventricular hypertrophy
amplitudenkriterien = voltage criteria ; maessig* = moderate ; linksbelastung = left ventricular strain
rechtsbelastung = right ventricular strain ; belastung = strain ; vorhofsueberlastung = atrial overload
vorhofueberlastung = atrial overload ; vorhofsueberbelastung = atrial overload
vorhofueberbelastung = atrial overload
vorhofbelastung = atrial overload ; p sinistrocardiale = left atrial enlargement
p sinistroatriale = left atrial enlargement ; p dextrocardiale = right atrial enlargement
p dextroatriale = right atrial enlargement ; p mitrale = left atrial enlargement ; p verbreiterung = broad p wave
sinistrocardiale = left atrial enlargement ; dextrocardiale = right atrial enlargement
infarkt alter unbest. = infarction of undetermined age ; alter unbest. = age undetermined ; infarkt* = infarction
alter* = age ; alt = old ; alte* = old ; frisch* = recent ; neu* = new ; akut* = acute ; subakut* = subacute
chronisch* = chronic ; chron. = chronic ; anteroseptal* = anteroseptal ; anterolateral* = anterolateral
anterolareral* = anterolateral ; anterior* = anterior ; inferior* = inferior ; inferolateral* = inferolateral
inferoposterior* = inferoposterior ; infero posterior* = inferoposterior ; posterior* = posterior ; lateral* = lateral
hochlateral* = high lateral ; basal* = basal ; vorderwand = anterior wall ; hinterwand = inferior wall
brustwand = chest ; seitenwand = lateral wall ; aneurysma = aneurysm ; vorderwandaneurysma = anterior wall aneurysm
ant. = anterior ; lat. = lateral ; septal = septal
ischaemie = ischemia ; ischamie = ischemia ; innenschichtischaemie = subendocardial ischemia
innenschichtsschaden = subendocardial injury ; innenschichtschaden = subendocardial injury
myokardschaden = myocardial damage
myokardschaedigung = myocardial damage ; myokard = myocardium ; perikardschaden = pericardial damage
perikarditis = pericarditis ; erguss = effusion ; hypokaliaemie = hypokalemia ; hyperkaliaemie = hyperkalemia
wahrscheinlich* = probably ; moeglich* = possible ; moegl. = possibly ; moeglicherweise = possibly
vielleicht = possibly
nicht auszuschliessen = cannot be excluded ; auszuschliessen = excluded ; verdacht auf = suspected
verdacht = suspected
vd. auf = suspected ; vd. = suspected ; fraglich* = questionable ; fragl. = questionable ; sicher* = definite
hinweise = signs
am ehesten = most likely ; eher = rather ; dd. = differential diagnosis ; zt. = partly ; teilweise = partly
evtl. = possibly
unspezifisch* = non-specific ; unspez. = non-specific ; st senkung* = st depression ; st hebung* = st elevation
senkung* = depression ; hebung* = elevation ; st strecke* = st segment ; stde = st depression
muldenfoermig* = sagging ; muldenf. = sagging ; deszendierend* = downsloping ; desz = downsloping ; desc = downsloping
aszendierend* = upsloping
horizontal* = horizontal ; t negativierung* = t wave inversion ; neg. = inverted ; negativ* = inverted
flach neg = flat inverted
t welle* = t wave ; p welle* = p wave ; u welle* = u wave ; r progression = r wave progression ; welle* = wave
t veraenderung* = t wave changes ; t wellenveraenderung* = t wave changes ; wellenveraenderung* = wave changes
veraenderung* = changes ; digitalisveraenderung* = digitalis effect ; digitalisierung = digitalization
schlecht* = poor ; schlechtr = poor ; fehlend* = absent ; fehlede = absent ; keine* = no ; kein = no ; niedrig* = low
biphasisch* = biphasic ; bipolisch* = biphasic ; zweigipflig* = bifid ; isoelektrisch* = isoelectric ; spitz* = peaked
zulaufend* = tapering ; hoch = tall ; hohe* = tall ; hoher = tall ; hohes = tall ; ueberhoeht* = tall
erhoeht* = increased
flach* = flat ; abgeflacht* = flattened ; abflachung* = flattening ; klein* = small ; breit* = broad
diskret* = slight
minimal* = minimal ; deutlich* = marked ; leicht* = slight ; etwas = somewhat ; angedeutet* = slight
terminal* = terminal
gering* = slight ; stark* = strong ; qt verlaengerung = qt prolongation ; verlaengerung = prolongation
verlaengert* = prolonged
verkuerzt* = shortened ; lage q = positional q wave ; repolarisationsstoerung* = repolarization disturbance
repolarisation = repolarization ; repol stoerung* = repolarization disturbance ; repol = repolarization
stoerung* = disturbance ; uebergang in v ableitungen = transition zone in v leads ; uebergang = transition zone
nach rechts verschoben = displaced to the right ; nach links verschoben = displaced to the left
verschoben = displaced
nach = to ; ableitung* = leads ; ableitunge = leads ; abl. = leads ; ablt. = leads ; ablei = leads
rechtsableitungen = right leads
allen = all ; alle = all ; algemein = generally ; allgemein* = generally ; ausser = except ; links = left
rechts = right ; vor = before ; jetzt = now ; zur = for ; zum = for ; bei = with ; mit = with ; ohne = without
und = and ; oder = or ; fuer = for ; ueber = over ; unter = under ; bis = to ; von = of ; des = of ; in = in
auf = on
im = in ; der = the ; die = the ; das = the ; dem = the ; den = the ; wie = as ; als = as ; nicht = not ; auch = also
schwankend* = varying ; wechselnd* = varying ; intermittierend* = intermittent ; intermitt. = intermittent
intermitier* = intermittent ; langsam* = slow ; schnell* = fast ; unveraendert* = unchanged
zusaetzlich = in addition
qualitaet = quality ; artefakt* = artifact ; armelektroden vertauscht = arm electrodes reversed
vertauscht = reversed
anbetracht des alters = view of the age ; alters = age ; erkannt = recognized ; pathologischen = pathological
flimmern = fibrillation ; trikuspidal* = tricuspid ; puls = pulse ; hf = heart rate ; tag = day ; wochen = weeks
aortenklappenersatz = aortic valve replacement ; erneut = again ; danach = afterwards ; zweiter = second
erfolgreiche cardioversion = successful cardioversion ; computer = computer ; ca. = about ; stabil = stable
konstant = constant ; teilw. = partly ; zweit* = second ; voll = full ; spannung = voltage ; sichere* = definite
welcher = which ; noch = still ; kann = can ; vorh. = present ; ob = whether ; so = so ; um = around
vorhof = atrium ; ist = is ; sind = are ; nimmt = takes ; langsame* = slow ; linke* = left ; rechte* = right
"""
_SWEDISH = """
sinusrytm = sinus rhythm ; sinusbradykardi = sinus bradycardia ; sinustachykardi = sinus tachycardia
normalt = normal ; sinusarytmi = sinus arrhythmia ; arytmi = arrhythmia ; rytm = rhythm ; regelbunden = regular
foermaksflimmer fladder = atrial fibrillation/flutter ; foermaksflimmer = atrial fibrillation
foermaksfladder = atrial flutter ; fladder = flutter ; hemiblock = hemiblock
supraventrikulaera = supraventricular ; ventrikulaera = ventricular
extrasystoli = extrasystoles ; extraslag = extrasystoles ; slag = beats ; takykardi = tachycardia
vaenster el axel = left axis deviation ; hoeger el axel = right axis deviation ; el axel = axis ; axel = axis
extrem vaenster el axel = extreme left axis deviation ; extrem hoeger el axel = extreme right axis deviation
vaenster belastning = left ventricular strain ; vaenster kammarbelastning = left ventricular strain
vaenster kammarhypertrofi = left ventricular hypertrophy ; hoeger kammarhypertrofi = right ventricular hypertrophy
kammarhypertrofi = ventricular hypertrophy ; kammarkhypertrofi = ventricular hypertrophy
kammarbelastning = ventricular strain
hoegersidigt skaenkelblock = right bundle branch block ; vaenstersidigt skaenkelblock = left bundle branch block
skaenkelblock = bundle branch block ; inkomplett = incomplete ; ospecifikt = non-specific ; ospecifik = non-specific
bifascikulaert = bifascicular ; vaenster = left ; vaens = left ; hoeger = right ; anteriort = anterior
posteriort = posterior
anterolateralt = anterolateral ; inferolateralt = inferolateral ; hoegersidigt = right ; vaenstersidigt = left
avvikande = abnormal ; foerlopp = course ; infarkt = infarction
st t saenkning = st-t depression ; saenkning = depression ; t foeraendring = t wave changes ; foeraendring = change
ischemi = ischemia ; ischemifoeraendringar = ischemic changes ; belastning = strain ; saasom vid = as in ; saasom = as
vid = in
myokardskada = myocardial damage ; myokardaffektion = myocardial disease ; affektion = disease ; aalder = age
aalder ej bestaemmbar = age undetermined ; ej bestaemmbar = indeterminate ; bestaemmbar = determinable ; ej = not
inte = not
moejligen = possibly ; sannolikt = probably ; aeldre = old ; faersk = recent ; misstaenkt = suspected ; kan = can
ej uteslutas = not be excluded ; uteslutas = be excluded ; boer oevervaegas = should be considered ; boer = should
oeverv = consider ; oeverv* = consider ; oevervaeg = consider ; oevervaegas = be considered ; eljest = otherwise
eller = or ; med = with ; och = and ; foer = for ; som = as ; paa = on ; fanns = were present
inget saekert patologiskt = nothing definitely abnormal
inget saekert patologikst = nothing definitely abnormal ; inget = nothing ; inga = no ; saekert = definitely
patologiskt = pathological ; patologikst = pathological ; hoeg kammarfrekvens = rapid ventricular rate ; hoeg = high
kammarfrekvens = ventricular rate ; laaga = low ; amplituder = voltages ; amplitudkrit. = voltage criteria
amplitudkriterier = voltage criteria ; maattliga = moderate ; i extremitetsavledningarna = in the limb leads
aat = to ; broestavledningarnas = of the chest leads ; foerskjuten = displaced ; foerlaengd = prolonged
svaarbestaemmbar = indeterminate
impulsutbredning = conduction ; p vaag = p wave ; funna = found ; uppgifter saknas = no data
interpolerade = interpolated
elektrisk = electrical ; horisontalstaelld = horizontal ; horisontalstaeld = horizontal ; rygg = back
"""
_ENDINGS = ("", "e", "er", "en", "em", "es", "s", "n")
_SPELLINGS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "å": "aa"})
_SAME = {"ekg": "ecg", "keg": "ecg"}
_WORD = re.compile(r"[^\W\d_]+")
_JOINT = re.compile(r"[\s/-]+")
_JOINT_ABBREVIATED = re.compile(r"[\s/.-]+")
_PLURAL_IN_BRACKETS = re.compile(r"(?<=[^\W\d_])\((?:n|en|er|a)\)")  # "extrasystole(n)", "ventrikulär(a)"

_Phrase = tuple[str, ...]


@cache
def _glossary() -> dict[_Phrase, tuple[str, str]]:
    """Words of an entry -> English, and the entry as it is written above."""
    entries = {}
    for entry in (_ENTRIES + _SWEDISH).replace("\n", ";").split(";"):
        german, _, english = entry.partition(" = ")
        if english:
            words = tuple(german.replace(".", " ").split())
            entries[words] = (english.strip(), german.strip())
    return entries


@cache
def _by_first_word() -> dict[str, list[_Phrase]]:
    by_first: dict[str, list[_Phrase]] = {}
    for words in _glossary():
        by_first.setdefault(words[0], []).append(words)
    return by_first


@cache
def _keys(word: str) -> _Phrase:
    """The keys under which a word may stand: itself in one spelling, then its stems with a star."""
    key = word.lower().translate(_SPELLINGS)
    key = _SAME.get(key, key)
    return (key, *(key[: len(key) - len(ending)] + "*" for ending in _ENDINGS if key.endswith(ending)))


def _match(words: list[_Phrase], gaps: list[str], start: int) -> _Phrase | None:
    """The longest entry that the words from `start` on spell."""
    entries = [entry for key in words[start] for entry in _by_first_word().get(key, ())]
    for entry in sorted(entries, key=len, reverse=True):
        stop = start + len(entry)
        joint = _JOINT_ABBREVIATED if "." in _glossary()[entry][1] else _JOINT
        joined = stop <= len(words) and all(joint.fullmatch(gap) for gap in gaps[start : stop - 1])
        if joined and all(part in keys for part, keys in zip(entry, words[start:stop], strict=True)):
            return entry
    return None


def translate_german(text: str) -> str:
    """Puts the recurrent German and Swedish of ECG reports into English, longest phrases first.

    Args:
        text: a report, best after `clean_report`. English text passes unchanged but for words that German shares with
            it.

    Returns:
        The text with every known phrase and word replaced; digits, lead names, punctuation and unknown words stay.

    Properties: deterministic; idempotent; umlauts may be spelt out.

    Example:
        >>> translate_german("sinusrhythmus überdrehter linkstyp linksanteriorer hemiblock")
        'sinus rhythm left axis deviation left anterior hemiblock'
    """
    text = _PLURAL_IN_BRACKETS.sub("", text)
    found = list(_WORD.finditer(text))
    words = [_keys(match.group()) for match in found]
    gaps = [text[before.end() : after.start()] for before, after in pairwise(found)]
    pieces, position, i = [], 0, 0
    while i < len(words):
        entry = _match(words, gaps, i)
        if entry is None:
            i += 1
            continue
        english, german = _glossary()[entry]
        pieces += [text[position : found[i].start()], english]
        i += len(entry)
        position = found[i - 1].end()
        if german.endswith(".") and text[position : position + 1] == ".":
            position += 1
    return "".join([*pieces, text[position:]])


def knows_word(word: str) -> bool:
    """Whether the glossary holds a German or Swedish word, alone or within a phrase; for measuring what it covers."""
    return any(key in _known_words() for key in _keys(word))


@cache
def _known_words() -> frozenset[str]:
    return frozenset(word for entry in _glossary() for word in entry)
