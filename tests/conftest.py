"""Four CPU devices for every test, set before jax is imported; compiling is most of a test's time."""

import atexit
import os
import shutil
import tempfile

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
# BLAS threads wait by spinning: with two workers on two cores that made small products 50 times slower
os.environ["OPENBLAS_NUM_THREADS"] = "1"
# queued collectives of four devices on two cores deadlock without more threads than cores
os.environ["NPROC"] = "16"
if (
    "JAX_COMPILATION_CACHE_DIR" not in os.environ
):  # workers inherit that of their master
    cache = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, cache, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = cache
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"

import jax  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture(autouse=True, scope="module")
def compile_quickly(request):
    """Leave LLVM's optimisations out, except where a module is about what they may change."""
    quick = not getattr(request.module, "OPTIMISED", False)
    jax.config.update("jax_disable_most_optimizations", quick)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
