"""Four CPU devices for every test, set before jax is imported; compiling is most of a test's time.

What is compiled is kept for the next run of the tests, in the user's cache folder or in $JAX_COMPILATION_CACHE_DIR. Of
all else that the programs cache, tests begin with nothing and leave nothing.
"""

import atexit
import contextlib
import functools
import gc
import os
import shutil
import tempfile
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"
# BLAS threads wait by spinning: with two workers on two cores that made small products 50 times slower
os.environ["OPENBLAS_NUM_THREADS"] = "1"
# queued collectives of four devices on two cores deadlock without more threads than cores
os.environ["NPROC"] = "16"
# else the name of the cache's folder is part of what names a program
os.environ["JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES"] = "none"

import jax  # noqa: E402
import pytest  # noqa: E402
from jax._src import compiler  # noqa: E402

QUICK = {  # the first two alone, which jax_disable_most_optimizations sets, need 4 times as long
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_opt_preset": "CPU_OPT_PRESET_FAST_COMPILE",
    "xla_cpu_parallel_codegen_split_count": 1,
}
OPTIONS = compiler.get_compile_options


@functools.cache
def known():
    """Those of QUICK that this XLA has: versions differ."""
    program, found = jax.jit(lambda x: x).lower(0.0), {}
    for name, value in QUICK.items():
        with contextlib.suppress(jax.errors.JaxRuntimeError):
            program.compile(compiler_options={name: value})
            found[name] = value
    return found


def quick(*args, env_options_overrides=None, **more):
    """The compiler's options with those above."""
    given = {**known(), **(env_options_overrides or {})}
    return OPTIONS(*args, env_options_overrides=given, **more)


def pytest_sessionstart():
    """Give the tests a cache folder of their own, in which the compiled programs alone outlive them."""
    # imported here and not above: jaxtyping's hook has to come first
    from gan_jax.compiled import keep_compiled
    from gan_jax.data.cache import root

    if "PYTEST_XDIST_WORKER" not in os.environ:  # workers inherit what is set here
        own = Path(tempfile.mkdtemp())
        atexit.register(shutil.rmtree, own, ignore_errors=True)
        with contextlib.suppress(OSError, RuntimeError):  # no home, or read only
            programs = root("") / "tests"
            programs.mkdir(mode=0o700, parents=True, exist_ok=True)
            (own / "compiled").symlink_to(programs)
        os.environ["GAN_JAX_CACHE"] = str(own)
    if jax.config.jax_compilation_cache_dir is None:
        keep_compiled()
        # tests have other folders in GAN_JAX_CACHE: they are not to move the programs
        jax.config.update("jax_compilation_cache_dir", "kept by gan_jax.compiled")
    known()  # while the compiler's options are its own


# those of a minute and more: begun last, one would keep a worker busy alone
LONG = """test_train test_matrix test_sweep test_kills test_cluster test_property test_sources test_resnet test_parallel
    test_translating test_game_equivalences test_equivalences test_overlap test_faults test_restart test_step test_r3gan
    test_kit_layers test_translation test_hosts test_start test_halving test_games test_evaluation""".split()


def pytest_collection_modifyitems(items):
    """Put the long modules first; whole modules are handed out in this order."""
    places = {name: i for i, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONG)))


def pytest_collection_finish():
    """Keep the garbage collector from what is imported, and from every few hundred objects of a trace."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@pytest.fixture(autouse=True, scope="module")
def compile_quickly(request):
    """Leave the compiler's optimisations out, except where a module is about what they may change."""
    with pytest.MonkeyPatch.context() as patch:
        if not getattr(request.module, "OPTIMISED", False):
            patch.setattr(compiler, "get_compile_options", quick)
        yield
