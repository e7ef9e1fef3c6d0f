"""Lets vLLM for processors ask Ray for workers.

It refuses otherwise: "current platform cpu does not support ray". The rest of vLLM's way over Ray is the same for all devices.
"""

import importlib.abc
import importlib.machinery
import sys


class NamesDevice(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != "vllm.platforms.cpu":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            module.CpuPlatform.ray_device_key = "GPU"

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, NamesDevice())
