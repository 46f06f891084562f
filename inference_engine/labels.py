"""Labels and what follows from them: queue names, message groups, cells. Pure rules.

Sources: SQS Developer Guide, "Amazon SQS queue quotas" (names of up to 80 characters of letters, digits, '-' and '_', FIFO
names end in '.fifo') and "Using the message group ID" (up to 128 characters of letters, digits and punctuation).
"""

from __future__ import annotations

import hashlib
import re

from .errors import InvalidLabelError

LABEL_MAX_CHARACTERS = 256
QUEUE_NAME_MAX_CHARACTERS = 80
FIFO_SUFFIX = ".fifo"
#: The label of the only queue of a single-queue deployment.
SINGLE_QUEUE_LABEL = "default"

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_HASH_CHARACTERS = 10
#: Names of the deployment's own queues, and those of hashed labels; a label with such a name gets a hash, like any unusual one.
_HASHED = re.compile(rf".*--[0-9a-f]{{{_HASH_CHARACTERS}}}")
_RESERVED = re.compile(rf"placement(--[0-9]+)?|dead-letters|{_HASHED.pattern}")


def check_label(label: str) -> str:
    """`label` itself. Raises InvalidLabelError where it cannot name a model."""
    if not isinstance(label, str) or not label.strip():
        raise InvalidLabelError(f"label {label!r} is empty: give the name of a model, for example label='resnet50'")
    if len(label) > LABEL_MAX_CHARACTERS:
        raise InvalidLabelError(
            f"label {label[:40]!r}… has {len(label)} characters; at most {LABEL_MAX_CHARACTERS} are allowed"
        )
    if any(not character.isprintable() for character in label):
        raise InvalidLabelError(f"label {label!r} contains an unprintable character; use letters and digits")
    return label


def slug(label: str, max_characters: int) -> str:
    """A name of at most `max_characters` characters from `[A-Za-z0-9_-]`, a different one for each label.

    It is the label itself where that is possible, else a readable part of the label and a hash of the whole.
    """
    if _PLAIN.fullmatch(label) and len(label) <= max_characters and not _RESERVED.fullmatch(label):
        return label
    digest = hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_CHARACTERS]
    readable = re.sub(r"[^A-Za-z0-9_]+", "-", label).strip("-")[: max_characters - _HASH_CHARACTERS - 2]
    return f"{readable}--{digest}" if readable else f"x--{digest}"


def queue_name(prefix: str, label: str) -> str:
    """The FIFO queue of a label: `{prefix}-{label}.fifo`, within SQS's 80 characters."""
    room = QUEUE_NAME_MAX_CHARACTERS - len(FIFO_SUFFIX) - len(prefix) - 1
    return f"{prefix}-{slug(check_label(label), room)}{FIFO_SUFFIX}"


def label_of_queue(prefix: str, name: str) -> str | None:
    """The label of a queue, from its name: '' for queues of no label, None where the name has only the label's hash."""
    inner = name.removeprefix(f"{prefix}-").removesuffix(FIFO_SUFFIX)
    if _HASHED.fullmatch(inner):
        return None
    return "" if _RESERVED.fullmatch(inner) or f"{prefix}-{inner}{FIFO_SUFFIX}" != name else inner


def placement_queue_name(prefix: str, cell: int, cells: int) -> str:
    """The queue of one cell's load requests."""
    return f"{prefix}-placement{FIFO_SUFFIX}" if cells == 1 else f"{prefix}-placement--{cell}{FIFO_SUFFIX}"


def dead_letter_queue_name(prefix: str) -> str:
    """The one dead-letter queue, for messages that no consumer could finish."""
    return f"{prefix}-dead-letters{FIFO_SUFFIX}"


def webhook_queue_name(prefix: str) -> str:
    """The queue of deliveries to callback URLs. It cannot be a label's queue: those are all FIFO."""
    return f"{prefix}-webhooks"


def webhook_dead_queue_name(prefix: str) -> str:
    """The dead-letter queue of deliveries that no receiver accepted."""
    return f"{prefix}-webhooks-dead"


def message_group(label: str, deduplication_id: str, lanes: int) -> str:
    """The message group of a job: the label, or one of its lanes.

    The lane follows from the deduplication id, because SQS compares those ids within one group only.
    """
    name = slug(label, 100)
    if lanes == 1:
        return name
    return f"{name}/{int.from_bytes(hashlib.sha256(deduplication_id.encode()).digest()[:8], 'big') % lanes}"


def cell_of(label: str, cells: int) -> int:
    """The cell of a label by rendezvous hashing: adding a cell moves only the labels that the new one wins."""
    if cells == 1:
        return 0
    return max(range(cells), key=lambda cell: hashlib.sha256(f"{cell}/{label}".encode()).digest())
