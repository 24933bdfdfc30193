"""safetensors by our loaders beside the library's own, over real and over generated files."""

from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cachd.serve.client import FileRefused
from cachd.serve.leases import LeaseBook
from cachd.serve.loaders import WeightsRefused, safetensors_numpy, safetensors_torch
from cachd.serve.version import Version
from tests.serve.loaders.conftest import open_version
from tests.serve.loaders.package_folder import need_torch


def mapped_file(address: int) -> str:
    """Permissions and path of the map that an address lies in."""
    for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines():
        begin, _, end = line.partition(" ")[0].partition("-")
        if int(begin, 16) <= address < int(end, 16):
            return f"{line.split()[1]} {line.split()[-1]}"
    return ""


def test_numpy_gives_what_the_library_gives(mixed: Version) -> None:
    from safetensors.numpy import load_file

    ours, theirs = safetensors_numpy(mixed), load_file(f"{mixed.path}/model.safetensors")
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        assert (ours[name].dtype, ours[name].shape) == (array.dtype, array.shape), name
        np.testing.assert_array_equal(ours[name], array)
    with pytest.raises(ValueError, match="read-only"):
        ours["f8"][0, 0] = 1


def test_torch_gives_what_the_library_gives(mixed: Version) -> None:
    need_torch()
    import torch
    from safetensors.torch import load_file

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is said about what cannot be otherwise
        ours = safetensors_torch(mixed)
    theirs = load_file(f"{mixed.path}/model.safetensors")
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype, name
        assert torch.equal(ours[name], tensor), name
        assert ours[name].is_contiguous()


def test_types_that_numpy_lacks(tmp_path: Path, seed: int) -> None:
    need_torch()
    import torch
    from safetensors.torch import load_file, save_file

    torch.manual_seed(seed)
    names = ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu"]
    made = {name: torch.rand(4, 3).to(getattr(torch, name)) for name in names}
    save_file(made, tmp_path / "weights.safetensors")
    version = open_version(tmp_path)
    ours, theirs = safetensors_torch(version), load_file(tmp_path / "weights.safetensors")
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype
        assert torch.equal(ours[name].view(torch.uint8), tensor.view(torch.uint8))
    arrays = safetensors_numpy(version)  # by ml_dtypes
    assert str(arrays["bfloat16"].dtype) == "bfloat16"
    np.testing.assert_array_equal(
        arrays["bfloat16"].view("u2"), ours["bfloat16"].view(torch.uint16)
    )


def test_a_real_model_without_a_copy(minilm_folder: Path) -> None:
    need_torch()
    import torch
    from safetensors.torch import load_file

    version = open_version(minilm_folder)
    ours, theirs = safetensors_torch(version), load_file(minilm_folder / "model.safetensors")
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor), name
        lies_in = mapped_file(ours[name].data_ptr())
        assert lies_in.startswith("r--"), lies_in
        assert lies_in.endswith("model.safetensors"), lies_in
        assert ours[name].untyped_storage().nbytes() == tensor.nbytes  # saved alone, it is alone
    for name, array in safetensors_numpy(version).items():
        assert mapped_file(array.ctypes.data).endswith("model.safetensors"), name
        np.testing.assert_array_equal(array, theirs[name].numpy())


