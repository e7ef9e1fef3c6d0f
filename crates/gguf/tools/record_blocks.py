"""Records what the Python package `gguf` makes of random blocks of each of ggml's formats, as a fixture for tests.

    pip install gguf numpy safetensors
    python3 crates/gguf/tools/record_blocks.py crates/gguf/tests/data/blocks.safetensors
"""

import sys

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Kind
from gguf.quants import dequantize
from safetensors.numpy import save_file

# Where a block has its 16-bit floats: random bits there would be infinities now and then.
HALVES = {
    Kind.Q4_0: [0], Kind.Q4_1: [0, 2], Kind.Q5_0: [0], Kind.Q5_1: [0, 2], Kind.Q8_0: [0],
    Kind.Q2_K: [80, 82], Kind.Q3_K: [108], Kind.Q4_K: [0, 2], Kind.Q5_K: [0, 2], Kind.Q6_K: [208],
}

random = np.random.default_rng(1)
tensors = {}
for kind, halves in HALVES.items():
    weights, size = GGML_QUANT_SIZES[kind]
    packed = random.integers(0, 256, (3, size), dtype=np.uint8)
    for at in halves:
        packed[:, at : at + 2] = random.normal(0, 0.1, (3, 1)).astype(np.float16).view(np.uint8)
    tensors[f"{int(kind)}.packed"] = packed
    tensors[f"{int(kind)}.weights"] = dequantize(packed, kind).astype(np.float32)
save_file(tensors, sys.argv[1])
