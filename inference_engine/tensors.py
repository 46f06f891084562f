"""What a model's inputs accept: pure rules on tensors, without a server.

A job's body is checked against the model's own description before anything is sent. The error is then in the caller's
terms (which model, which tensor, what was expected, what came, what to do), and the job is never retried.

Rules of `check_inputs`:

* JSON values (numbers, strings, booleans, lists of them to any depth) are converted to the datatype the model asks
  for, within their own kind: integers and floats become floats, integers become integers that can hold them, `true`
  and `false` become BOOL, strings become BYTES. A float never becomes an integer and a boolean never a number.
* numpy arrays keep their meaning: the datatype must be the model's own, or a narrower one of the same kind
  (int8 for INT32, float32 for FP64). float64 for FP32 is refused, because only the caller knows whether the lost
  digits matter.
* A lone JSON value stands for the tensor of one element where every dimension is 1 or free.
* NaN and infinity are ordinary values of a float tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from .errors import ModelInputError
from .fleet.view import TensorSpec

__all__ = [
    "DATATYPES",
    "DTYPES",
    "Datatype",
    "TensorSpec",
    "check_inputs",
    "datatype_of",
    "nbytes",
    "unsupported",
]


@dataclass(frozen=True, slots=True)
class Datatype:
    """A datatype by all its names.

    `name` is Triton's name and the Open Inference Protocol's, `dtype` the numpy type that carries it (None: numpy has none),
    `onnx` ONNX's name of the element type.
    """

    name: str
    dtype: np.dtype[Any] | None
    onnx: str

    @property
    def onnx_runtime(self) -> str:
        """ONNX Runtime's name, as in the description of a session's inputs."""
        return f"tensor({self.onnx.lower()})"

    @property
    def config(self) -> str:
        """The name in a model's `config.pbtxt`."""
        return "TYPE_STRING" if self.name == "BYTES" else f"TYPE_{self.name}"


#: Triton's datatypes.
DATATYPES = (
    Datatype("BOOL", np.dtype(np.bool_), "BOOL"),
    Datatype("INT8", np.dtype(np.int8), "INT8"),
    Datatype("INT16", np.dtype(np.int16), "INT16"),
    Datatype("INT32", np.dtype(np.int32), "INT32"),
    Datatype("INT64", np.dtype(np.int64), "INT64"),
    Datatype("UINT8", np.dtype(np.uint8), "UINT8"),
    Datatype("UINT16", np.dtype(np.uint16), "UINT16"),
    Datatype("UINT32", np.dtype(np.uint32), "UINT32"),
    Datatype("UINT64", np.dtype(np.uint64), "UINT64"),
    Datatype("FP16", np.dtype(np.float16), "FLOAT16"),
    Datatype("FP32", np.dtype(np.float32), "FLOAT"),
    Datatype("FP64", np.dtype(np.float64), "DOUBLE"),
    Datatype("BYTES", np.dtype(np.object_), "STRING"),
    Datatype("BF16", None, "BFLOAT16"),
)

#: The datatypes that can be sent, and the numpy types that carry them.
DTYPES: Mapping[str, np.dtype[Any]] = {one.name: one.dtype for one in DATATYPES if one.dtype is not None}

_NAMES = {dtype: name for name, dtype in DTYPES.items()}

#: The name of each kind of numpy type in messages to callers who sent JSON.
KIND_NAMES: Mapping[str, str] = {
    "b": "booleans",
    "i": "integers",
    "u": "integers",
    "f": "floats",
    "c": "complex numbers",
    "U": "strings",
    "S": "bytes",
    "O": "values of mixed types",
}

#: Types of values that count as one element rather than a list of them.
SCALARS = (bool, int, float, str, bytes)


class _Misfit(Exception):
    """A value does not fit a tensor: what was given, and the remedy."""

    def __init__(self, given: str, remedy: str) -> None:
        super().__init__(given, remedy)
        self.given = given
        self.remedy = remedy


def datatype_of(dtype: np.dtype[Any]) -> str | None:
    """The name of the datatype that a numpy type of either byte order carries; None if it carries none."""
    return _NAMES.get(dtype.newbyteorder("="))


def unsupported(specs: Iterable[TensorSpec]) -> list[TensorSpec]:
    """Those of `specs` whose datatype has no numpy type here (BF16, or one that Triton adds later)."""
    return [spec for spec in specs if spec.datatype not in DTYPES]


