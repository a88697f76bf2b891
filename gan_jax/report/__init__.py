"""A run, several runs or a sweep as one HTML page: `build(read(folders))`. Reads files only and needs no jax."""

from gan_jax.report.gather import Report, Run, read
from gan_jax.report.page import build

__all__ = ["Report", "Run", "build", "read"]
