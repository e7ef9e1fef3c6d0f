"""One other engine's share of `bench-inference`: prints its numbers as JSON. Called by it with sizes and paths."""

import json
import os
import sys
import time

engine, threads = sys.argv[1], int(sys.argv[2])
PROMPT, ANSWER, TOGETHER, STREAMS, SHORT, RUNS = map(int, sys.argv[3:9])
gguf, directory = sys.argv[9:11]
os.environ["OMP_NUM_THREADS"] = str(threads)


def prompt(seed, length):
    return [(seed * 7919 + at * 104729) % 40000 + 100 for at in range(length)]


def llama(kind):
    import ctypes

    import numpy as np
    import llama_cpp as lib

    quiet = lib.llama_log_callback(lambda level, text, data: None)
    lib.llama_log_set(quiet, ctypes.c_void_p(0))
    path = f"{gguf}.{kind}"
    if not os.path.exists(path):
        params = lib.llama_model_quantize_default_params()
        params.ftype = {"f16": 1, "q8_0": 7}[kind]
        params.allow_requantize = True
        assert lib.llama_model_quantize(gguf.encode(), path.encode(), params) == 0
    model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
    context_params = lib.llama_context_default_params()
    context_params.n_ctx = STREAMS * (PROMPT + ANSWER)  # it is split among the sequences
    context_params.n_batch = context_params.n_ubatch = 512
    context_params.n_seq_max = STREAMS
    context_params.n_threads = context_params.n_threads_batch = threads
    context = lib.llama_init_from_model(model, context_params)
    vocabulary = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
    batch = lib.llama_batch_init(512, 0, 1)

    def step(positions, tokens):
        """Runs tokens of each sequence from its position on, and picks the likeliest next ones."""
        batch.n_tokens, last = 0, []
        for sequence, own in enumerate(tokens):
            for offset, token in enumerate(own):
                at = batch.n_tokens
                batch.token[at], batch.pos[at] = token, positions[sequence] + offset
                batch.n_seq_id[at], batch.seq_id[at][0] = 1, sequence
                batch.logits[at] = offset == len(own) - 1
                batch.n_tokens += 1
            positions[sequence] += len(own)
            last.append(batch.n_tokens - 1)
        assert lib.llama_decode(context, batch) == 0
        logits = [np.ctypeslib.as_array(lib.llama_get_logits_ith(context, at), (vocabulary,)) for at in last]
        return [[int(one.argmax())] for one in logits]

    def clear():
        lib.llama_memory_clear(lib.llama_get_memory(context), True)

    return step, clear


def transformers(kind):
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[kind]
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype).eval()
    state = {}

    def step(positions, tokens):
        with torch.no_grad():
            out = model(torch.tensor(tokens), past_key_values=state.get("cache"), use_cache=True, logits_to_keep=1)
        state["cache"] = out.past_key_values
        return out.logits[:, -1].argmax(-1, keepdim=True).tolist()

    return step, state.clear


def main():
    name, kind = engine.rsplit("-", 1)
    step, clear = {"llama.cpp": llama, "transformers": transformers}[name](kind)
    best = {what: dict(wall=0.0, cpu=0.0) for what in ("prefill", "decode", "together")}

    def measure(what, count, action):
        wall, cpu = time.perf_counter(), time.process_time()
        result = action()
        wall, cpu = time.perf_counter() - wall, max(time.process_time() - cpu, 0.01)
        best[what]["wall"] = max(best[what]["wall"], count / wall)
        best[what]["cpu"] = max(best[what]["cpu"], count / cpu)
        return result

    def answer(positions, tokens, steps):
        for _ in range(steps):
            tokens = step(positions, tokens)

    for _ in range(RUNS):
        clear()
        positions = [0]
        tokens = measure("prefill", PROMPT, lambda: step(positions, [prompt(1, PROMPT)]))
        measure("decode", ANSWER, lambda: answer(positions, tokens, ANSWER))
        clear()
        positions = [0] * STREAMS
        tokens = step(positions, [prompt(seed, SHORT) for seed in range(STREAMS)])
        measure("together", STREAMS * TOGETHER, lambda: answer(positions, tokens, TOGETHER))
    status = open("/proc/self/status").read()
    best["memory"] = int(status.split("VmHWM:")[1].split()[0]) / 1000
    print(json.dumps(best))


main()
