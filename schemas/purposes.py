"""What a run is for: a guard against mistakes, not a legal check. docs/answerable-use.md says what it can't see."""

import os
import re
import unicodedata
from enum import StrEnum
from typing import Final

VARIABLE: Final = "MOODREEL_PURPOSE"  # the purpose where none is given
LAW: Final = "Article 5(1)(f) of the EU AI Act (Regulation (EU) 2024/1689)"


class Ground(StrEnum):
    """What the law leaves open at work and in education."""

    MEDICAL = "medical"
    SAFETY = "safety"


# whole words, without regard to case, in the languages that `moodreel notice` speaks; not those that mean much else,
# as work, job and Prüfung do
_WORK: Final = """
    workplace workplaces worker workers workforce office offices employee employees employer
    employers employment staff personnel colleague colleagues coworker coworkers applicant applicants hiring recruiting
    recruitment recruiter recruiters hr
    arbeitsplatz arbeitsplätze arbeiter arbeitnehmer arbeitgeber mitarbeiter mitarbeiterin mitarbeiterinnen
    mitarbeitende mitarbeitenden beschäftigte beschäftigten angestellte angestellten belegschaft büro
    bewerber bewerberin bewerberinnen bewerbung bewerbungen bewerbungsgespräch bewerbungsgespräche
"""
_EDUCATION: Final = """
    education educational school schools schooling kindergarten classroom classrooms student students pupil pupils
    teacher teachers teaching lesson lessons lecture lectures exam exams proctoring university universities college
    colleges campus
    bildung schule schulen schüler schülerin schülerinnen klassenzimmer studentin studentinnen studenten studierende
    studierenden lehrer lehrerin unterricht vorlesung vorlesungen klausur universität universitäten
    hochschule hochschulen ausbildung
"""
PROHIBITED: Final = {"the workplace": frozenset(_WORK.split()), "education": frozenset(_EDUCATION.split())}


def stated_purpose(purpose: str | None = None) -> str | None:
    """Return the purpose as given, else the configured one of MOODREEL_PURPOSE, else None."""
    return purpose or os.environ.get(VARIABLE) or None


def check_purpose(purpose: str | None, exception: Ground | None) -> None:
    """Refuse what the law prohibits.

    Raises:
        ValueError: the purpose names work or education and no exception, or an exception comes without a purpose.
    """
    if exception and not purpose:
        raise ValueError(f"the exception {exception} needs a purpose beside it: give --purpose TEXT too")
    words = set(re.findall(r"[^\W\d_]+", unicodedata.normalize("NFKC", purpose or "").casefold()))
    for place, names in PROHIBITED.items():
        if exception is None and (found := words & names):
            raise ValueError(
                f"the purpose names {place} ({', '.join(sorted(found))}), where inferring emotions is prohibited by"
                f" {LAW} except for medical or safety reasons: name another purpose,"
                " or pass --exception medical or --exception safety"
            )
