"""Plays the base image's wrapper of vLLM, without its own flags."""

import runpy
import sys

if __name__ == "__main__":
    sys.argv = [word for word in sys.argv if not word.startswith("--kaito-")]
    runpy.run_module("vllm.entrypoints.openai.api_server", run_name="__main__")
