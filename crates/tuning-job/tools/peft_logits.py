"""What a model answers with an adapter that PEFT loaded: logits of one sequence, as a safetensors file.

    pip install torch transformers peft
    python3 peft_logits.py MODEL ADAPTER OUT ID...

Fails where PEFT finds a tensor that it does not know, misses one, or loads one that changes nothing. The tests of this crate run it
when KAITO_PEFT_PYTHON names a Python that has PEFT; with KAITO_PEFT_RECORD as well they keep adapter and logits as fixtures.
"""

import json
import pathlib
import sys

import torch
from peft import PeftModel
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

base, adapter, out, *ids = sys.argv[1:]
ids = torch.tensor([[int(number) for number in ids]])
model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
model.eval()
with torch.no_grad():
    without = model(input_ids=ids).logits[0]
    model = PeftModel.from_pretrained(model, adapter)
    model.eval()
    logits = model(input_ids=ids).logits[0]
written = load_file(pathlib.Path(adapter) / "adapter_model.safetensors")
loaded = get_peft_model_state_dict(model)
if set(written) != set(loaded):
    sys.exit(f"PEFT has {sorted(set(loaded) - set(written))} and not {sorted(set(written) - set(loaded))}")
for name, tensor in written.items():
    if not torch.equal(tensor, loaded[name].float()):
        sys.exit(f"PEFT has other values in {name}")
save_file(
    {
        "ids": ids[0].int(),
        "without": without.contiguous().clone(),
        "logits": logits.contiguous().clone(),
    },
    out,
)
print(json.dumps({"tensors": len(loaded), "changed": float((logits - without).abs().max())}))
