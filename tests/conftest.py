"""Four CPU devices for every test, set before jax is imported."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
# queued collectives of four devices on two cores deadlock without more threads than cores
os.environ["NPROC"] = "16"
