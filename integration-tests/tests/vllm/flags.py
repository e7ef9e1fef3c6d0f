"""Prints the flags of vLLM's own parser as JSON: each name without dashes, with the kind of its values.

Kinds: `value`, `switch` (it has a `no-` form) and `bare`.
"""

import argparse
import json

from vllm.entrypoints.openai.cli_args import make_arg_parser
from vllm.utils.argparse_utils import FlexibleArgumentParser


def kind(action):
    if isinstance(action, argparse.BooleanOptionalAction):
        return "switch"
    return "bare" if action.nargs == 0 else "value"


flags = {}
for action in make_arg_parser(FlexibleArgumentParser())._actions:
    for name in action.option_strings:
        if name.startswith("--") and not (kind(action) == "switch" and name.startswith("--no-")):
            flags[name[2:]] = kind(action)
print("RESULT " + json.dumps(flags, sort_keys=True))
