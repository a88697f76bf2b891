"""Python files that a user wrote: whatever they do wrong is one sentence."""

import importlib.util
import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gan_jax.types import UserError


def guarded(path: str, call: Callable[..., Any], *args: Any) -> Any:
    """What code of a config file returns. Raises UserError with its line for whatever it raises, sys.exit too."""
    try:
        return call(*args)
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        file = Path(path).absolute()
        lines = [frame.lineno for frame in frames if Path(frame.filename) == file]
        place = f"{path}, line {lines[-1]}" if lines else path
        raise UserError(f"{place}: {type(error).__name__}: {error}") from error


def executed(path: str) -> Any:
    """The module of a config file. Raises UserError when it is missing or broken."""
    if not Path(path).is_file() or Path(path).suffix != ".py":
        near = ", ".join(sorted(str(p) for p in Path(path).parent.glob("*.py")))
        raise UserError(f"no config file {path!r}; there are: {near or 'none there'}")
    module_spec = importlib.util.spec_from_file_location("gan_jax_config", path)
    module = importlib.util.module_from_spec(module_spec)
    guarded(path, module_spec.loader.exec_module, module)
    return module


def parted(spec: str) -> tuple[str, bool, list[str]]:
    """Cut "FILE.py:smoke,ARG" into the file, whether smoke is asked for, and [ARG], [] where nothing else is said."""
    path, _, argument = spec.partition(":")
    words = [word for word in argument.split(",") if word]
    rest = ",".join(word for word in words if word != "smoke")
    return path, "smoke" in words, [rest] if rest else []


def offered(path: str, call: Callable[..., Any], words: list[str]) -> Any:
    """As `guarded`; the function is given the words if it takes any."""
    return guarded(
        path, lambda: call(*(words if inspect.signature(call).parameters else []))
    )
