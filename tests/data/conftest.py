import numpy as np
import pytest
from PIL import Image

from gan_jax.data import DataSpec, load

from .files import encode


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    """No test reads or writes the user's cache, data or TFDS folder."""
    monkeypatch.setenv("GAN_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GAN_JAX_DATA", raising=False)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


@pytest.fixture(scope="session")
def faces():
    """Twelve CelebA-shaped pictures, uint8 [12, 218, 178, 3], enlarged from shipped emoji."""
    images = load(DataSpec(source="emoji")).images[:12]
    return np.stack([np.asarray(Image.fromarray(x).resize((178, 218))) for x in images])


@pytest.fixture(scope="session")
def face_files(faces):
    """The same as {name: bytes}: JPEG, PNG and lossless WebP in turn."""
    kinds = [
        ("JPEG", "jpg", {"quality": 95}),
        ("PNG", "png", {}),
        ("WEBP", "WEBP", {"lossless": True}),
    ]
    return {
        f"{i:06d}.{kinds[i % 3][1]}": encode(x, kinds[i % 3][0], **kinds[i % 3][2])
        for i, x in enumerate(faces)
    }
