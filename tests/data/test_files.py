"""Files are found where authors put them, plain or gzipped, and bad ones are named with their line."""

import gzip
from pathlib import Path

import pytest

from leaplan.data.files import Files, MissingFileError, dataset_folder
from leaplan.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "niv").mkdir()
    (tmp_path / "splits").mkdir()
    return tmp_path


def test_a_file_is_found_plain_gzipped_and_beside_the_folder(folder: Path):
    (folder / "niv" / "a.json").write_text("{}")
    (folder / "niv" / "b.json.gz").write_bytes(gzip.compress(b"{}"))
    (folder / "splits" / "c.json").write_text("{}")
    for root in (folder, folder / "niv"):
        files = Files(root, ("niv",))
        names = {path.name for name in ("a.json", "b.json", "c.json") if (path := files.find(name))}
        assert names == {"a.json", "b.json.gz", "c.json"}
        assert files.folder == folder / "niv"
        assert files.find("d.json") is None


def test_the_first_of_several_names_wins(folder: Path):
    (folder / "niv" / "old.json").write_text("{}")
    (folder / "splits" / "new.json").write_text("{}")
    assert Files(folder, ("niv",)).find("new.json", "old.json") == folder / "splits" / "new.json"


def test_a_gzipped_copy_has_the_same_hash(folder: Path):
    hashes = []
    (folder / "niv" / "a.txt").write_text("same")
    for _ in range(2):
        files = Files(folder, ("niv",))
        path = files.need("a.txt", what="text")
        assert files.text(path) == "same"
        hashes.append(files.sha256)
        (folder / "niv" / "a.txt.gz").write_bytes(gzip.compress(b"same"))
        (folder / "niv" / "a.txt").unlink(missing_ok=True)
    assert hashes[0] == hashes[1]
    (folder / "niv" / "a.txt").write_text("other")
    files = Files(folder, ("niv",))
    files.text(folder / "niv" / "a.txt")
    assert files.sha256 != hashes[0]


def test_a_missing_file_is_named_with_what_it_holds(folder: Path):
    with pytest.raises(MissingFileError, match=r"niv has no a\.json or b\.json \(the split\)"):
        Files(folder, ("niv",)).need("a.json", "b.json", what="the split")


def test_a_root_that_is_not_a_folder(tmp_path: Path):
    with pytest.raises(DataError, match="nowhere is not a folder"):
        Files(tmp_path / "nowhere", ("niv",))


def test_a_folder_of_a_dataset_is_found_under_any_of_its_names(folder: Path):
    assert dataset_folder(folder, ("coin", "niv")) == folder / "niv"
    assert dataset_folder(folder, ("coin",)) == folder


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b'{"a": 1,\n "b": }', r"a\.json, line 2, column 7: not JSON"),
        ("a.json", b"[1]", r"a\.json holds a list, not an object"),
        ("a.json", b"3", r"a\.json holds int, not an object"),
        ("a.json", b'{"a": "\xff"}', r"a\.json is not UTF-8 text \(byte 7\)"),
        ("a.json.gz", gzip.compress(b"{}" * 99, mtime=0)[:-9], r"a\.json\.gz cannot be read"),
        ("a.json.gz", b"{}", r"a\.json\.gz cannot be read"),
    ],
)
def test_a_bad_document_is_named_with_its_place(folder: Path, name: str, content: bytes, message: str):
    path = folder / "niv" / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        Files(folder, ("niv",)).json(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,c\n1,2\n", r"t\.csv, line 1: no column 'b'; header: a,c"),
        ("", r"t\.csv, line 1: no column 'a', 'b'"),
        ("a,b\n1,2\n\n1,2,3\n", r"t\.csv, line 4: 3 columns, expected 2"),
        ("a,b\n1\n", r"t\.csv, line 2: 1 columns, expected 2"),
    ],
)
def test_a_bad_table_is_named_with_its_line(folder: Path, content: str, message: str):
    path = folder / "niv" / "t.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        list(Files(folder, ("niv",)).table(path, ("a", "b")))


def test_columns_are_picked_by_name_whatever_their_order_and_line_ends(folder: Path):
    path = folder / "niv" / "t.csv"
    path.write_bytes(b'\xef\xbb\xbfb,x,a\r\n1,"u,v",2\r\n')
    files = Files(folder, ("niv",))
    assert list(files.table(path, ("a", "b"))) == [(2, ("2", "1"))]
    assert list(files.table(path, ("x",))) == [(2, ("u,v",))]
