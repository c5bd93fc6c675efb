"""The arithmetic of docs/reproduction.md, from the claims as they are declared."""

import math
from pathlib import Path

from moodreel.schemas.labels import NUM_LABELS
from moodreel.schemas.training import Adversarial
from moodreel.tasks.reproduction.budget import comparison_config
from moodreel.tasks.reproduction.claims import OURS, PLANS
from moodreel.tasks.reproduction.optimizers import NUM_EPOCHS, NUM_FACES, NUM_VALIDATION_FACES
from moodreel.tasks.reproduction.statistics import LEVEL, NUM_DRAWS

DOCS = " ".join((Path(__file__).parents[3] / "docs" / "reproduction.md").read_text(encoding="utf-8").split())
CLAIMS = {plan.figure: plan.claims for plan in PLANS}


def test_the_docs_bound_the_psnr_of_eight_bits_rightly() -> None:
    claim = CLAIMS["psnr"][OURS, 300]
    squared_levels = 255**2 / 10 ** (claim / 10)
    assert f"**{10 * math.log10(255**2 * 12):.2f} dB**" in DOCS and f"{claim:g} dB" in DOCS
    assert f"of {squared_levels:.5f} squared levels" in DOCS
    assert f"one pixel in {1 / squared_levels:,.0f}" in DOCS
    assert round(3 * 48**2 * squared_levels) == 2  # two pixels in three whole faces
    noisy = [f"{20 * math.log10(2 / sigma):.1f}" for sigma in Adversarial().noise_sigmas]
    assert f"{noisy[0]}, {noisy[1]} and {noisy[2]} dB" in DOCS


def test_the_docs_weigh_the_claimed_rmse_rightly() -> None:
    claim, accuracy = CLAIMS["rmse"][OURS, 300] / 100, CLAIMS["accuracy"][OURS, 300] / 100
    assert f"{accuracy:.2%}".replace("%", " %") in DOCS and f"{100 * claim:g} %" in DOCS
    assert f"RMSE of {100 * math.sqrt((1 - 1 / NUM_LABELS) / NUM_LABELS):.2f} %" in DOCS
    assert f"has {100 * math.sqrt(2 * (1 - accuracy) / NUM_LABELS):.2f} %" in DOCS

    def share_of_the_right_class(squares_of_a_face: float) -> float:
        """The rest is spread evenly: (1 - p)^2 (1 + 1/6) is the sum of squares."""
        return 1 - math.sqrt(squares_of_a_face * (NUM_LABELS - 1) / NUM_LABELS)

    assert f"right class {share_of_the_right_class(NUM_LABELS * claim**2):.0%}".replace("%", " %") in DOCS
    assert f"mean of {share_of_the_right_class(claim**2):.0%}".replace("%", " %") in DOCS


def test_no_claimed_accuracy_is_a_share_of_its_faces() -> None:
    for (_, size), claim in CLAIMS["accuracy"].items():
        nearest = round(claim / 100 * size)
        assert round(100 * nearest / size, 2) != claim
    assert "would be 291.69 of them (291 are 97.00 %, 292 are 97.33 %)" in DOCS


def test_the_docs_name_the_budget_as_declared() -> None:
    assert f"batches of {comparison_config(OURS, 1).batch_size}" in DOCS
    assert f"{NUM_DRAWS} times" in DOCS and f"{LEVEL:.0%}".replace("%", " %") + " interval" in DOCS
    assert f"{NUM_FACES:,} faces for {NUM_EPOCHS} epochs" in DOCS and f"{NUM_VALIDATION_FACES:,} other" in DOCS
