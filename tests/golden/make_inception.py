"""Write inception.npz: what torch-fidelity's Inception says of pictures, with seeded random weights.

    pip install torch==2.13.0 torchvision==0.28.0 torch-fidelity==0.4.0 pytorch-fid==0.3.0 numpy
    python -m tests.golden.make_inception

Also in the file: the names and shapes of the state dict, which pytorch-fid's network has too, and TensorFlow 1's
resize by torch-fidelity, and how far each of `mutants`, mistakes made there, takes the features away: the largest
difference over the largest value.
"""

import contextlib
import hashlib
import json
import sys
import tempfile
import types
from pathlib import Path
from unittest import mock

import numpy as np

FILE = Path(__file__).with_name("inception.npz")
TAPS = {"pool": "2048", "logits": "logits", "logits_no_bias": "logits_unbiased"}
SHAPES = {"up": (2, 32, 32), "same": (1, 299, 299), "down": (1, 400, 340)}
RESIZES = {"small_up": ((7, 5), (16, 9)), "small_down": ((20, 17), (9, 8))}


def pictures():
    """Seeded noise of three shapes, smooth enough that the resize matters: uint8 [N, H, W, 3]."""
    random = np.random.RandomState(1)
    return {
        name: random.randint(0, 256, (*shape, 3)).astype(np.uint8)
        for name, shape in SHAPES.items()
    }


def small(name):
    """A float32 picture [1, h, w, 3] of whole numbers 0..255, and the size it becomes."""
    size, out = RESIZES[name]
    x = np.random.RandomState(2).randint(0, 256, (1, *size, 3))
    return x.astype(np.float32), out


def state(shapes):
    """Random arrays under {name: shape}: running_var down to 0.02 so that eps shows, kernels such that units stay O(1)."""
    random = np.random.RandomState(0)
    arrays = {}
    for name, shape in shapes.items():  # bn.* follow their conv.weight
        normal = random.standard_normal(shape)
        if name.endswith("running_var"):
            arrays[name] = np.exp(random.uniform(np.log(0.02), 0, shape))
            kernel = arrays[name.replace("bn.running_var", "conv.weight")]
            kernel *= np.sqrt(arrays[name]).reshape(-1, 1, 1, 1)
        elif name.endswith("bn.weight"):
            arrays[name] = 1 + 0.1 * normal
        elif len(shape) == 1:
            arrays[name] = 0.1 * normal
        else:
            arrays[name] = normal * np.sqrt(2 / np.prod(shape[1:]))
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def digest(x):
    return hashlib.sha256(np.ascontiguousarray(x)).hexdigest()


def extractor(arrays=None):
    """torch-fidelity's network with these arrays, or with its own initial ones."""
    # builds of torchvision for another torch lack operators that this network does not need
    name = "torchvision._meta_registrations"
    sys.modules.setdefault(name, types.ModuleType(name))
    import torch
    from torch_fidelity import feature_extractor_inceptionv3 as fidelity

    torch.set_grad_enabled(False)
    network = fidelity.FeatureExtractorInceptionV3
    if arrays is None:
        with (
            mock.patch.object(torch, "load"),
            mock.patch.object(network, "load_state_dict"),
        ):
            return network("", list(TAPS.values()), "no file")
    with tempfile.NamedTemporaryFile() as file:
        torch.save({k: torch.from_numpy(v) for k, v in arrays.items()}, file.name)
        return network("", list(TAPS.values()), file.name)


def features(network, images):
    """{tap: float32 [N, ...]} of uint8 [N, H, W, 3]."""
    import torch

    out = network(torch.from_numpy(images).permute(0, 3, 1, 2))
    return {name: tap.numpy() for name, tap in zip(TAPS, out, strict=True)}


def resize(images, size):
    import torch
    from torch_fidelity import interpolate_compat_tensorflow as compat

    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    y = compat.interpolate_bilinear_2d_like_tensorflow1x(x, size, align_corners=False)
    return y.permute(0, 2, 3, 1).contiguous().numpy()


def mutants(network):
    """Each mistake as a context in which `network` makes it."""
    import torch
    import torch.nn.functional as F
    from torch_fidelity import feature_extractor_inceptionv3 as fidelity

    mean, largest, bilinear = F.avg_pool2d, F.max_pool2d, F.interpolate

    def counted(x, **arguments):
        return mean(x, **{**arguments, "count_include_pad": True})

    @contextlib.contextmanager
    def epsilon():
        norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        for norm in norms:
            norm.eps = 1e-5
        yield
        for norm in norms:
            norm.eps = 1e-3

    def half_pixel(x, size, align_corners):
        return bilinear(x, size, mode="bilinear", align_corners=align_corners)

    def scaled(x, size, align_corners):
        y = resize(x.permute(0, 2, 3, 1).numpy(), size)
        return torch.from_numpy((y - 127.5) / 127.5 * 128 + 128).permute(0, 3, 1, 2)

    def maximum(*x, **arguments):
        if arguments.get("stride") == 1:  # of Mixed_7c alone
            return mean(*x, **arguments, count_include_pad=False)
        return largest(*x, **arguments)

    resizer = "interpolate_bilinear_2d_like_tensorflow1x"
    return {
        "eps 1e-5": epsilon,
        "mean in 7c": lambda: mock.patch.object(F, "max_pool2d", maximum),
        "padding counted": lambda: mock.patch.object(F, "avg_pool2d", counted),
        "half pixel": lambda: mock.patch.object(fidelity, resizer, half_pixel),
        "scale 127.5": lambda: mock.patch.object(fidelity, resizer, scaled),
    }


def main():
    initial = extractor().state_dict()
    shapes = {
        name: list(value.shape)
        for name, value in initial.items()
        if not name.endswith("num_batches_tracked")
    }
    from pytorch_fid.inception import fid_inception_v3

    with mock.patch(
        "pytorch_fid.inception.load_state_dict_from_url", return_value=initial
    ):
        theirs = fid_inception_v3().state_dict()
    assert {k: list(v.shape) for k, v in theirs.items() if k in shapes} == shapes
    network = extractor(state(shapes))
    arrays = {"shapes": np.array(json.dumps(shapes))}
    for name, images in pictures().items():
        taps = features(network, images)
        arrays |= {f"{name}.{tap}": value for tap, value in taps.items()}
        full = resize(images.astype(np.float32), (299, 299))
        arrays[f"{name}.resize"] = np.array(digest(full))
        print(name, {tap: (v.std(), abs(v).max()) for tap, v in taps.items()})
        for mutant, context in mutants(network).items():
            with context():
                wrong = features(network, images)["pool"]
            far = abs(wrong - taps["pool"]).max() / abs(taps["pool"]).max()
            arrays[f"{name}.{mutant}"] = far
            print(f"  {mutant}: {far:.2e}")
    for name in RESIZES:
        arrays[name] = resize(*small(name))
    np.savez_compressed(FILE, **arrays)


if __name__ == "__main__":
    main()
