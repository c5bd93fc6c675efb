"""`moodreel notice`: the text that people on camera must get."""

from typing import Final

from moodreel.schemas.purposes import Ground, check_purpose, stated_purpose

_GAPS: Final = {
    "en": {
        "controller": "[FILL IN: name and address of who is responsible]",
        "purpose": "[FILL IN: what the recordings are analysed for]",
        "exception": "",
    },
    "de": {
        "controller": "[AUSFÜLLEN: Name und Anschrift des Verantwortlichen]",
        "purpose": "[AUSFÜLLEN: wozu die Aufnahmen ausgewertet werden]",
        "exception": "",
    },
}
_GROUNDS: Final = {
    "en": {Ground.MEDICAL: " (for medical reasons)", Ground.SAFETY: " (for safety reasons)"},
    "de": {Ground.MEDICAL: " (aus medizinischen Gründen)", Ground.SAFETY: " (aus Sicherheitsgründen)"},
}
_TEXT: Final = {
    "en": """\
NOTICE: AUTOMATIC ANALYSIS OF FACES AND VOICES

Video and sound are recorded here. A computer program, an emotion recognition system, analyses the recordings. You are
told so under Article 50(3) of the EU AI Act (Regulation (EU) 2024/1689) and Article 13 of the GDPR.

What is analysed
  The program finds faces, follows each of them through one video, and stores where they are, pictures of them, and
  which of seven expressions each seems to show: angry, disgust, fear, happy, sad, surprise or neutral. Of the sound it
  stores measurements such as pitch and loudness. It does not find out who you are, and does not recognise you in
  another video.

What that means
  It reports apparent expressions. What a face or a voice shows is not what a person feels, and the program is often
  wrong. No decision about you may rest on its output alone.

What for
  {purpose}{exception}

On which legal basis
  [FILL IN: Article 6(1) GDPR, letter ...; where the data reveal health or serve to identify you, Article 9(2) too]

Who is responsible
  {controller}
  Data protection officer: [FILL IN: contact, or delete this line]

Who gets the data
  [FILL IN: departments, processors, countries outside the EU; or "nobody else"]

How long it is kept
  Videos: [FILL IN]. Pictures of faces: [FILL IN]. All other results: [FILL IN].

Your rights
  You may ask for access to your data, for their correction or erasure and for restriction of their use, object to their
  use, receive data that you gave, and withdraw a consent at any time for the future. You may complain to a supervisory
  authority: [FILL IN: name and address].

Contact
  [FILL IN: e-mail, telephone, and where people can say that they do not want to be analysed]
""",
    "de": """\
HINWEIS: AUTOMATISCHE AUSWERTUNG VON GESICHTERN UND STIMMEN

Hier werden Bild und Ton aufgezeichnet. Ein Computerprogramm, ein Emotionserkennungssystem, wertet die Aufnahmen aus.
Darüber werden Sie nach Artikel 50 Absatz 3 der KI-Verordnung der EU (Verordnung (EU) 2024/1689) und Artikel 13 der
DSGVO informiert.

Was ausgewertet wird
  Das Programm findet Gesichter, verfolgt jedes durch ein Video und speichert, wo sie sind, Bilder von ihnen und welchen
  von sieben Ausdrücken jedes zu zeigen scheint: Wut, Ekel, Angst, Freude, Trauer, Überraschung oder keinen. Vom Ton
  speichert es Messwerte wie Tonhöhe und Lautstärke. Es stellt nicht fest, wer Sie sind, und erkennt Sie in keinem
  anderen Video wieder.

Was das bedeutet
  Es meldet den scheinbaren Ausdruck. Was ein Gesicht oder eine Stimme zeigt, ist nicht, was ein Mensch fühlt, und das
  Programm irrt sich oft. Keine Entscheidung über Sie darf allein auf seiner Ausgabe beruhen.

Wozu
  {purpose}{exception}

Auf welcher Rechtsgrundlage
  [AUSFÜLLEN: Artikel 6 Absatz 1 DSGVO, Buchstabe ...; wo die Daten Gesundheit verraten oder Sie identifizieren sollen,
  auch Artikel 9 Absatz 2]

Wer verantwortlich ist
  {controller}
  Datenschutzbeauftragte: [AUSFÜLLEN: Kontakt, oder diese Zeile löschen]

Wer die Daten erhält
  [AUSFÜLLEN: Abteilungen, Auftragsverarbeiter, Länder außerhalb der EU; oder "niemand sonst"]

Wie lange sie aufbewahrt werden
  Videos: [AUSFÜLLEN]. Bilder von Gesichtern: [AUSFÜLLEN]. Alle anderen Ergebnisse: [AUSFÜLLEN].

Ihre Rechte
  Sie können Auskunft über Ihre Daten, ihre Berichtigung oder Löschung und die Einschränkung ihrer Nutzung verlangen,
  der Nutzung widersprechen, Daten erhalten, die Sie bereitgestellt haben, und eine Einwilligung jederzeit für die
  Zukunft widerrufen. Sie können sich bei einer Aufsichtsbehörde beschweren: [AUSFÜLLEN: Name und Anschrift].

Kontakt
  [AUSFÜLLEN: E-Mail, Telefon, und wo man sagen kann, dass man nicht ausgewertet werden will]
""",
}


def notice_text(language: str, controller: str | None, purpose: str | None, exception: Ground | None) -> str:
    """Return the notice; what only the user knows is marked in square brackets.

    Args:
        language: en or de.
        controller: who is responsible, name and address.
        purpose: what for; by default the configured one.
        exception: why that is lawful at work or in education.

    Raises:
        ValueError: the purpose is prohibited.
    """
    check_purpose(purpose := stated_purpose(purpose), exception)
    known = {
        "controller": controller,
        "purpose": purpose,
        "exception": _GROUNDS[language][exception] if exception else None,
    }
    return _TEXT[language].format(**{name: value or _GAPS[language][name] for name, value in known.items()})
