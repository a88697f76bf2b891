import copyreg
import io
import pickle
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from gan_jax.eval.weights import read_numpy_pickle, read_torch
from gan_jax.types import UserError
from tests.golden.make_weights import values

GOLDEN = Path(__file__).parents[1] / "golden"
FORMS = ["zip", "legacy"]
ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": {
        "column": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">i4"),
        "empty": np.zeros((0, 2), np.float16),
        "scalar": np.array(3, np.uint8),
    },
}


class Name(NamedTuple):
    module: str
    name: str


class Call(NamedTuple):
    function: Name
    arguments: tuple
    state: object = None


class Identity(NamedTuple):
    value: tuple


def written(value) -> bytes:
    """Opcodes that make a value; unlike Python's pickler this one writes lies as well."""
    match value:
        case Name(module, name):
            return f"c{module}\n{name}\n".encode()
        case Call(function, arguments, state):
            call = written(function) + written(arguments) + b"R"
            return call if state is None else call + written(state) + b"b"
        case Identity(identity):
            return written(identity) + b"Q"
        case dict():
            items = b"".join(written(part) for pair in value.items() for part in pair)
            return b"}(" + items + b"u"
        case tuple():
            return b"(" + b"".join(map(written, value)) + b"t"
        case bytes():
            return b"B" + len(value).to_bytes(4, "little") + value
    return pickle.dumps(value, 2)[2:].split(b"q\0")[0].removesuffix(b".")


TENSOR = Name("torch._utils", "_rebuild_tensor_v2")
ORDERED = Name("collections", "OrderedDict")


def tensor(offset=0, size=(2,), stride=(1,), numel=4, key="0", kind="FloatStorage"):
    storage = Identity(("storage", Name("torch", kind), key, "cpu", numel))
    hooks = Call(ORDERED, ())
    return Call(TENSOR, (storage, offset, size, stride, False, hooks))


def torch_file(path, form, program, raw=b"\0" * 16, numel=4, order="little"):
    """Write `program` (opcodes) as torch.save would, with one storage "0"."""
    program = b"\x80\x02" + program + b"."
    if form == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", program)
            archive.writestr("archive/byteorder", order)
            archive.writestr("archive/data/0", raw)
        return path
    system = {"protocol_version": 1001, "little_endian": order == "little"}
    first = [pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, system)]
    keys = pickle.dumps(["0"], 2)
    length = (numel % 2**64).to_bytes(8, "little")
    path.write_bytes(b"".join(first) + program + keys + length + raw)
    return path


def array(raw=b"\0" * 8, shape=(2,), code="f4", order="<", state=None):
    dtype_state = (3, order, None, None, None, -1, -1, 0)
    dtype = Call(Name("numpy", "dtype"), (code, False, True), dtype_state)
    make = Name("numpy.core.multiarray", "_reconstruct")
    blank = (Name("numpy", "ndarray"), (0,), b"b")
    return Call(make, blank, state or (1, shape, dtype, False, raw))


