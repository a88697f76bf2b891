"""Compiling is most of the time of these tests; the answers are the same without LLVM's optimisations."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="package")
def compile_quickly():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
