"""What is sent: real inputs of the demo's models, one or many per job."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference_engine_demo.inputs import EMBEDDING_LABEL, sample_inputs
from inference_engine_demo.jobs import QUERY, SENTENCES

Body = dict[str, NDArray[Any]]

#: The number of different bodies sent in turn, so that no cache favours one side.
VARIETY = 8


@dataclass(frozen=True, slots=True)
class Workload:
    """Jobs of one model with `items` inputs each."""

    label: str
    noun: str
    items: int

    @property
    def name(self) -> str:
        """The name used in tables."""
        return f"{self.noun}, {self.items} a job"

    def bodies(self) -> list[Body]:
        """A few different bodies, to be sent in turn."""
        if self.label == EMBEDDING_LABEL:
            return [_sentences(self.items, start) for start in range(VARIETY)]
        samples = sample_inputs(self.label)
        return [_pictures(samples, self.items, start) for start in range(VARIETY)]


def _sentences(count: int, start: int) -> Body:
    texts = itertools.islice(itertools.cycle((QUERY, *SENTENCES)), start, start + count)
    return {"TEXT": np.array([text.encode() for text in texts], dtype=object)}


def _pictures(samples: list[Body], count: int, start: int) -> Body:
    chosen = list(itertools.islice(itertools.cycle(samples), start, start + count))
    return {name: np.concatenate([sample[name] for sample in chosen]) for name in chosen[0]}


def sentences(items: int) -> Workload:
    """Sentences to embed: small bodies, a result of 384 numbers a sentence."""
    return Workload(EMBEDDING_LABEL, "sentences", items)


def strips(items: int) -> Workload:
    """Strips of text, upright or not: 110 kB a picture as FP32, under a millisecond of compute, two numbers as a result."""
    return Workload("ocr-angle", "strips of text", items)


def pages(items: int) -> Workload:
    """Pages to find text on: 2.5 MB a picture as FP32 and 0.8 MB for a result, both through S3; much compute."""
    return Workload("ocr-detect", "pages", items)
