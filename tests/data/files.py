"""Pictures as bytes, and bytes as folders and zip files."""

import io
import zipfile

from PIL import Image


def encode(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def write_folder(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def write_zip(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in reversed(
            files.items()
        ):  # the order inside must not matter
            archive.writestr(name, content)
    return path
