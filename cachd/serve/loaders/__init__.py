"""What `load` can be made of: a version, as the library that runs it wants it.

    model = attach("minilm", load=safetensors_torch)     # value: name -> tensor

safetensors_numpy    name -> array, over the version's own pages
safetensors_torch    name -> tensor, likewise
onnxruntime_session  an InferenceSession
transformers_model   a model of transformers

All take a Version or a View. Each library is imported when its function is called, and
LibraryMissing names the package to install. What they return keeps the version: its bytes stay, and
the host counts it as held, until the last tensor, session or model is gone, however long ago the
version was retired.

safetensors_header   PURE: where the tensors of a file lie
tensor_files         which files of a version those are, mapped
required             imports with an error that helps
"""

from __future__ import annotations

from cachd.serve.errors import LibraryMissing, WeightsRefused
from cachd.serve.loaders.numpy_tensors import safetensors_numpy
from cachd.serve.loaders.onnx import onnxruntime_session
from cachd.serve.loaders.torch_tensors import safetensors_torch
from cachd.serve.loaders.transformers_models import transformers_model

__all__ = [
    "LibraryMissing",
    "WeightsRefused",
    "onnxruntime_session",
    "safetensors_numpy",
    "safetensors_torch",
    "transformers_model",
]
