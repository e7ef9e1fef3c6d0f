"""Records what torch and llama.cpp answer with SmolLM2-135M-Instruct, as fixtures for tests with the real model.

    pip install torch transformers llama-cpp-python
    python3 crates/gguf/tools/record_smollm2.py MODEL.gguf CONVERTED_DIRECTORY crates/gguf/tests/data/smollm2.json

Weights, tokenizer and chat template of the reference are those of the converted directory, read by transformers; the ids of the
texts come from llama.cpp's own tokenizer and are compared with transformers' here.
"""

import json
import subprocess
import sys

CHATS = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [{"role": "system", "content": "You answer with one word."}, {"role": "user", "content": "Which planet is the largest?"}],
    [{"role": "user", "content": "Write a haiku about the sea."}],
    [{"role": "user", "content": "Count from one to ten."}],
]
TEXTS = ["Hello, world!", "  two  spaces\n\nand lines\t.", "1234567 + 89 = x2", "naïve café 東京 🙂", "<|im_start|>user\nhi<|im_end|>\n", "don't they'll I'VE"]
NEW = 40

if sys.argv[1] == "llama.cpp":  # in a process of its own: its threads and torch's do not get along
    from llama_cpp import Llama

    llama = Llama(sys.argv[2], n_ctx=512, verbose=False)
    asked = json.load(sys.stdin)
    ids = [llama.tokenize(text.encode(), add_bos=False, special=True) for text in TEXTS]
    answers = [llama(prompt, max_tokens=NEW, temperature=0.0)["choices"][0]["text"] for prompt in asked]
    json.dump([ids, answers], sys.stdout)
    sys.exit()

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

gguf, directory, out = sys.argv[1:]
torch.set_num_threads(2)
tokenizer = AutoTokenizer.from_pretrained(directory)
model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
prompts = [tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True) for messages in CHATS]
asked = subprocess.run([sys.executable, __file__, "llama.cpp", gguf], input=json.dumps(prompts), stdout=subprocess.PIPE, text=True, check=True)
their_ids, their_answers = json.loads(asked.stdout)

texts = []
for text, theirs in zip(TEXTS, their_ids):
    ids = tokenizer(text, add_special_tokens=False).input_ids
    print("same ids" if ids == theirs else f"DIFFERENT {ids} {theirs}", repr(text))
    texts.append(dict(text=text, ids=theirs))

chats = []
for messages, prompt, theirs in zip(CHATS, prompts, their_answers):
    ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
    with torch.no_grad():
        logits = model(ids).logits[0, -1]
        new = model.generate(ids, max_new_tokens=NEW, do_sample=False)[0, ids.shape[1]:].tolist()
    top = logits.topk(5)
    text = tokenizer.decode(new, skip_special_tokens=True)
    print(repr(text), "| llama.cpp:", repr(theirs), "| same:", text.strip() == theirs.strip())
    chats.append(dict(messages=messages, prompt=prompt, ids=ids[0].tolist(), greedy=new, text=text,
                      top=[[i, v] for i, v in zip(top.indices.tolist(), top.values.tolist())]))

with open(out, "w") as file:
    json.dump(dict(texts=texts, chats=chats), file, indent=1, ensure_ascii=False)
