"""Records what torch and transformers answer for tiny random models, as fixtures for `tests/`.

    pip install torch transformers peft
    python3 crates/model/tools/record.py crates/model/tests/data

Every directory gets `config.json`, bfloat16 weights and `expected.safetensors`: token ids, the logits of all positions
computed in float32, and a greedy continuation. Weights are far larger than at a usual initialisation, so that a wrong
angle, mask or factor shows in the logits.
"""

import copy
import json
import pathlib
import shutil
import sys

import torch
import transformers as tf
from safetensors.torch import load_file, save_file

VOCAB, PROMPT, CONTINUATION = 160, 24, 12
SIZES = dict(
    vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    attn_implementation="eager",
)
LLAMA3 = dict(rope_type="llama3", rope_theta=10000.0, factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=32)
YARN = dict(rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=32)
LONG = dict(rope_type="longrope", rope_theta=10000.0, short_factor=[1.0, 1.1, 1.2, 1.3], long_factor=[1.0, 2.0, 3.0, 4.0],
            original_max_position_embeddings=16)

FAMILIES = {
    "llama": (tf.LlamaConfig, dict(tie_word_embeddings=True)),
    "llama3": (tf.LlamaConfig, dict(rope_parameters=LLAMA3, attention_bias=True, mlp_bias=True)),
    "linear": (tf.LlamaConfig, dict(rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=2.0))),
    "mistral": (tf.MistralConfig, dict(sliding_window=7, head_dim=16)),
    "qwen2": (tf.Qwen2Config, dict(tie_word_embeddings=True)),
    "qwen2-yarn": (tf.Qwen2Config, dict(rope_parameters=YARN)),
    "qwen3": (tf.Qwen3Config, dict(head_dim=16)),
    "phi3": (tf.Phi3Config, dict(sliding_window=9)),
    "phi3-longrope": (tf.Phi3Config, dict(rope_parameters=LONG, original_max_position_embeddings=16)),
    "phi4": (tf.Phi3Config, dict(rope_parameters=dict(rope_type="default", rope_theta=10000.0, partial_rotary_factor=0.75),
                                 num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True)),
    "gemma": (tf.GemmaConfig, dict(head_dim=16)),
    "gemma2": (tf.Gemma2Config, dict(head_dim=16, sliding_window=6, query_pre_attn_scalar=24)),
    "gemma3": (tf.Gemma3TextConfig, dict(head_dim=16, sliding_window=6, num_hidden_layers=3,
                                         layer_types=["sliding_attention", "sliding_attention", "full_attention"])),
    "granite": (tf.GraniteConfig, dict(embedding_multiplier=3.0, attention_multiplier=0.2, residual_multiplier=0.4,
                                       logits_scaling=2.0)),
}


def build(name):
    cls, extra = FAMILIES[name]
    config = cls(**{**SIZES, **extra})
    torch.manual_seed(sum(map(ord, name)))
    model = tf.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for key, value in model.named_parameters():
            if value.dim() == 2:
                value.copy_(torch.randn_like(value) * (1.0 if "embed" in key else 0.3))
            elif key.endswith("bias"):
                value.copy_(torch.randn_like(value) * 0.3)
            else:  # a norm
                value.add_(torch.randn_like(value) * 0.2)
            value.copy_(value.to(torch.bfloat16).float())
    return model


def expected(model, prompt):
    ids = prompt[None]
    with torch.no_grad():
        logits = model(ids).logits[0]
        for _ in range(CONTINUATION):
            ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], 1)
    return logits.float().contiguous(), ids[0, prompt.shape[0]:].to(torch.int32).contiguous()


def record(model, out):
    torch.manual_seed(7)
    prompt = torch.randint(3, VOCAB, (PROMPT,))
    logits, greedy = expected(model, prompt)
    tensors = dict(tokens=prompt.to(torch.int32), logits=logits, greedy=greedy)
    short = prompt[:10]  # below the original context of the scaled ones
    tensors["short_logits"] = expected(model, short)[0]
    save_file(tensors, out / "expected.safetensors")


def save(model, out, **options):
    shutil.rmtree(out, ignore_errors=True)
    # A copy: halving a model also halves the angles it keeps, for good.
    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(out, **options)
    (out / "generation_config.json").unlink(missing_ok=True)


def adapters(model, out):
    """Two adapters with different ranks and rules, and the logits of their exact weighted sum."""
    from peft import LoraConfig, get_peft_model

    kinds = {
        "first": LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM"),
        "second": LoraConfig(r=3, lora_alpha=5, use_rslora=True, target_modules=["q_proj", "o_proj", "gate_proj"],
                             rank_pattern={"o_proj": 2}, alpha_pattern={"gate_proj": 7}, task_type="CAUSAL_LM"),
    }
    wrapped = None
    for name, config in kinds.items():
        if wrapped is None:
            wrapped = get_peft_model(model, config, adapter_name=name)
        else:
            wrapped.add_adapter(name, config)
    torch.manual_seed(3)
    with torch.no_grad():
        for key, value in wrapped.named_parameters():
            if "lora_" in key:
                value.copy_((torch.randn_like(value) * 0.2).to(torch.bfloat16).float())
    wrapped.save_pretrained(out)
    for readme in out.rglob("README.md"):
        readme.unlink()
    wrapped.add_weighted_adapter(list(kinds), [0.7, 0.4], "both", combination_type="cat")
    wrapped.set_adapter("both")
    torch.manual_seed(7)
    prompt = torch.randint(3, VOCAB, (PROMPT,))
    with torch.no_grad():
        logits = wrapped(prompt[None]).logits[0].float().contiguous()
    save_file(dict(tokens=prompt.to(torch.int32), logits=logits), out / "expected.safetensors")


def tokenizer(out):
    """A byte-level BPE that fits the vocabulary of the tiny models, with a chat template of ours."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    # 160 ids cannot hold 256 bytes: the alphabet is printable ASCII and the marks for space and newline.
    bpe = Tokenizer(models.BPE(unk_token="<unk>"))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    text = ["the quick brown fox jumps over the lazy dog", "what is the capital of France?", "\n".join("abcdefghij"),
            "".join(map(chr, range(32, 127)))]
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, special_tokens=["<unk>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>"])
    bpe.train_from_iterator(text * 4, trainer)
    bpe.save(str(out / "tokenizer.json"))
    template = (
        "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] | trim }}{{ eos_token }}"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )
    (out / "tokenizer_config.json").write_text(json.dumps(
        dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>", chat_template=template), indent=2))
    (out / "generation_config.json").write_text(json.dumps(
        dict(bos_token_id=1, eos_token_id=[2], temperature=0.8, top_p=0.95), indent=2))
    samples = ["the quick brown fox", " capital of France?\nyes", "<|user|>hi</s>"]
    ids = [bpe.encode(sample, add_special_tokens=False).ids for sample in samples]
    (out / "tokens.json").write_text(json.dumps([dict(text=t, ids=i) for t, i in zip(samples, ids)], indent=1))


def main(out):
    for name in FAMILIES:
        model = build(name)
        save(model, out / name, **(dict(max_shard_size="12KB") if name == "llama3" else {}))
        record(model, out / name)
        if name == "llama":
            tokenizer(out / name)
            adapters(model, out / "adapters")
        print(name, sum(p.numel() for p in model.parameters()))


main(pathlib.Path(sys.argv[1]))
