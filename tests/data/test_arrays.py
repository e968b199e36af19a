"""Feature files are found by the video's id, read in four formats, never unpickled, and refused with a reason."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from leaplan.data.arrays import index_arrays, read_archive, read_array
from leaplan.errors import DataError

ARRAY = np.arange(12, dtype=np.float32).reshape(4, 3)
executed: list[str] = []


class Trap:
    """An object that tells when it is unpickled."""

    def __reduce__(self):
        return executed.append, ("unpickled",)


def tensor(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.from_numpy(ARRAY).to(dtype)


READABLE = {
    "array.npy": lambda path: np.save(path, ARRAY),
    "half.npy": lambda path: np.save(path, ARRAY.astype(np.float16)),
    "double.npy": lambda path: np.save(path, ARRAY.astype(np.float64)),
    "whole.npy": lambda path: np.save(path, ARRAY.astype(np.int64)),
    "columns first.npy": lambda path: np.save(path, np.asfortranarray(ARRAY)),
    "one array.npz": lambda path: np.savez_compressed(path, features=ARRAY),
    "tensor.pt": lambda path: torch.save(tensor(), path),
    "brain float.pt": lambda path: torch.save(tensor(torch.bfloat16), path),
    "with gradient.pt": lambda path: torch.save(tensor().requires_grad_(), path),
    "one of a dictionary.pt": lambda path: torch.save({"fps": 1, "features": tensor()}, path),
    "one tensor.safetensors": lambda path: save_file({"features": tensor()}, path),
    "brain float.safetensors": lambda path: save_file({"features": tensor(torch.bfloat16)}, path),
}


@pytest.mark.parametrize("name", READABLE)
def test_every_format_gives_the_same_numbers(name, tmp_path):
    READABLE[name](tmp_path / name)
    array = read_array(tmp_path / name)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, ARRAY)


@pytest.mark.parametrize("suffix", [".npz", ".pt", ".safetensors"])
def test_a_key_names_one_of_several_arrays(suffix, tmp_path):
    path = tmp_path / f"file{suffix}"
    both = {"first": tensor(), "second": tensor() + 1}
    if suffix == ".npz":
        np.savez(path, **{name: value.numpy() for name, value in both.items()})
    elif suffix == ".pt":
        torch.save(both, path)
    else:
        save_file(both, path)
    np.testing.assert_array_equal(read_array(path, "second"), ARRAY + 1)
    for key in (None, "third"):
        with pytest.raises(DataError, match=r"among \['first', 'second'\]"):
            read_array(path, key)


def truncated(path: Path) -> None:
    np.save(path, ARRAY)
    path.write_bytes(path.read_bytes()[:-5])


def overwritten(path: Path) -> None:
    np.savez_compressed(path, features=np.random.default_rng(0).normal(size=(300, 40)))
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(byte ^ 0xFF for byte in content[200:260])
    path.write_bytes(content)


def with_value(value: float) -> np.ndarray:
    array = ARRAY.astype(np.float64)
    array[2, 1] = value
    return array


MALFORMED = {
    "objects.npy": (lambda p: np.save(p, np.array([Trap()], object)), "cannot be read as an array"),
    "objects.npz": (lambda p: np.savez(p, a=np.array([Trap()], object)), "cannot be read as an array"),
    "objects.pt": (lambda p: torch.save(Trap(), p), "pickled objects, which are never loaded"),
    "numpy.pt": (lambda p: torch.save({"features": ARRAY}, p), "pickled objects, which are never loaded"),
    "list.pt": (lambda p: torch.save([tensor()], p), "holds a list"),
    "number.pt": (lambda p: torch.save(3, p), "holds a int"),
    "empty.npy": (lambda p: p.write_bytes(b""), "cannot be read as an array"),
    "empty.pt": (lambda p: p.write_bytes(b""), "cannot be read as an array"),
    "empty.safetensors": (lambda p: p.write_bytes(b""), "cannot be read as an array"),
    "text.pt": (lambda p: p.write_text("hello"), "cannot be read as an array"),
    "text.safetensors": (lambda p: p.write_text("hello, this is not it"), "cannot be read as an array"),
    "truncated.npy": (truncated, "cannot be read as an array"),
    "overwritten.npz": (overwritten, "cannot be read as an array"),
    "words.npy": (lambda p: np.save(p, np.array([["a", "b"]])), "of type <U1, not of real numbers"),
    "complex.npy": (lambda p: np.save(p, ARRAY * 1j), "not of real numbers"),
    "vector.npy": (lambda p: np.save(p, ARRAY[0]), r"of shape \(3,\), not 2-dimensional"),
    "no rows.npy": (lambda p: np.save(p, ARRAY[:0]), r"of shape \(0, 3\)"),
    "nan.npy": (lambda p: np.save(p, with_value(np.nan)), "NaN or infinity, first in row 2"),
    "infinity.npy": (lambda p: np.save(p, with_value(-np.inf)), "NaN or infinity, first in row 2"),
    "beyond float32.npy": (lambda p: np.save(p, with_value(1e300)), "NaN or infinity, first in row 2"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_is_refused_by_name_and_never_unpickled(name, tmp_path):
    make, words = MALFORMED[name]
    make(tmp_path / name)
    with pytest.raises(DataError, match=words) as refusal:
        read_array(tmp_path / name)
    assert str(tmp_path / name) in refusal.value.what
    assert "trust" not in str(refusal.value)  # torch's advice to unpickle regardless
    assert executed == []


def test_an_archive_gives_the_arrays_asked_for(tmp_path):
    np.savez(tmp_path / "a.npz", one=ARRAY, two=np.array(["x"]), three=np.array([Trap()], object))
    found = read_archive(tmp_path / "a.npz", ("one", "two"))
    assert list(found) == ["one", "two"]
    np.testing.assert_array_equal(found["one"], ARRAY)


ARCHIVES = {
    "missing": (lambda p: None, "does not exist"),
    "objects": (lambda p: np.savez(p, one=np.array([Trap()], object)), "is not a readable .npz archive"),
    "without the array": (lambda p: np.savez(p, two=ARRAY), r"has no array \['one'\]; it has \['two'\]"),
    "overwritten": (overwritten, r"has no array \['one'\]|is not a readable .npz archive"),
    "text": (lambda p: p.write_text("hello"), "is not a readable .npz archive"),
    "a single array": (lambda p: p.write_bytes(npy()), "holds a single array, not an archive"),
}


def npy() -> bytes:
    from io import BytesIO

    np.save(file := BytesIO(), ARRAY)
    return file.getvalue()


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_malformed_archive_is_refused(name, tmp_path):
    make, words = ARCHIVES[name]
    make(tmp_path / "a.npz")
    with pytest.raises(DataError, match=words):
        read_archive(tmp_path / "a.npz", ("one",))
    assert executed == []


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).touch()


def test_files_belong_to_the_video_they_are_named_by_or_end_with(tmp_path):
    touch(tmp_path, "abc.npy", "113766_d_e.npy", "task_f.pt", "g.npz", "h.safetensors", "i.txt", "unknown.npy")
    found = index_arrays(tmp_path, ["abc", "d_e", "f", "g", "h", "i", "j"])
    names = {video: path.name for video, path in found.items()}
    assert names == {"abc": "abc.npy", "d_e": "113766_d_e.npy", "f": "task_f.pt", "g": "g.npz", "h": "h.safetensors"}


def test_the_longest_id_wins_where_ids_contain_underscores(tmp_path):
    touch(tmp_path, "5_a_b.npy", "5__c.npy", "b.npy")
    found = index_arrays(tmp_path, ["a_b", "b", "_c", "c"])
    assert {video: path.name for video, path in found.items()} == {
        "a_b": "5_a_b.npy",
        "b": "b.npy",
        "_c": "5__c.npy",  # YouTube ids may begin with an underscore
    }


def test_a_file_named_exactly_like_the_video_wins_over_one_with_a_prefix(tmp_path):
    touch(tmp_path, "1_a.npy", "a.npy", "zz_a.npy")
    assert index_arrays(tmp_path, ["a"])["a"].name == "a.npy"


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist"):
        index_arrays(tmp_path / "nowhere", ["a"])