def refused(read, path, why=None):
    with pytest.raises(UserError, match=why) as caught:
        read(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("form", FORMS)
def test_real_files_of_torch(form):
    got = read_torch(GOLDEN / f"weights_{form}.pth")
    assert list(got) == list(values())
    for name, value in values().items():
        assert got[name].dtype == value.dtype, name
        np.testing.assert_array_equal(got[name], value, strict=True)
        assert got[name].flags.c_contiguous and got[name].flags.owndata


def test_arrays_that_share_a_storage_are_copies():
    got = read_torch(str(GOLDEN / "weights_zip.pth"))
    got["whole"][:] = -1
    np.testing.assert_array_equal(got["transposed"], values()["transposed"])


@pytest.mark.parametrize("form", FORMS)
def test_the_hand_written_file_is_as_torch_writes(tmp_path, form):
    raw = np.arange(4, dtype=np.float32).tobytes()
    state = written({"w": tensor(size=(2, 2), stride=(1, 2))})
    got = read_torch(torch_file(tmp_path / "f", form, state, raw))
    np.testing.assert_array_equal(got["w"], [[0, 2], [1, 3]])


@pytest.mark.parametrize("protocol", [3, 4])
def test_pickled_arrays(tmp_path, protocol):
    path = tmp_path / "arrays"
    path.write_bytes(pickle.dumps(ARRAYS, protocol))
    got = read_numpy_pickle(path)
    np.testing.assert_array_equal(got["a"], ARRAYS["a"], strict=True)
    assert list(got) == list(ARRAYS) and list(got["b"]) == list(ARRAYS["b"])
    for name, value in ARRAYS["b"].items():
        np.testing.assert_array_equal(got["b"][name], value)
        assert got["b"][name].dtype == value.dtype.newbyteorder("=")
    path.write_bytes(b"\x80\x02" + written({"x": array()}) + b".")
    np.testing.assert_array_equal(read_numpy_pickle(path)["x"], [0, 0])


def payloads(marker):
    """Programs that run a command, by the family of the opcode that does it."""
    command = written(f"touch {marker}")
    text = f"S'touch {marker}'\n".encode()
    system = b"cposix\nsystem\n"
    stacked = b"\x8c\x05posix\x8c\x06system\x93"
    return {
        "GLOBAL": system + command + b"\x85R",
        "STACK_GLOBAL": stacked + command + b"\x85R",
        "INST": b"(" + text + b"iposix\nsystem\n",
        "OBJ": b"(" + system + command + b"o",
        "EXT1": b"\x82\xf0" + command + b"\x85R",
        "EXT2": b"\x83\xf0\0" + command + b"\x85R",
        "EXT4": b"\x84\xf0\0\0\0" + command + b"\x85R",
    }


@pytest.fixture
def extension():
    copyreg.add_extension("posix", "system", 0xF0)
    yield
    copyreg.remove_extension("posix", "system", 0xF0)


@pytest.mark.parametrize("family", payloads(""))
def test_nothing_is_executed(tmp_path, extension, family):
    marker = tmp_path / "executed"
    program = payloads(marker)[family]
    for inside in (program, b"}X\1\0\0\0w" + program + b"s"):
        for form in FORMS:
            why = refused(read_torch, torch_file(tmp_path / form, form, inside))
            assert "posix.system" in why or family in why
        path = tmp_path / "numpy"
        path.write_bytes(b"\x80\x04" + inside + b".")
        refused(read_numpy_pickle, path, "which is refused")
        assert not marker.exists()
    pickle.loads(b"\x80\x04" + program + b".")
    assert marker.exists(), "the payload is none"


@pytest.mark.parametrize("opcode", [b"\x81", b"}\x92"], ids=["NEWOBJ", "NEWOBJ_EX"])
def test_nothing_is_constructed(tmp_path, opcode):
    program = written(ORDERED) + b")" + opcode
    assert pickle.loads(b"\x80\x04" + program + b".") == {}
    for form in FORMS:
        refused(read_torch, torch_file(tmp_path / form, form, program), "NEWOBJ")


@pytest.mark.parametrize(
    "module, name",
    [
        ("builtins", "getattr"),
        ("builtins", "eval"),
        ("torch", "load"),
        ("torch.storage", "_load_from_bytes"),
        ("torch", "FloatStorage.mro"),
        ("collections", "OrderedDict.fromkeys"),
        ("numpy", "fromfile"),
        ("numpy.core.multiarray", "scalar"),
        ("__torch__.nets", "Net"),
    ],
)
def test_other_globals_are_refused_by_name(tmp_path, module, name):
    program = written(Name(module, name))
    for form in FORMS:
        path = torch_file(tmp_path / form, form, program)
        assert f"{module}.{name}" in refused(read_torch, path, "state_dict")
    path = tmp_path / "numpy"
    path.write_bytes(program + b".")
    assert f"{module}.{name}" in refused(read_numpy_pickle, path)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "lie",
    [
        {"size": (5,)},
        {"offset": 3},
        {"offset": -1},
        {"offset": 2**70},
        {"offset": 0.0},
        {"stride": (-1,), "offset": 1},
        {"stride": (4,)},
        {"stride": (2**62,)},
        {"stride": (1, 1)},
        {"stride": (0,), "size": (2**40,)},
        {"size": (2**62, 4), "stride": (0, 0)},
        {"size": (-2,)},
        {"size": (True,)},
        {"size": (0, 2**80), "stride": (1, 1)},
        {"size": (1,) * 33, "stride": (1,) * 33},
        {"size": ("2",)},
        {"size": 2},
        {"numel": 5},
        {"numel": 3},
        {"numel": 2**61},
        {"numel": 2**64 + 4},
        {"numel": -4},
        {"kind": "DoubleStorage"},
        {"kind": "UntypedStorage"},
        {"key": "1"},
        {"key": "../0"},
        {"key": 0},
    ],
    ids=str,
)
def test_lying_tensors_are_refused(tmp_path, form, lie):
    program = written({"w": tensor(**lie)})
    numel = lie.get("numel", 4)
    path = torch_file(tmp_path / "f", form, program, numel=numel)
    tracemalloc.start()
    try:
        refused(read_torch, path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_bytes_may_be_shared_only_so_often(tmp_path):
    part = tensor(size=(4096,), numel=4096)
    raw = bytes(4 * 4096)
    for copies, fine in ((3, True), (8, False)):
        program = written({str(i): part for i in range(copies)})
        for form in FORMS:
            path = torch_file(tmp_path / form, form, program, raw, 4096)
            if fine:
                assert len(read_torch(path)) == copies
            else:
                refused(read_torch, path, "far larger than the file")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "state, why",
    [
        ((tensor(),), "does not hold a state dict"),
        ({"epoch": 3, "w": tensor()}, "'epoch', which is no tensor"),
        ({"model": {"w": tensor()}}, "'model', which is no tensor"),
        ({"w": Call(TENSOR, ("0", 0, (1,), (1,), False, None))}, "damaged"),
        ({"w": Call(TENSOR, (None, 0, (1,), (1,), False, None))}, "without a storage"),
        ({"w": Call(TENSOR, (1,) * 5)}, "damaged"),
        ({"w": Call(TENSOR, (1,) * 9)}, "cannot be called so"),
        ({"w": Call(ORDERED, ({"a": 1},))}, "damaged"),
        ({"a": tensor(), "b": tensor(kind="IntStorage")}, "in two ways"),
        ({"w": Identity(("storage", ORDERED, "0", "cpu", 4))}, "unknown kind"),
        ({"w": Identity(("storage", 1))}, "damaged"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_is_no_state_dict_is_refused(tmp_path, form, state, why):
    refused(read_torch, torch_file(tmp_path / "f", form, written(state)), why)


@pytest.mark.parametrize(
    "lie, why",
    [
        ({"shape": (3,)}, "another size"),
        ({"shape": (2**62, 2**62)}, "another size"),
        ({"shape": (-2,)}, "natural number"),
        ({"shape": [2]}, "natural number"),
        ({"code": "O"}, "no numbers"),
        ({"code": "O8"}, "no numbers"),
        ({"code": "V8"}, "no numbers"),
        ({"code": "f4,f4"}, "no numbers"),
        ({"code": ["f4"]}, "no numbers"),
        ({"code": {"x": "f4"}}, "no numbers"),
        ({"order": "?"}, "no numbers"),
        ({"raw": [1.0, 2.0]}, "another size"),
        ({"state": (1, (2,), None, False, b"\0" * 8)}, "no numbers"),
        ({"state": (1, (2,), array(), False, b"\0" * 8)}, "damaged"),
        ({"state": 3}, "damaged"),
    ],
    ids=str,
)
def test_lying_arrays_are_refused(tmp_path, lie, why):
    path = tmp_path / "f"
    path.write_bytes(b"\x80\x03" + written({"x": array(**lie)}) + b".")
    refused(read_numpy_pickle, path, why)


BOMBS = {
    "a large memo index": b"}r\xff\xff\xff\xff" + written({"x": 1}) + b"s",
    "a nested tuple as key": b"})" + b"\x85" * 100_000 + b"Ns",
    "a nested dict": b"}" + b"X\1\0\0\0a}" * 50_000 + b"s" * 50_000,
    "a nested list": b"]" * 100_000 + b"a" * 99_999,
    "a dict in itself": b"}q\0X\1\0\0\0ah\0s",
    "too many opcodes": b"N" * 1_000_001,
    "a long of text": b"L" + b"9" * 1_000_000 + b"L\n",
    "a long of bytes": b"\x8b\xff\xff\xff\x7f" + b"\1" * 100,
    "bytes that are not there": b"\x8e\0\0\0\0\0\0\0\x40abc",
    "text that is not there": b"X\xff\xff\xff\xff",
    "a long line": b"c" + b"a" * 1_000_000,
    "an empty stack": b"R",
    "no mark": b"u",
    "half an item": b"}(Nu",
    "a number's state": b"K\1}b",
    "a call of a number": b"K\1)R",
    "a call with no tuple": written(ORDERED) + b"]R",
    "a key by number": b"}K\1K\1s",
    "a global of numbers": b"K\1K\2\x93",
    "a persistent id of text": b"Pabc\n",
}


# Alone in a process: a crash is seen, memory is measured, and opcodes are not type-checked one by one.
ALONE = """
import resource, sys
from gan_jax.eval.weights import read_numpy_pickle, read_torch
from gan_jax.types import UserError

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

before = peak()
for path in sys.argv[1:]:
    try:
        (read_numpy_pickle if path.endswith("numpy") else read_torch)(path)
    except UserError as error:
        print(error)
print(peak() - before)
"""


def test_bombs_are_refused(tmp_path):
    paths = []
    for bomb, program in BOMBS.items():
        paths += [tmp_path / f"{bomb} {form}" for form in [*FORMS, "numpy"]]
        for path, form in zip(paths[-3:], FORMS, strict=False):
            torch_file(path, form, program)
        paths[-1].write_bytes(b"\x80\x04" + program + b".")
    command = [sys.executable, "-c", ALONE, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    *lines, megabytes = done.stdout.splitlines()
    for path, line in zip(paths, lines, strict=True):
        assert line.startswith(f"{path} "), line
    assert int(megabytes) < 200


def test_laughs_are_counted(tmp_path):
    path = tmp_path / "f"
    # POP is not known, so the dicts hang in one outside dict
    inner = written({"x": array()})
    program = b"}X\1\0\0\0z" + inner + b"q\0s"
    for i in range(30):
        two = b"}(" + written("a") + bytes([ord("h"), i]) + written("b")
        program += b"X\1\0\0\0z" + two + bytes([ord("h"), i]) + b"u"
        program += bytes([ord("q"), i + 1]) + b"s"
    path.write_bytes(b"\x80\x02" + program + b".")
    refused(read_numpy_pickle, path, "too many dicts, or too deep")


def test_keys_of_storages_are_not_compared_deeply(tmp_path):
    """Two equal lists of lists of ... of one list each take for ever to compare."""
    one = b"]" + b"".join(
        bytes([ord("q"), i]) + b"](h" + bytes([i, ord("h"), i]) + b"e"
        for i in range(200)
    )
    path = torch_file(tmp_path / "f", "legacy", written({"w": tensor()}))
    keys = pickle.dumps(["0"], 2)
    data = path.read_bytes()
    path.write_bytes(data.replace(keys, b"\x80\x02](" + one + one + b"e."))
    refused(read_torch, path, "key is no text")


@pytest.mark.parametrize("form", FORMS)
def test_big_endian_is_refused(tmp_path, form):
    program = written({"w": tensor()})
    path = torch_file(tmp_path / "f", form, program, order="big")
    refused(read_torch, path, "big-endian")


def archive_of(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_archives_are_refused(tmp_path):
    path = tmp_path / "f"
    program = b"\x80\x02" + written({"w": tensor()}) + b"."
    good = [("a/data.pkl", program), ("a/data/0", bytes(16))]
    assert len(read_torch(archive_of(path, good))) == 1
    bomb = [("a/data.pkl", program), ("a/data/0", bytes(10**7))]
    refused(read_torch, archive_of(path, bomb, zipfile.ZIP_DEFLATED), "compressed")
    refused(read_torch, archive_of(path, good + good[:1]), "two members of one name")
    two = [*good, ("b/data.pkl", program)]
    refused(read_torch, archive_of(path, two), "none of torch.save")
    refused(read_torch, archive_of(path, good[1:]), "none of torch.save")
    refused(read_torch, archive_of(path, good[:1]), "damaged")
    many = [*good, *((str(i), b"") for i in range(20_000))]
    refused(read_torch, archive_of(path, many), "members")
    # sizes in the directory that are larger than the file
    data = archive_of(path, good).read_bytes()
    at = data.rindex(b"PK\1\2") + 20
    size = (2**31).to_bytes(4, "little")
    path.write_bytes(data[:at] + size * 2 + data[at + 8 :])
    refused(read_torch, path, "larger than the file")


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\3\4", b"\x80\x02", b"hello, world\n" * 99, b"\0" * 999],
    ids=["empty", "zip head", "pickle head", "text", "zeros"],
)
def test_other_files_are_refused(tmp_path, data):
    path = tmp_path / "f"
    path.write_bytes(data)
    for read in (read_torch, read_numpy_pickle):
        refused(read, path)


def test_a_path_without_a_file_is_refused(tmp_path):
    for read in (read_torch, read_numpy_pickle):
        refused(read, tmp_path / "absent", "there is no file")
        refused(read, tmp_path, "there is no file")


def samples():
    buffer = io.BytesIO()
    pickle.dump(ARRAYS, buffer, 3)
    torch = {form: (GOLDEN / f"weights_{form}.pth").read_bytes() for form in FORMS}
    return {**torch, "numpy": buffer.getvalue()}


@pytest.mark.parametrize("kind", [*FORMS, "numpy"])
def test_a_truncated_file_is_refused(tmp_path, kind):
    data, path = samples()[kind], tmp_path / "f"
    read = read_numpy_pickle if kind == "numpy" else read_torch
    for length in np.linspace(0, len(data) - 1, 60).astype(int):
        path.write_bytes(data[:length])
        refused(read, path)


@pytest.mark.parametrize("kind", [*FORMS, "numpy"])
def test_a_flipped_bit_is_harmless(tmp_path, kind):
    data, path = samples()[kind], tmp_path / "f"
    read = read_numpy_pickle if kind == "numpy" else read_torch
    rng, outcomes = np.random.RandomState(0), {True: 0, False: 0}
    for _ in range(100):
        flipped = bytearray(data)
        flipped[rng.randint(len(data))] ^= 1 << rng.randint(8)
        path.write_bytes(flipped)
        try:
            read(path)
            outcomes[True] += 1
        except UserError as error:
            assert str(path) in str(error)
            outcomes[False] += 1
    assert outcomes[False] > 10 and sum(outcomes.values()) == 100