def shard(folder: Path, source: Path) -> None:
    """The same tensors in three files, as save_pretrained writes large models."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(source)
    weight_map = {name: f"model-{at % 3 + 1:05}-of-00003.safetensors"
                  for at, name in enumerate(tensors)}  # fmt: skip
    for file in set(weight_map.values()):
        part = {name: tensors[name] for name, where in weight_map.items() if where == file}
        save_file(part, folder / file)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def test_sharded(mixed: Version, tmp_path: Path) -> None:
    whole = safetensors_numpy(mixed)
    shard(tmp_path, Path(mixed.path) / "model.safetensors")
    ours = safetensors_numpy(open_version(tmp_path))
    assert ours.keys() == whole.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(ours[name], array)
    one = safetensors_numpy(open_version(tmp_path), "model-00002-of-00003.safetensors")
    assert set(one) < set(whole)


def test_an_index_that_does_not_fit_its_files(mixed: Version, tmp_path: Path) -> None:
    shard(tmp_path, Path(mixed.path) / "model.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    sound = json.loads(index.read_text(encoding="utf-8"))
    shards = sound["weight_map"]
    for weight_map, said in [
        (shards | {"ghost": "model-00001-of-00003.safetensors"}, "lacks 1 tensors"),
        ({n: s for n, s in shards.items() if n != "f4"}, "says nothing of, 'f4'"),
        (shards | {"f4": "../../etc/passwd"}, "is no safetensors file"),
        ({"f4": "../mixed/model.safetensors"}, "is no file of a version"),
        ({"f4": "gone.safetensors"}, "cannot open 'gone.safetensors'"),
        ({}, "names no tensors"),
        ([], "names no tensors"),
    ]:
        index.write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
        with pytest.raises((WeightsRefused, FileRefused), match=said):
            safetensors_numpy(open_version(tmp_path))
    index.write_text('{"weight_map": {', encoding="utf-8")
    with pytest.raises(WeightsRefused, match="is no index"):
        safetensors_numpy(open_version(tmp_path))


def test_which_file_it_is(mixed: Version, tmp_path: Path) -> None:
    data = (Path(mixed.path) / "model.safetensors").read_bytes()
    (tmp_path / "readme.md").touch()
    with pytest.raises(WeightsRefused, match=r"no safetensors file, only readme\.md"):
        safetensors_numpy(open_version(tmp_path))
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet" / "a.safetensors").write_bytes(data)
    assert "f8" in safetensors_numpy(open_version(tmp_path))
    (tmp_path / "b.safetensors").write_bytes(data)
    with pytest.raises(WeightsRefused, match="say which with name='.*safetensors', or another of"):
        safetensors_numpy(open_version(tmp_path))
    assert "f8" in safetensors_numpy(open_version(tmp_path), "unet/a.safetensors")
    with pytest.raises(FileRefused):
        safetensors_numpy(open_version(tmp_path), "../mixed/model.safetensors")


def test_writable_is_this_processs_own(mixed: Version) -> None:
    need_torch()
    path = Path(mixed.path) / "model.safetensors"
    before = path.read_bytes()
    tensor, array = (load(mixed, writable=True)["f4"] for load in LOADERS)
    tensor += 1
    array += 1
    assert path.read_bytes() == before
    original = safetensors_numpy(mixed)["f4"]
    np.testing.assert_array_equal(array, original + 1)
    np.testing.assert_array_equal(tensor.numpy(), original + 1)


LOADERS: list[Any] = [safetensors_torch, safetensors_numpy]
WRITE = """
import os, sys
from pathlib import Path
from cachd.serve.loaders import safetensors_torch
from tests.serve.loaders.conftest import open_version
tensor = safetensors_torch(open_version(Path(sys.argv[1])))["f4"]
print(float(tensor.sum()), flush=True)
tensor.add_(1)
print("survived")
"""


def test_a_write_into_a_read_only_tensor_ends_the_process(mixed: Version) -> None:
    """As the documentation says: torch has no read-only tensors, the kernel has read-only pages."""
    need_torch()
    path = Path(mixed.path) / "model.safetensors"
    before = path.read_bytes()
    ended = subprocess.run(
        [sys.executable, "-c", WRITE, mixed.path], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert ended.returncode == -signal.SIGSEGV, ended.stderr
    assert "survived" not in ended.stdout
    assert ended.stdout, ended.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize("load", LOADERS)
def test_what_is_made_of_a_version_keeps_its_lease(mixed: Version, load: Any) -> None:
    if load is safetensors_torch:
        need_torch()
    book = LeaseBook()
    version = open_version(Path(mixed.path), book)
    for writable in (False, True):
        tensor = load(version, writable=writable)["f4"][1:]
        if writable:
            del version
        gc.collect()
        assert [held.handle for held in book.announce()] == [1]
        tensor_sum = float(tensor.sum())
    assert tensor_sum > 0
    del tensor
    gc.collect()
    assert book.announce() == []


def test_headers_beyond_all_rules(mixed: Version, tmp_path: Path) -> None:
    sound = (Path(mixed.path) / "model.safetensors").read_bytes()
    length = int.from_bytes(sound[:8], "little")
    header, data = json.loads(sound[8 : 8 + length]), sound[8 + length :]
    f4 = header["f4"]

    def written(changed: dict[str, Any], rest: bytes = data) -> bytes:
        text = json.dumps(changed).encode()
        return len(text).to_bytes(8, "little") + text + rest

    cases = [
        (b"", "hold no header"),
        (b"\xff" * 64, "a header of 18446744073709551615 bytes"),
        (sound[:40], "a header of"),
        ((2).to_bytes(8, "little") + b"[]", "not an object"),
        ((2).to_bytes(8, "little") + b"{]", "no JSON"),
        (sound[:-1], "its tensors end at"),
        (sound + b"\0", "its tensors end at"),
        (written(header | {"f4": f4 | {"shape": [3, 4]}}), "where its shape needs 48"),
        (written(header | {"f4": f4 | {"shape": [-3, -5]}}), "is not described"),
        (written(header | {"f4": f4 | {"shape": [2**62, 4]}}), "is not described"),
        (written(header | {"f4": f4 | {"shape": [True, 15]}}), "is not described"),
        (written(header | {"f4": f4 | {"shape": [1] * 65}}), "is not described"),
        (written(header | {"f4": f4 | {"dtype": "F128"}}), "is not described"),
        (written(header | {"f4": f4 | {"data_offsets": [0, 2**70]}}), "is not described"),
        (written(header | {"again": f4}), "overlaps another"),
        (written({name: one for name, one in header.items() if name != "f4"}), "leaves a hole"),
        (
            (26).to_bytes(8, "little") + b'{"a":null,"b":1,"a":null }',
            "a name twice",
        ),
        ((100_001).to_bytes(8, "little") + b'{"a":' * 16_000 + b" " * 20_001, "no JSON"),
    ]
    for content, said in cases:
        (tmp_path / "x.safetensors").write_bytes(content)
        with pytest.raises(WeightsRefused, match=said):
            safetensors_numpy(open_version(tmp_path), "x.safetensors")


def test_damaged_files_are_refused_or_read_as_the_library_reads_them(
    mixed: Version, tmp_path: Path, seed: int
) -> None:
    from safetensors.numpy import load

    rng = np.random.default_rng(seed)
    sound = (Path(mixed.path) / "model.safetensors").read_bytes()
    length = 8 + int.from_bytes(sound[:8], "little")
    accepted = 0
    for _ in range(1_000):
        data = bytearray(sound)
        for _ in range(rng.integers(1, 3)):
            data[rng.integers(0, length)] = rng.choice(
                [rng.integers(0, 256), *b'0123456789[]{}",:']
            )
        (tmp_path / "x.safetensors").write_bytes(data)
        try:
            ours = safetensors_numpy(open_version(tmp_path), "x.safetensors")
        except WeightsRefused:
            continue
        accepted += 1
        theirs = load(bytes(data))  # never refuses what passed here
        assert ours.keys() == theirs.keys()
        for name, array in theirs.items():
            assert ours[name].tobytes() == array.tobytes(), name
    print(f"{accepted} of 1,000 accepted")
    assert accepted > 5
