"""Every exception that the library raises.

InferenceEngineError
├── SettingsError                 a setting is missing or wrong
├── ExtraMissingError             a package is missing that an extra of the library brings
├── LabelError                    a label cannot be used
│   ├── InvalidLabelError         the name itself is not acceptable
│   └── UnknownLabelError         no queue and no model has that name
├── PayloadError                  a body or a result cannot be sent
│   ├── EncodeError               it has no JSON or tensor form
│   ├── DecodeError               what arrived is not what the codec writes
│   └── PayloadTooLargeError      it exceeds the limit of a setting or of S3
├── CallbackError                 a job's callback URL cannot be used, or a delivery's signature is wrong
├── JobError                      a job did not end as it should
│   ├── UnknownMessageError       no record of that message id
│   ├── ResultTimeoutError        no result within the time that the caller allowed
│   └── UnretryableError          raised by user code: fail now, without a retry
├── BackendError                  a consumer's backend could not do what it was asked
│   ├── ModelLoadError            the model could not be loaded
│   ├── ModelInputError           the job does not fit the model's inputs (never retried)
│   └── BackendLostError          the backend is gone; jobs go back to the queue
├── TransportError                AWS refused a call, after every retry
│   └── NotProvisionedError       a queue, a table or a bucket does not exist
└── LocalStackError               a part of the one-machine stack cannot be set up, started or stopped

Every message says what was wrong, with which value, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class InferenceEngineError(Exception):
    """Something in inference-engine failed."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class SettingsError(InferenceEngineError, ValueError):
    """A setting is missing or wrong."""


class ExtraMissingError(InferenceEngineError, ImportError):
    """A package is missing that an extra of the library brings."""


class LabelError(InferenceEngineError, ValueError):
    """A label cannot be used."""


class InvalidLabelError(LabelError):
    """The label's name is not acceptable."""


class UnknownLabelError(LabelError):
    """No queue and no model has that label."""

    def __init__(self, message: str | None = None, *, label: str = "") -> None:
        super().__init__(message)
        self.label = label


class PayloadError(InferenceEngineError, ValueError):
    """A body or a result cannot be sent."""


class EncodeError(PayloadError):
    """The value has no JSON or tensor form."""


class DecodeError(PayloadError):
    """The bytes are not what the codec writes."""


class PayloadTooLargeError(PayloadError):
    """The payload is over its limit."""


class CallbackError(InferenceEngineError, ValueError):
    """The callback URL cannot be used, or the signature is wrong."""


class JobError(InferenceEngineError):
    """A job did not end as it should."""


class UnknownMessageError(JobError, KeyError):
    """No job has that message id."""

    def __str__(self) -> str:
        return Exception.__str__(self)


class ResultTimeoutError(JobError, TimeoutError):
    """No result within the time that the caller allowed."""


class UnretryableError(JobError):
    """The job can never succeed: fail it now and do not try again."""


class BackendError(InferenceEngineError):
    """The backend could not do what it was asked."""


class ModelLoadError(BackendError):
    """The model could not be loaded."""


class ModelInputError(BackendError, UnretryableError):
    """The job does not fit the model's inputs."""


class BackendLostError(BackendError):
    """The backend does not answer; its jobs go back to the queue."""


class TransportError(InferenceEngineError):
    """AWS refused a call, after every retry."""


class NotProvisionedError(TransportError):
    """A queue, a table or a bucket does not exist."""


class LocalStackError(InferenceEngineError):
    """A part of the one-machine stack could not be set up, started or stopped."""


def how_to_install(extra: str) -> str:
    """What brings an extra's packages, for an installed wheel and for a clone."""
    # pip takes the extras of an installed distribution from its own metadata: no index has to know the project.
    return f"pip install 'inference-engine[{extra}]', or in a clone pip install -e '.[{extra}]'"


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """A block for imports. Raises ExtraMissingError, naming the extra to install, where a package is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("inference_engine"):
            raise
        raise ExtraMissingError(f"{error.name} is not installed; install it with: {how_to_install(extra)}") from error
