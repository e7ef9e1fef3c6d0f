"""Plays the liveness check of the base image: every worker of the engine's job must be alive."""

import sys

import ray
from ray._private import state

settings = dict(word[2:].split("=", 1) for word in sys.argv[2:])
ray.init(address=f"{settings['leader-address']}:{settings['ray-port']}", logging_level="ERROR")
job = next(job["JobID"] for job in state.jobs() if job["Entrypoint"].startswith("VLLM::EngineCore"))
workers = [actor["State"] for actor in state.actors().values() if actor["JobID"] == job]
print(workers)
sys.exit(0 if all(worker == "ALIVE" for worker in workers) else 1)
