"""A DCGAN training step beside the same step written with Flax's own convolutions.

    python -m benchmarks.train_step --sides=28,64 --rounds=5

For each size three ways to do the same steps, timed in turn in one process: stock `nn.Conv` /
`nn.ConvTranspose` one step a dispatch, gan_jax one step a dispatch, gan_jax in its loop. Prints a Markdown
table of milliseconds a step (median over rounds) and the ratio to the stock step. The first step's losses must agree.
"""

import argparse
import time
from dataclasses import replace
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gan_jax import config, models
from gan_jax.models import layers
from gan_jax.step import init, make_chunk, make_step, streamed
from gan_jax.types import Batch


class StockConv(nn.Module):
    """`layers.Conv` by nn.Conv."""

    features: int
    kernel: int
    stride: int = 1
    use_bias: bool = True
    kernel_init: object = nn.initializers.lecun_normal()
    dtype: object = jnp.float32
    impl: str = "fast"

    @nn.compact
    def __call__(self, x):
        return nn.Conv(
            self.features,
            (self.kernel,) * 2,
            (self.stride,) * 2,
            use_bias=self.use_bias,
            kernel_init=self.kernel_init,
        )(x)
