"""PEFT's share of `bench-tuning`: trains on the batches it is given and prints its numbers as JSON."""

import json
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

model_dir, batches, threads, dtype, checkpointing = sys.argv[1:6]
torch.set_num_threads(int(threads))
model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=getattr(torch, dtype))
model.config.use_cache = False
if checkpointing == "true":
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.enable_input_require_grads()
modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=modules, task_type="CAUSAL_LM"))
model.train()
trained = [value for value in model.parameters() if value.requires_grad]
optimiser = torch.optim.AdamW(trained, lr=2e-4, weight_decay=0.0)
losses, seconds, cpu = [], [], []
for batch in json.load(open(batches)):
    longest = max(map(len, batch))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in batch])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in batch])
    labels = torch.where(mask == 1, ids, -100)
    began, used = time.perf_counter(), time.process_time()
    loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimiser.step()
    optimiser.zero_grad()
    seconds.append(time.perf_counter() - began)
    cpu.append(time.process_time() - used)
    losses.append(float(loss))
peak = int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1000
print(json.dumps(dict(losses=losses, seconds=seconds, cpu=cpu, peak_mb=peak)))