def nbytes(arrays: Mapping[str, NDArray[Any]]) -> int:
    """The bytes that `arrays` take on the wire, without names and framing (BYTES: 4 more bytes per element, its length)."""
    return sum(
        array.nbytes if array.dtype != object else sum(len(item) + 4 for item in array.ravel())
        for array in arrays.values()
    )


def check_inputs(label: str, body: Any, specs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
    """The arrays to send for `body`, by input name, each with exactly its input's dtype (BYTES: objects of `bytes`).

    `body` is a dict of input name to numpy array or JSON value; a model with a single input also takes that value bare.
    Optional inputs may be left out. Raises ModelInputError, naming the label and the tensor.
    """
    named = _by_name(label, body, specs)
    known = {spec.name: spec for spec in specs}
    _refuse_unknown(label, named, known)
    arrays: dict[str, NDArray[Any]] = {}
    for name, spec in known.items():
        if name in named:
            arrays[name] = _check(label, spec, named[name])
        elif not spec.optional:
            _refuse(label, spec, "nothing", f"add {name!r} to the body")
    return arrays


def _by_name(label: str, body: Any, specs: Sequence[TensorSpec]) -> Mapping[Any, Any]:
    if isinstance(body, Mapping):
        return body
    if len(specs) == 1:
        return {specs[0].name: body}
    wanted = ", ".join(f"{spec.name!r} ({spec})" for spec in specs) or "none"
    raise ModelInputError(
        f"model {label!r} has {len(specs)} inputs, expected a dict with {wanted}, got {type(body).__name__}: "
        "send a dict of input name to value"
    )


def _refuse_unknown(label: str, named: Mapping[Any, Any], known: Mapping[str, TensorSpec]) -> None:
    unknown = [name for name in named if name not in known]
    if unknown:
        names = ", ".join(repr(name) for name in unknown)
        wanted = ", ".join(f"{name!r} ({spec})" for name, spec in known.items()) or "none"
        raise ModelInputError(
            f"model {label!r} has no input {names}: its inputs are {wanted}; rename or remove {names} in the body"
        )


def _refuse(label: str, spec: TensorSpec, given: str, remedy: str) -> NoReturn:
    raise ModelInputError(f"model {label!r}, input {spec.name!r}: expected {spec}, got {given}; {remedy}")


def _check(label: str, spec: TensorSpec, value: Any) -> NDArray[Any]:
    if spec.datatype not in DTYPES:
        _refuse(
            label, spec, "a value of a datatype that cannot be sent", "export the model with FP32 or FP16 in its place"
        )
    try:
        if isinstance(value, np.ndarray | np.generic):
            array = _from_array(np.asarray(value), spec)
        else:
            array = _spread(_from_json(value, spec), spec, value)
        _check_shape(array, spec)
    except _Misfit as misfit:
        _refuse(label, spec, misfit.given, misfit.remedy)
    return array


def _check_shape(array: NDArray[Any], spec: TensorSpec) -> None:
    given, wanted = array.shape, spec.shape
    if len(given) == len(wanted) and all(want in (-1, have) for have, want in zip(given, wanted, strict=True)):
        return
    shape = f"shape {list(given)}"
    if len(given) == len(wanted) - 1 and wanted[0] in (-1, 1):
        raise _Misfit(shape, "wrap the value in one more list: the first dimension is the batch")
    if len(given) != len(wanted):
        raise _Misfit(shape, f"send {len(wanted)} dimension{'s' * (len(wanted) != 1)}, not {len(given)}")
    wrong = [axis for axis, (have, want) in enumerate(zip(given, wanted, strict=True)) if want not in (-1, have)]
    sizes = ", ".join(f"dimension {axis} of size {wanted[axis]}, not {given[axis]}" for axis in wrong)
    raise _Misfit(shape, f"send {sizes}")


def _spread(array: NDArray[Any], spec: TensorSpec, value: Any) -> NDArray[Any]:
    """A lone element, reshaped to the rank of `spec` where that is unambiguous."""
    if isinstance(value, SCALARS) and all(size in (-1, 1) for size in spec.shape):
        return array.reshape((1,) * len(spec.shape))
    return array


# --- numpy arrays --------------------------------------------------------------------------------------------------


def _from_array(array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    wanted = DTYPES[spec.datatype]
    if spec.datatype == "BYTES":
        if array.dtype.kind not in "OSU":
            raise _Misfit(f"an array of {array.dtype}", "send strings or bytes")
        return _encoded(array.astype(object))
    if array.dtype.kind != wanted.kind or not np.can_cast(array.dtype, wanted, "safe"):
        raise _Misfit(f"an array of {array.dtype}", f"convert it with array.astype(numpy.{wanted.name})")
    return array.astype(wanted, copy=False)


def _encoded(array: NDArray[Any]) -> NDArray[Any]:
    """`array` of objects with every string as UTF-8 bytes."""
    encoded = np.empty(array.size, dtype=object)
    # Not `flat`, which numpy supports up to 32 dimensions only.
    for index, item in enumerate(array.ravel()):
        if isinstance(item, bytes):
            encoded[index] = item
        elif isinstance(item, str):
            encoded[index] = _utf8(item)
        else:
            raise _not_strings(item)
    return encoded.reshape(array.shape)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise _Misfit("a string that is not valid Unicode", "send bytes, or remove the lone surrogates") from None


def _not_strings(item: Any) -> _Misfit:
    if isinstance(item, list | tuple):
        return _ragged()
    return _Misfit(f"an element of type {type(item).__name__}", "send strings or bytes")


# --- JSON values ---------------------------------------------------------------------------------------------------


def _from_json(value: Any, spec: TensorSpec) -> NDArray[Any]:
    if not isinstance(value, (*SCALARS, list, tuple)):
        raise _Misfit(f"a value of type {type(value).__name__}", "send a number, a string or nested lists of them")
    if spec.datatype == "BYTES":
        return _encoded(_object_array(value))
    array, wanted = _plain_array(value), DTYPES[spec.datatype]
    if array.size == 0:
        return array.astype(wanted)
    if wanted.kind in "iu":
        return _integers(array, value, wanted)
    if wanted.kind == "f":
        return _floats(array, value, wanted)
    if array.dtype.kind != "b":
        raise _wrong_kind(array, wanted)
    return array


def _object_array(value: Any) -> NDArray[Any]:
    try:
        return np.array(value, dtype=object)
    except ValueError:
        raise _ragged() from None


def _plain_array(value: Any) -> NDArray[Any]:
    """`value` with the type that numpy infers for it; ragged lists are refused."""
    try:
        return np.asarray(value)
    except ValueError:
        raise _ragged() from None


def _ragged() -> _Misfit:
    return _Misfit("a ragged list", "make all lists at the same depth equally long")


def _wrong_kind(array: NDArray[Any], wanted: np.dtype[Any]) -> _Misfit:
    given = KIND_NAMES.get(array.dtype.kind, str(array.dtype))
    return _Misfit(f"a list of {given}", f"send {KIND_NAMES[wanted.kind]}")


def _integers(array: NDArray[Any], value: Any, wanted: np.dtype[Any]) -> NDArray[Any]:
    if array.dtype.kind in "fO":
        # numpy infers floats or objects for integers beyond 63 bits: look at the elements themselves.
        array = _object_array(value)
        if not all(type(item) is int for item in array.ravel()):
            raise _wrong_kind(_plain_array(value), wanted)
    elif array.dtype.kind not in "iu":
        raise _wrong_kind(array, wanted)
    limits = np.iinfo(wanted)
    low, high = int(array.min()), int(array.max())
    if low < limits.min or high > limits.max:
        outside = low if low < limits.min else high
        raise _Misfit(f"the integer {outside}", f"send integers from {limits.min} to {limits.max}")
    return array.astype(wanted)


def _floats(array: NDArray[Any], value: Any, wanted: np.dtype[Any]) -> NDArray[Any]:
    if array.dtype.kind == "O":
        array = _huge_integers_as_floats(value, wanted)
    elif array.dtype.kind not in "iuf":
        raise _wrong_kind(array, wanted)
    with np.errstate(over="ignore"):
        converted: NDArray[Any] = array.astype(wanted)
    if np.any(np.isinf(converted) & np.isfinite(array)):
        outside = array[np.isinf(converted) & np.isfinite(array)].flat[0]
        raise _Misfit(f"the number {outside:g}", f"send numbers within ±{float(np.finfo(wanted).max):g}")
    return converted


def _huge_integers_as_floats(value: Any, wanted: np.dtype[Any]) -> NDArray[Any]:
    items = _object_array(value)
    odd = [item for item in items.ravel() if isinstance(item, bool) or not isinstance(item, int | float)]
    if odd:
        raise _Misfit(f"an element of type {type(odd[0]).__name__}", f"send {KIND_NAMES[wanted.kind]}")
    try:
        return items.astype(np.float64)
    except OverflowError:
        raise _Misfit("an integer too large for a float", "send smaller numbers") from None
