"""Run a registered frame classifier: OpenVINO on CPUs, torch on GPUs, always in full batches."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

import numpy as np
import openvino
from filelock import FileLock
from numpy.typing import NDArray

from moodreel.models.registry import checked_weights
from moodreel.schemas.manifest import Manifest

if TYPE_CHECKING:  # torch is imported only when it is needed
    from torch import nn

BATCH = 16  # fixed and padded, so that a face's probabilities do not depend on its neighbours
Backend = Literal["auto", "openvino", "torch"]
Images = NDArray[np.float32]
Outputs = tuple[NDArray[np.float32], ...]
_OUTPUTS: Final = "logits-features"  # in the name of a converted network: one with other outputs is another file


class Classifier(Protocol):
    """A loaded network.

    (BATCH, 3, h, w) float32 normalised images to (BATCH, 7) float32 logits in the network's own order and, if it has
    any, (BATCH, num_features) float32 deep features.
    """

    def __call__(self, images: Images) -> Outputs:
        """Run one batch."""
        ...


class Classified(NamedTuple):
    """What a network says of n faces."""

    probabilities: NDArray[np.float32]  # (n, 7) in the order of LABELS
    features: NDArray[np.float32]  # (n, num_features), (n, 0) if the network has none


def load_classifier(manifest: Manifest, backend: Backend = "auto") -> Classifier:
    """Load a network for this machine; one thread, since parallelism comes from processes.

    Raises:
        ValueError: the weights are missing or not those of the manifest.
    """
    if backend == "auto":
        backend = "torch" if has_gpu() else "openvino"
    return TorchClassifier(manifest) if backend == "torch" else OpenVinoClassifier(manifest)


def classify(run: Classifier, manifest: Manifest, images: Images) -> Classified:
    """Classify (n, 3, h, w) float32 normalised images; n = 0 is allowed.

    Raises:
        ValueError: the network has other outputs than the manifest has labels.
    """
    side = manifest.image_input().side_px
    result = np.zeros((len(images), len(manifest.labels)), np.float32)
    features = np.zeros((len(images), manifest.num_features or 0), np.float32)
    for first in range(0, len(images), BATCH):
        chunk = images[first : first + BATCH]
        batch = np.zeros((BATCH, 3, side, side), np.float32)
        batch[: len(chunk)] = chunk
        outputs = [output[: len(chunk)] for output in run(batch)]
        logits = outputs[0].astype(np.float64) / manifest.temperature
        if logits.shape[1] != len(manifest.labels):
            raise ValueError(f"{manifest.name} has {logits.shape[1]} outputs for {len(manifest.labels)} labels")
        powers = np.exp(logits - logits.max(1, keepdims=True))
        result[first : first + BATCH] = powers / powers.sum(1, keepdims=True)
        if manifest.num_features:
            features[first : first + BATCH] = outputs[1]
    return Classified(result[:, manifest.output_order()], features)


def has_gpu() -> bool:
    """Say whether torch sees a GPU."""
    import torch

    return torch.cuda.is_available()


class OpenVinoClassifier:
    """The network as OpenVINO's own format, in bfloat16 where the CPU computes it natively."""

    def __init__(self, manifest: Manifest) -> None:
        core = openvino.Core()
        native = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if "BF16" in native else "f32",
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "CACHE_DIR": str(cache_folder()),
        }
        self._request = core.compile_model(core.read_model(ensure_ir(manifest)), "CPU", settings).create_infer_request()

    def __call__(self, images: Images) -> Outputs:
        """See `Classifier`."""
        return tuple(self._request.infer([images]).values())


class TorchClassifier:
    """The network in torch, float32: the reference, and the way on GPUs."""

    def __init__(self, manifest: Manifest) -> None:
        import torch

        from moodreel.models.features import FeatureReader

        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = FeatureReader(load_network(manifest)).to(self._device)

    def __call__(self, images: Images) -> Outputs:
        """See `Classifier`."""
        import torch

        with torch.inference_mode():
            outputs = self._network(torch.from_numpy(images).to(self._device))
            return tuple(output.cpu().numpy() for output in outputs)


def ensure_ir(manifest: Manifest) -> Path:
    """Convert a network to OpenVINO's format once per machine; later processes need neither torch nor timm for it."""
    target = cache_folder() / f"{manifest.model_id}-{_OUTPUTS}-{openvino.__version__.split('-')[0]}.xml"
    checked_weights(manifest)
    with FileLock(target.with_suffix(".lock")):
        if not target.exists():
            import torch

            from moodreel.models.features import FeatureReader

            side = manifest.image_input().side_px
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # about torch.jit, which OpenVINO's converter uses
                example = torch.zeros(BATCH, 3, side, side)
                model = openvino.convert_model(FeatureReader(load_network(manifest)), example_input=example)
            model.reshape([BATCH, 3, side, side])
            temporary = target.with_name(f"{target.stem}.tmp.xml")
            openvino.save_model(model, temporary, compress_to_fp16=False)
            # the .xml is what says "done", so it gets its name last
            os.replace(temporary.with_suffix(".bin"), target.with_suffix(".bin"))
            os.replace(temporary, target)
    return target


def cache_folder() -> Path:
    """Return the folder for converted networks, made if need be."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "moodreel" / "openvino"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def load_network(manifest: Manifest) -> "nn.Module":
    """Build a network in torch and load its checked weights.

    Raises:
        ValueError: the weights are missing or not those of the manifest.
    """
    from moodreel.models.networks import build_network
    from moodreel.models.packing import load_weights

    network = build_network(manifest.network)
    network.load_state_dict(load_weights(checked_weights(manifest)))
    return network.eval()
