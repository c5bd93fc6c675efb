"""Whether weights that a user brings are a classifier as their manifest says, before anything relies on them."""

import numpy as np

from moodreel.models.inference import BATCH, Outputs, classify, input_shape, load_classifier
from moodreel.models.onnx import last_line
from moodreel.schemas.labels import NUM_LABELS
from moodreel.schemas.manifest import Manifest

_ALIKE = 1e-3  # between probabilities of the same input in two batches; bfloat16 has eight bits


def check_network(manifest: Manifest) -> None:
    """Classify one random input and three, the way a run does.

    Raises:
        ValueError: the weights are not the manifest's, do not fit the network or its input, or give anything but
            finite logits of each input by itself.
    """
    inputs = np.random.default_rng(0).normal(size=(BATCH, *input_shape(manifest))).astype(np.float32)
    try:
        run = load_classifier(manifest, "torch" if manifest.task == "voice" else "auto")
        outputs = run(inputs)
        _check_outputs(manifest, outputs)
        one, three = (classify(run, manifest, inputs[:n]).probabilities for n in (1, 3))
    except RuntimeError as error:
        raise ValueError(
            f"{manifest.weights} does not run as {manifest.network} on the declared input: {last_line(error)}"
        ) from error
    if not np.allclose(one, three[:1], rtol=0, atol=_ALIKE):
        raise ValueError(
            f"{manifest.weights}: what it says of an input depends on the others of the batch; export it as for "
            "inference (in torch after eval())"
        )


def _check_outputs(manifest: Manifest, outputs: Outputs) -> None:
    name = manifest.weights
    logits, *features = outputs
    if logits.shape != (BATCH, NUM_LABELS):
        raise ValueError(f"{name} turns {BATCH} inputs into {logits.shape}, expected ({BATCH}, {NUM_LABELS})")
    wanted, found = manifest.num_features, features[0].shape[1:] if features else ()
    if wanted and found != (wanted,):
        raise ValueError(
            f"{name} has features of {found}, its manifest says num_features = {wanted}: correct or omit it"
        )
    if not all(np.isfinite(output).all() for output in outputs):
        raise ValueError(f"{name} gives values that are not finite for inputs of mean 0 and spread 1")
    if (logits >= 0).all() and np.allclose(logits.sum(1), 1, atol=1e-3):
        raise ValueError(f"{name} gives probabilities, expected logits: export it without its last softmax")
