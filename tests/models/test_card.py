from moodreel.models.card import card
from moodreel.models.registry import REGISTERED, read_manifest
from moodreel.schemas.manifest import ClassScores, Denoising, Manifest

MANIFEST = read_manifest(REGISTERED[0])


def with_facts(**facts: object) -> Manifest:
    return MANIFEST.model_copy(update=facts)


def test_a_card_tells_data_licence_figures_and_cost() -> None:
    text = card(MANIFEST)
    assert MANIFEST.model_id in text and MANIFEST.licence in text and MANIFEST.trained_on in text
    assert f"    {MANIFEST.measured_with}" in text
    for name, value in MANIFEST.metrics.items():
        assert f"| {name} | {value:.4f} |" in text
    for run in MANIFEST.training:
        assert f"    {run.command}\n\n{run.epochs} epochs in" in text
    assert all(f"- {failing}" in text for failing in MANIFEST.known_failings)


def test_expressions_that_are_mostly_missed_are_failings_the_worst_first() -> None:
    scores = {
        label: ClassScores(precision=0.9, recall=recall, f1=0.5)
        for label, recall in (("angry", 0.4), ("fear", 0.1), ("happy", 0.5))
    }
    lines = card(with_facts(per_class=scores, known_failings=("Night.",))).split("## Known failings")[1].split("\n- ")
    assert [line.strip() for line in lines[1:]] == [
        "It misses most faces that show fear: it finds 10% of them.",
        "It misses most faces that show angry: it finds 40% of them.",
        "Night.",
    ]


def test_what_a_model_has_beyond_that_is_in_its_card() -> None:
    assert "--features" not in card(with_facts(num_features=None))
    assert "stores its 12 deep features" in card(with_facts(num_features=12))
    assert "divided: 1.35." in card(with_facts(temperature=1.35))
    assert "Four blocks of 8." in card(with_facts(structure="Four blocks of 8."))
    denoising = {"0.2": Denoising(noisy_psnr_db=20.0, denoised_psnr_db=24.5)}
    assert "| 0.2 | 20.00 | 24.50 |" in card(with_facts(denoising=denoising))
    assert "PSNR" not in card(with_facts(denoising={}))
    rgb = MANIFEST.input.model_copy(update={"colour": "rgb", "margin": 0.2, "source_px": 96, "side_px": 96})
    assert "with a margin of 20% of its side, in rgb, reduced to 96 px;" in card(with_facts(input=rgb))
