"""The notice says what the law asks for, in both languages, and marks what only the user knows."""

import re

import pytest
from commands import moodreel

from moodreel.flows.notice import notice_text
from moodreel.schemas.purposes import Ground

GAP = {"en": r"\[FILL IN\b[^\]]*\]", "de": r"\[AUSFÜLLEN\b[^\]]*\]"}
SAFETY = {"en": "for safety reasons", "de": "aus Sicherheitsgründen"}
MUST_SAY = {
    "en": "recorded; emotion recognition; apparent; not what a person feels; Article 50(3); 2024/1689; What for;"
    " responsible; How long; erasure; complain; withdraw; Contact",
    "de": "aufgezeichnet; Emotionserkennungssystem; scheinbar; nicht, was ein Mensch fühlt; Artikel 50; 2024/1689;"
    " Wozu; verantwortlich; Wie lange; Löschung; beschweren; widerrufen; Kontakt",
}


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_notice_says_what_people_must_be_told(language: str) -> None:
    text = notice_text(language, None, None, None)
    said = " ".join(text.split())
    for what in MUST_SAY[language].split("; "):
        assert what in said, what
    assert max(map(len, text.splitlines())) <= 120 and "{" not in text


@pytest.mark.parametrize("language", ["en", "de"])
def test_what_is_known_fills_its_gap(language: str) -> None:
    bare = notice_text(language, None, None, None)
    filled = notice_text(language, "Museum {1}, Long Street 2", "visitors' interest [2026]", None)
    assert "Museum {1}, Long Street 2" in filled and "visitors' interest [2026]" in filled
    assert len(re.findall(GAP[language], bare)) == len(re.findall(GAP[language], filled)) + 2
    with_ground = notice_text(language, None, "tired office staff", Ground.SAFETY)
    assert f"tired office staff ({SAFETY[language]})" in with_ground


def test_both_languages_have_the_same_sections() -> None:
    english, german = (notice_text(language, None, None, None).split("\n\n") for language in ("en", "de"))
    assert len(english) == len(german)
    assert [len(re.findall(GAP["en"], part)) for part in english] == [
        len(re.findall(GAP["de"], part)) for part in german
    ]


def test_a_prohibited_purpose_gets_no_notice() -> None:
    with pytest.raises(ValueError, match=r"Article 5\(1\)\(f\)"):
        notice_text("en", None, "the mood in the office", None)


def test_the_command_prints_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOODREEL_PURPOSE", "Besucherforschung")
    words = ("notice", "--language", "de", "--controller", "Museum, Lange Straße 2")
    printed = moodreel(*words)
    assert (printed.returncode, printed.stderr) == (0, "")
    assert "Besucherforschung" in printed.stdout and "Lange Straße 2" in printed.stdout
    assert moodreel(*words, "--purpose", "Klausur").returncode == 2
