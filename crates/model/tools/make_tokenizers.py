"""Writes two small tokenizers that can spell every text: tests/data/{byte-level,sentencepiece}/tokenizer.json.

    python3 crates/model/tools/make_tokenizers.py

Both have a token for each byte and some for longer pieces, of which two begin or end inside of a character.
"""

import json
from pathlib import Path

DATA = Path(__file__).parent.parent / "tests/data"
SPECIAL = ["<unk>", "<s>", "</s>", "<|call|>"]
SPACE = "\u2581"


def letters():
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    return {byte: chr(byte) for byte in own} | {byte: chr(256 + n) for n, byte in enumerate(others)}


def added(contents):
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return [{"id": id, "content": content, "special": special, **plain} for id, content, special in contents]


def write(name, tokens, merges, **parts):
    vocab = {}
    for token in tokens:
        vocab.setdefault(token, len(vocab))
    for left, right in merges:
        vocab.setdefault(left + right, len(vocab))
    contents = [(id, token, True) for id, token in enumerate(SPECIAL)]
    contents.append((len(vocab), "<tool_call>", False))
    model = {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": name == "sentencepiece",
             "vocab": vocab, "merges": [f"{left} {right}" for left, right in merges]}
    file = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added(contents),
            **parts, "post_processor": None, "model": model}
    (DATA / name).mkdir(exist_ok=True)
    (DATA / name / "tokenizer.json").write_text(json.dumps(file, ensure_ascii=False) + "\n")


of = letters()
spell = lambda data: "".join(of[byte] for byte in data)
pairs = [(b"{", b'"'), (b'"', b":"), (b" ", b'"'), (b" ", b" "), (b"  ", b"  "), (b"t", b"r"), (b"tr", b"ue"), (b"u", b"e"),
         (b"a", b"b"), (b"\xc3", b"\xa9"), (b"\xf0", b"\x9f"), (b"\xa9", b"a")]
level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
write("byte-level", [*SPECIAL, *of.values()], [(spell(left), spell(right)) for left, right in pairs],
      normalizer=None, pre_tokenizer=level, decoder=level)

pieces = [(SPACE, "a"), (SPACE, "{"), ("a", "b"), ("t", "r"), ("tr", "u"), ("tru", "e"), ("{", '"'), ('"', ":"),
          (SPACE, SPACE), ("\u00e9", "a")]
replace = lambda pattern, content: {"type": "Replace", "pattern": {"String": pattern}, "content": content}
write("sentencepiece",
      [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), SPACE, *map(chr, range(0x21, 0x7F)), "\u00e9"], pieces,
      normalizer={"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, replace(" ", SPACE)]},
      pre_tokenizer=None,
      decoder={"type": "Sequence", "decoders": [replace(SPACE, " "), {"type": "ByteFallback"}, {"type": "Fuse"},
                                                {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})
