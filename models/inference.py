"""Run a registered classifier: OpenVINO on CPUs, torch on GPUs, always in full batches; ONNX in OpenVINO everywhere."""

import functools
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

import numpy as np
import openvino
from filelock import FileLock
from numpy.typing import NDArray

from moodreel.models.onnx import is_onnx, read_onnx
from moodreel.models.registry import checked_weights
from moodreel.schemas.manifest import ImageInput, Manifest, VectorInput

if TYPE_CHECKING:  # torch is imported only when it is needed
    from torch import nn

BATCH = 16  # fixed and padded, so that a face's probabilities do not depend on its neighbours
Backend = Literal["auto", "openvino", "torch"]
Inputs = NDArray[np.float32]
Outputs = tuple[NDArray[np.float32], ...]
# NVIDIA's driver, the same on its boards, AMD's, and that of Linux under Windows
_GPU_DEVICES: Final = tuple(Path("/dev", name) for name in ("nvidiactl", "nvmap", "kfd", "dxg"))
_OUTPUTS: Final = "logits-features"  # in the name of a converted network: one with other outputs is another file


class Classifier(Protocol):
    """A loaded network.

    (BATCH, 3, h, w) float32 normalised images, or (BATCH, length) deep features or windows of sound, to (BATCH, 7)
    float32 logits in the network's own order and, if it has any, (BATCH, num_features) float32 deep features.
    """

    def __call__(self, inputs: Inputs) -> Outputs:
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
    if is_onnx(manifest):
        return OpenVinoClassifier(manifest)
    if backend == "auto":
        backend = "torch" if has_gpu() else "openvino"
    return TorchClassifier(manifest) if backend == "torch" else OpenVinoClassifier(manifest)


def input_shape(manifest: Manifest) -> tuple[int, ...]:
    """Return the shape of one input: (3, side_px, side_px) of a picture, (length,) of deep features or sound.

    Raises:
        ValueError: it takes none of these.
    """
    if isinstance(manifest.input, ImageInput):
        return 3, manifest.input.side_px, manifest.input.side_px
    if isinstance(manifest.input, VectorInput):
        return (manifest.input.length,)
    return (manifest.sound_input().length,)


def classify(run: Classifier, manifest: Manifest, inputs: Inputs) -> Classified:
    """Classify (n, 3, h, w) float32 normalised images, or (n, length) deep features or sound; n = 0 is allowed.

    Raises:
        ValueError: the network has other outputs than the manifest has labels.
    """
    result = np.zeros((len(inputs), len(manifest.labels)), np.float32)
    features = np.zeros((len(inputs), manifest.num_features or 0), np.float32)
    for first in range(0, len(inputs), BATCH):
        chunk = inputs[first : first + BATCH]
        batch = np.zeros((BATCH, *input_shape(manifest)), np.float32)
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


@functools.cache
def cpu_has_bf16() -> bool:
    """Say whether this CPU multiplies matrices of bfloat16 itself; others imitate that, slower than with float32."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def has_gpu() -> bool:
    """Say whether torch sees a GPU."""
    if sys.platform == "linux" and not any(device.exists() for device in _GPU_DEVICES):
        return False  # without asking torch, which takes seconds to load
    import torch

    return torch.cuda.is_available()


class OpenVinoClassifier:
    """The network as OpenVINO's own format; faces in bfloat16 where the CPU computes it natively."""

    def __init__(self, manifest: Manifest) -> None:
        core = openvino.Core()
        # features of sound reach from 1e-6 to 1e6: too far for the eight bits of a bfloat16; pictures alone cost time
        is_bf16 = isinstance(manifest.input, ImageInput) and cpu_has_bf16()
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if is_bf16 else "f32",
            "INFERENCE_NUM_THREADS": 1,
            "NUM_STREAMS": 1,
            "CACHE_DIR": str(cache_folder()),
        }
        self._request = core.compile_model(core.read_model(ensure_ir(manifest)), "CPU", settings).create_infer_request()

    def __call__(self, inputs: Inputs) -> Outputs:
        """See `Classifier`."""
        return tuple(self._request.infer([inputs]).values())


class TorchClassifier:
    """The network in torch, float32: the reference, and the way on GPUs."""

    def __init__(self, manifest: Manifest) -> None:
        import torch

        from moodreel.models.features import FeatureReader

        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = FeatureReader(load_network(manifest)).to(self._device)

    def __call__(self, inputs: Inputs) -> Outputs:
        """See `Classifier`."""
        import torch

        with torch.inference_mode():
            outputs = self._network(torch.from_numpy(inputs).to(self._device))
            return tuple(output.cpu().numpy() for output in outputs)


def ensure_ir(manifest: Manifest) -> Path:
    """Convert a network to OpenVINO's format once per machine; later processes need neither torch nor timm for it."""
    target = cache_folder() / f"{manifest.model_id}-{_OUTPUTS}-{openvino.__version__.split('-')[0]}.xml"
    weights = checked_weights(manifest)
    with FileLock(target.with_suffix(".lock")):
        if not target.exists():
            model = read_onnx(weights) if is_onnx(manifest) else _convert(manifest)
            model.reshape([BATCH, *input_shape(manifest)])
            temporary = target.with_name(f"{target.stem}.tmp.xml")
            openvino.save_model(model, temporary, compress_to_fp16=False)
            # the .xml is what says "done", so it gets its name last
            os.replace(temporary.with_suffix(".bin"), target.with_suffix(".bin"))
            os.replace(temporary, target)
    return target


def _convert(manifest: Manifest) -> openvino.Model:
    import torch

    from moodreel.models.features import FeatureReader

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # about torch.jit, which OpenVINO's converter uses
        # shapes are fixed here
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]  # torch does not list it
        example = torch.zeros(BATCH, *input_shape(manifest))
        return openvino.convert_model(FeatureReader(load_network(manifest)), example_input=example)


def cache_folder() -> Path:
    """Return the folder for converted networks, made if need be."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "moodreel" / "openvino"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def load_network(manifest: Manifest) -> "nn.Module":
    """Build a network in torch and load its checked weights; ONNX comes as a module that can't be trained.

    Raises:
        ValueError: the weights are missing or not those of the manifest.
    """
    if is_onnx(manifest):
        from moodreel.models.onnx_network import OnnxNetwork

        return OnnxNetwork(OpenVinoClassifier(manifest), BATCH)
    from moodreel.models.networks import build_network
    from moodreel.models.packing import load_weights

    network = build_network(manifest.network)
    network.load_state_dict(load_weights(checked_weights(manifest), manifest.labels))
    return network.eval()
