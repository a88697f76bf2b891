"""The command line of gan_jax; see `python launch.py --help`."""

import sys

if __name__ == "__main__":
    try:
        from gan_jax.heap import begin_again, keep_freed_memory

        begin_again()
        keep_freed_memory()
        from gan_jax.cli import main  # seconds: Ctrl-C may meet it
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(main(sys.argv[1:]))
