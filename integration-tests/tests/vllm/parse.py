"""Parses command lines of vLLM with its own parser, without a model.

Reads one JSON list of arguments a line. Prints one JSON string a line: the error, or an empty string.
"""

import contextlib
import io
import json
import sys

from vllm.entrypoints.openai.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.utils.argparse_utils import FlexibleArgumentParser

parser = make_arg_parser(FlexibleArgumentParser())
for line in sys.stdin:
    said = io.StringIO()
    error = ""
    try:
        # The parser tells its errors on standard error and exits.
        with contextlib.redirect_stderr(said):
            validate_parsed_serve_args(parser.parse_args(json.loads(line)))
    except SystemExit:
        error = said.getvalue()[-600:] or "the parser ended"
    except Exception as problem:  # A validation error: told, whatever its type is.
        error = f"{type(problem).__name__}: {problem}"
    print("RESULT " + json.dumps(error), flush=True)
