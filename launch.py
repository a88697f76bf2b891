"""The command line of gan_jax; see `python launch.py --help`."""

import sys

from gan_jax.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
