"""A model's card: its manifest for people to read."""

from collections.abc import Iterable, Sequence

from moodreel.schemas.manifest import ImageInput, Manifest, MfccInput, SoundInput, VectorInput

_SELDOM = 0.5  # recall below which a card calls an expression often missed


def card(manifest: Manifest) -> str:
    """Return a model's card as Markdown: what stands in docs/models/NAME.md."""
    sections = [
        _section("Use", _use(manifest)),
        _section("Data and licence", [f"Trained on {manifest.trained_on}.", f"Licence: {manifest.licence}."]),
        _section("Input", [_input(manifest.input)]),
        _section("Training", _training(manifest)),
        _section("Figures", _figures(manifest)),
        _section("Known failings", _failings(manifest)),
    ]
    head = [
        f"# {manifest.name}",
        "",
        "Written from the model's manifest by `moodreel models --cards docs/models`.",
        "",
        f"Version {manifest.version}, `{manifest.model_id}`: the network {manifest.network} with the weights "
        f"`{manifest.weights}`.",
        *(["", manifest.structure] if manifest.structure else []),
    ]
    return "\n".join([*head, *(line for section in sections for line in section)]) + "\n"


def _use(manifest: Manifest) -> list[str]:
    what = {"face": "a face shows", "voice": "a voice has"}[manifest.task]
    lines = [
        f"Says which of {len(manifest.labels)} apparent expressions {what}, each with a probability: "
        f"{', '.join(manifest.labels)}. What is shown is not what a person feels.",
    ]
    if manifest.num_features:
        lines += ["", f"`moodreel run --features` stores its {manifest.num_features} deep features of every face."]
    return lines


def _input(wanted: ImageInput | VectorInput | SoundInput | MfccInput) -> str:
    if isinstance(wanted, MfccInput):
        return (
            f"{wanted.num_coefficients} mel frequency cepstral coefficients over {wanted.length_s:g} s of a clip, from "
            f"{wanted.offset_s:g} s on."
        )
    if isinstance(wanted, SoundInput):
        return (
            f"The {wanted.length} values of openSMILE's {wanted.feature_set} of {wanted.window_s:g} s of sound, at "
            f"least {wanted.min_speech_share:.0%} of it speech; else there is no verdict. The network standardises "
            f"them by mean and spread over {wanted.standardised_over} windows: `centre` and `scale` in its weights."
        )
    if isinstance(wanted, VectorInput):
        frames = "one frame" if wanted.num_frames == 1 else f"{wanted.num_frames} frames"
        return (
            f"{wanted.length} values: the mean of each deep feature of `{wanted.source}` over {frames} of a face, then "
            "the spread of each."
        )
    margin = f"with a margin of {wanted.margin:.0%} of its side" if wanted.margin else "without a margin"
    resized = "" if wanted.source_px == wanted.side_px else f", then resized to {wanted.side_px} px"
    return (
        f"The detector's box made square, {margin}, in {wanted.colour}, reduced to {wanted.source_px} px{resized}; "
        f"pixels of 0..1 minus {wanted.mean:g}, divided by {wanted.std:g}."
    )


def _training(manifest: Manifest) -> list[str]:
    lines: list[str] = []
    if manifest.speakers:
        lines += [f"Speakers heard: {', '.join(manifest.speakers)}.", ""]
    for run in manifest.training:
        lines += [f"    {run.command}", "", f"{run.epochs} epochs in {run.hours:g} hours on {run.machine}.", ""]
    return lines[:-1]


def _figures(manifest: Manifest) -> list[str]:
    lines = [f"    {manifest.measured_with}", ""]
    lines += _table(("figure", "value"), ((name, f"{value:.4f}") for name, value in manifest.metrics.items()))
    lines += ["", f"Temperature, by which the logits are divided: {manifest.temperature:g}."]
    if manifest.per_class:
        rows = [
            (label, *(f"{value:.3f}" for value in (scores.precision, scores.recall, scores.f1)))
            for label, scores in manifest.per_class.items()
        ]
        lines += ["", *_table(("expression", "precision", "recall", "F1"), rows)]
    if manifest.denoising:
        rows = [
            (sigma, f"{psnr.noisy_psnr_db:.2f}", f"{psnr.denoised_psnr_db:.2f}")
            for sigma, psnr in manifest.denoising.items()
        ]
        lines += ["", "The denoiser, by the standard deviation of the noise on pixels of -1..1:", ""]
        lines += _table(("noise", "PSNR noisy, dB", "PSNR denoised, dB"), rows)
    return lines


def _failings(manifest: Manifest) -> list[str]:
    recalls = sorted((round(scores.recall, 2), label) for label, scores in manifest.per_class.items())
    what = {"face": "faces that show", "voice": "clips labelled"}[manifest.task]
    missed = [(recall, label) for recall, label in recalls if recall < _SELDOM]
    seldom = [f"It misses most {what} {label}: it finds {recall:.0%} of them." for recall, label in missed]
    return [f"- {failing}" for failing in (*seldom, *manifest.known_failings)]


def _section(title: str, lines: Iterable[str]) -> list[str]:
    return ["", f"## {title}", "", *lines]


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (names, ["---"] * len(names), *rows)]
