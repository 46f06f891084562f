# mypy: ignore-errors
"""The `onnxruntime` backend for a Triton that has only the Python backend: same configuration, same repository.

Runs inside Triton's Python stub, never in the application. Serves `model.onnx` (or `default_model_filename`) of the
version folder, its tensors by name. Where the model batches (`max_batch_size` > 0), requests that Triton passes together
run as one if their shapes agree.
"""

import json
import os

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """One model instance, as Triton's Python backend drives it."""

    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.batching = config["max_batch_size"] > 0
        self.input_names = [tensor["name"] for tensor in config["input"]]
        self.types = {t["name"]: pb_utils.triton_string_to_numpy(t["data_type"]) for t in config["output"]}
        filename = config.get("default_model_filename") or "model.onnx"
        path = os.path.join(args["model_repository"], args["model_version"], filename)
        self.session = ort.InferenceSession(path, session_options(config), providers=["CPUExecutionProvider"])
        check_names(path, "input", self.input_names, [node.name for node in self.session.get_inputs()])
        check_names(path, "output", self.types, [node.name for node in self.session.get_outputs()])

    def execute(self, requests):
        inputs = [self.arrays(request) for request in requests]
        responses = [None] * len(requests)
        for group in self.groups(inputs):
            for index, response in zip(group, self.answer(requests, inputs, group), strict=True):
                responses[index] = response
        return responses

    def finalize(self):
        self.session = None

    def arrays(self, request):
        """The request's inputs as ONNX Runtime takes them; it expects strings where Triton has bytes."""
        found = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.input_names}
        return {name: as_strings(array) if array.dtype.kind == "O" else array for name, array in found.items()}

    def groups(self, inputs):
        """Indices of the requests that can run together: those whose shapes agree except for the batch dimension."""
        if not self.batching:
            return [[index] for index in range(len(inputs))]
        alike = {}
        for index, arrays in enumerate(inputs):
            alike.setdefault(tuple(arrays[name].shape[1:] for name in self.input_names), []).append(index)
        return list(alike.values())

    def answer(self, requests, inputs, group):
        """One response for each request of the group; a request that the model refuses fails alone."""
        try:
            outputs = self.run({name: joined([inputs[index][name] for index in group]) for name in self.input_names})
        except Exception as error:  # the runtime's errors have no common base
            if len(group) > 1:
                return [self.answer(requests, inputs, [index])[0] for index in group]
            return [pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))]
        if len(group) == 1:
            return [self.response(requests[group[0]], outputs)]
        first = self.input_names[0]
        ends = np.cumsum([len(inputs[index][first]) for index in group])[:-1]
        parts = {name: np.split(array, ends) for name, array in outputs.items()}
        return [
            self.response(requests[index], {name: split[position] for name, split in parts.items()})
            for position, index in enumerate(group)
        ]

    def run(self, feed):
        """All outputs by name."""
        return dict(zip(self.types, self.session.run(list(self.types), feed), strict=True))

    def response(self, request, outputs):
        """The outputs that the request asked for."""
        wanted = set(request.requested_output_names())
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor(name, np.ascontiguousarray(array, dtype=self.types[name]))
                for name, array in outputs.items()
                if name in wanted
            ]
        )


def session_options(config):
    """One thread per operator unless the configuration says otherwise: many models share the cores."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = int_parameter(config, "intra_op_thread_count", 1)
    options.inter_op_num_threads = int_parameter(config, "inter_op_thread_count", 1)
    options.log_severity_level = 3
    return options


def int_parameter(config, name, default):
    """A number among the configuration's parameters."""
    parameter = config.get("parameters", {}).get(name)
    return int(parameter["string_value"]) if parameter else default


def check_names(path, kind, configured, actual):
    """Report at load a mismatch that would otherwise fail at the first request."""
    unknown = sorted(set(configured) - set(actual))
    missing = sorted(set(actual) - set(configured)) if kind == "input" else []
    if unknown or missing:
        raise pb_utils.TritonModelException(
            f"config.pbtxt does not match {path}: its {kind}s are {sorted(actual)}, but {sorted(configured)} are configured"
        )


def as_strings(array):
    """Bytes to text, keeping the shape."""
    flat = [value.decode() if isinstance(value, bytes) else value for value in array.ravel()]
    return np.array(flat, dtype=object).reshape(array.shape)


def joined(arrays):
    """The arrays as one along the batch dimension, without a copy where there is only one."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
