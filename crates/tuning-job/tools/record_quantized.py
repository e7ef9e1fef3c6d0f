"""Records the bytes bitsandbytes makes of some weights, as a fixture.

    pip install torch numpy bitsandbytes
    python3 crates/tuning-job/tools/record_quantized.py crates/tuning-job/tests/data/quantized.safetensors

Rows of the whole one are whole blocks: the CPU kernel that decodes misreads others. Weights are drawn as float32 and cut to bfloat16, so that every precision can hold them. Recorded for NF4 and FP4: codes, scales,
the scales' own codes, scales and offset under double quantisation, and the values that come back.
"""

import sys

import torch
from bitsandbytes import functional as bnb
from safetensors.torch import save_file

torch.manual_seed(20)
out = {}
for name, shape, spread in [("whole", (64, 320), 0.05), ("odd", (7, 65), 1.0)]:
    weight = (torch.randn(shape) * spread * (1 + torch.rand(shape[0], 1) * 3)).bfloat16().float()
    weight[0, :5] = 0
    out[f"{name}.weight"] = weight
    for kind in ["nf4", "fp4"]:
        codes, state = bnb.quantize_4bit(weight, quant_type=kind)
        out[f"{name}.{kind}.codes"] = codes.flatten()
        out[f"{name}.{kind}.scales"] = state.absmax
        out[f"{name}.{kind}.values"] = bnb.dequantize_4bit(codes, state).flatten()
        again, state = bnb.quantize_4bit(weight, quant_type=kind, compress_statistics=True)
        assert torch.equal(again, codes)
        out[f"{name}.{kind}.double.codes"] = state.absmax
        out[f"{name}.{kind}.double.scales"] = state.state2.absmax
        out[f"{name}.{kind}.double.offset"] = state.offset.reshape(1)
        out["dynamic"] = state.state2.code
save_file({name: tensor.contiguous().clone() for name, tensor in out.items()}, sys.argv[1])
