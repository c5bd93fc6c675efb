"""ONNX: the networks that users bring from other libraries, read by OpenVINO."""

from pathlib import Path

import openvino
from openvino import frontend

from moodreel.schemas.manifest import Manifest

# they share no class
_FAILURES = (
    RuntimeError,
    frontend.GeneralFailure,
    frontend.InitializationFailure,
    frontend.NotImplementedFailure,
    frontend.OpConversionFailure,
    frontend.OpValidationFailure,
)


def is_onnx(manifest: Manifest) -> bool:
    """Say whether the weights are an ONNX file, which holds the network too."""
    return manifest.weights.endswith(".onnx")


def read_onnx(path: Path) -> openvino.Model:
    """Read an ONNX file with one float32 input.

    Raises:
        ValueError: it is no such file, keeps tensors in other files, or has an operation that OpenVINO lacks.
    """
    # not Core.read_model: that tries every format it knows, whatever the file's name
    reader = frontend.FrontEndManager().load_by_framework("onnx")
    try:
        model = reader.convert(reader.load(str(path)))
    except _FAILURES as error:
        raise ValueError(f"{path.name} can't be read as ONNX in one file: {last_line(error)}") from error
    kinds = [str(each.element_type) for each in model.inputs]
    if kinds != [str(openvino.Type.f32)]:
        raise ValueError(f"{path.name} has inputs of {', '.join(kinds) or 'no kind'}; export it with one of float32")
    return model


def last_line(error: Exception) -> str:
    """Return what an error of OpenVINO or torch comes to; the lines before it say where in their code it was."""
    return str(error).strip().splitlines()[-1].strip()
