"""Records how PEFT and torch train adapters of the tiny models, as fixtures: beginnings, losses and what comes out.

    pip install torch transformers peft
    python3 crates/tuning-job/tools/record_peft.py crates/model/tests/data crates/tuning-job/tests/data

For each family one file: `ids` and `learnt` of two sequences, the adapter's tensors before and after some AdamW steps with a linear
schedule (as `before.*` and `after.*`), the losses, and the logits of the first sequence with the trained adapter.
"""

import pathlib
import sys

import torch
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, get_linear_schedule_with_warmup

models, out = map(pathlib.Path, sys.argv[1:])
FAMILIES = ["llama", "llama3", "mistral", "qwen3", "phi3", "phi3-longrope", "gemma2", "gemma3", "granite"]
STEPS = 5
for name in FAMILIES:
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_pretrained(models / name, dtype=torch.float32, attn_implementation="eager")
    model = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    model.train()
    with torch.no_grad():
        for key, value in model.named_parameters():
            if "lora_B" in key:
                value.copy_(torch.randn_like(value) * 0.1)
    tensors = {f"before.{key}": value.clone() for key, value in get_peft_model_state_dict(model).items()}
    lengths = [12, 12]  # as long as each other: what is padded would count otherwise
    ids = torch.randint(3, 160, (2, lengths[0]))
    learnt = torch.ones_like(ids)
    learnt[1, :5] = 0
    labels = torch.where(learnt == 1, ids, -100)
    trained = [value for value in model.parameters() if value.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.01)
    schedule = get_linear_schedule_with_warmup(optimiser, 1, STEPS)
    losses, norms = [], []
    for _ in range(STEPS):
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(trained, 1.0)))
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        losses.append(float(loss))
    model.eval()
    with torch.no_grad():
        tensors["logits"] = model(input_ids=ids[:1]).logits[0]
        print(name, losses, norms)
    tensors |= {f"after.{key}": value for key, value in get_peft_model_state_dict(model).items()}
    tensors |= dict(ids=ids.int(), learnt=learnt.int(), losses=torch.tensor(losses), norms=torch.tensor(norms))
    save_file({key: value.detach().contiguous().clone() for key, value in tensors.items()}, out / f"peft-{name}.safetensors")
