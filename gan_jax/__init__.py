"""gan_jax: functional GAN research in JAX.

The door for Python users: `gan_jax.load("runs/fashion").sample(64)`.
"""

from typing import Any

from gan_jax.version import __version__

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import `load` only when it is asked for: `import gan_jax` stays light."""
    if name == "load":
        from gan_jax.sampling import load

        return load
    raise AttributeError(f"module 'gan_jax' has no attribute {name!r}")
