"""Archives that were sent: what comes out, what is refused, and that a refusal leaves nothing."""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.errors import GatewayError, InvalidInput, TooLarge
from gateway.repository.archives import Limits, Unpacked, unpack

LIMITS = Limits(8, 1 << 20)
PLAIN = {"model.onnx": b"weights", "more/part.0/data.bin": bytes(range(256))}
KINDS = ["tar", "tar.gz", "zip"]


def packed(kind: str, files: dict[str, bytes]) -> bytes:
    return packed_pairs(kind, list(files.items()))


def packed_pairs(kind: str, files: list[tuple[str, bytes]]) -> bytes:
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files:
                archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    else:
        with tarfile.open(fileobj=out, mode="w:gz" if kind == "tar.gz" else "w:") as tar:
            for name, content in files:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def tar_of(change: Callable[[tarfile.TarInfo], None], format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=format) as tar:
        entry = tarfile.TarInfo("model.onnx")
        change(entry)
        tar.addfile(entry)
    return out.getvalue()


def unpacked(data: bytes, root: Path, limits: Limits = LIMITS) -> tuple[Unpacked, ...]:
    (root / "archive").write_bytes(data)
    return unpack(root / "archive", root / "out", limits)


def refused(data: bytes, root: Path, limits: Limits = LIMITS) -> GatewayError:
    with pytest.raises((InvalidInput, TooLarge)) as error:
        unpacked(data, root, limits)
    assert sorted(path.name for path in root.iterdir()) == ["archive"]
    assert len(error.value.text) < 300
    assert str(root) not in error.value.text
    return error.value


@pytest.mark.parametrize("kind", KINDS)
def test_plain_files_come_out_with_their_digests(kind: str, tmp_path: Path) -> None:
    found = unpacked(packed(kind, PLAIN), tmp_path)
    assert found == tuple(
        Unpacked(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in PLAIN.items()
    )
    for name, content in PLAIN.items():
        place = tmp_path / "out" / name
        assert place.read_bytes() == content
        assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_a_folder_packed_by_tar_itself_comes_out(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "weights").mkdir(parents=True)
    (source / "weights" / "a.bin").write_bytes(b"a")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        tar.add(source, "./")
    assert [one.name for one in unpacked(out.getvalue(), tmp_path)] == ["weights/a.bin"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    [
        *(
            "../x",
            "/etc/x",
            "a/../../x",
            "a/./x",
            "a//x",
            ".hidden",
            "a\\x",
            "C:/x",
            "x y",
            "x\n",
            "é",
            "a/b/c/d/e",
        ),
        *("A" * 129, "x\x1b[0m", "\udcff".encode("utf-8", "surrogateescape").decode("latin-1")),
    ],
)
def test_names_that_lead_elsewhere_are_refused(kind: str, name: str, tmp_path: Path) -> None:
    assert "part" in refused(packed(kind, {name: b"x"}), tmp_path).text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "names", [("a", "a"), ("a", "A"), ("a", "a/b"), ("a/b", "a"), ("x/A", "X/a")], ids="|".join
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_files_with_the_same_place_are_refused(kind: str, names: tuple[str, str], tmp_path: Path) -> None:
    error = refused(packed_pairs(kind, [(name, b"x") for name in names]), tmp_path)
    assert "same place" in error.text


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE],
)
def test_links_and_devices_in_a_tar_are_refused(kind: bytes, tmp_path: Path) -> None:
    def change(entry: tarfile.TarInfo) -> None:
        entry.type, entry.linkname = kind, "model.onnx"

    assert "is a link" in refused(tar_of(change), tmp_path).text


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_refused(kind: int, tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        entry = zipfile.ZipInfo("model.onnx")
        entry.external_attr = (kind | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    assert "is a link" in refused(out.getvalue(), tmp_path).text


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(method: int, tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("model.onnx", b"x")
    assert "deflated" in refused(out.getvalue(), tmp_path).text


def test_sparse_files_are_refused(tmp_path: Path) -> None:
    def change(entry: tarfile.TarInfo) -> None:
        entry.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": "1000000"}

    assert "sparse" in refused(tar_of(change), tmp_path).text


@pytest.mark.parametrize("kind", KINDS)
def test_code_is_taken_only_where_it_is_trusted(kind: str, tmp_path: Path) -> None:
    data = packed(kind, {"model.py": b"print()"})
    assert "code" in refused(data, tmp_path).text
    assert unpacked(data, tmp_path, LIMITS._replace(allows_code=True))[0].name == "model.py"


@pytest.mark.parametrize("kind", KINDS)
def test_as_much_as_is_allowed_comes_out_and_no_byte_or_file_more(kind: str, tmp_path: Path) -> None:
    data = packed(kind, {"a": b"x" * 600, "b": b"y" * 400})
    assert len(unpacked(data, tmp_path, Limits(2, 1000))) == 2
    for limits in (Limits(2, 999), Limits(1, 1000)):
        root = tmp_path / str(limits)
        root.mkdir()
        assert isinstance(refused(data, root, limits), TooLarge)


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_bombs_are_refused_by_their_ratio(kind: str, tmp_path: Path) -> None:
    bomb = packed(kind, {"model.onnx": bytes(8 << 20)})
    assert isinstance(refused(bomb, tmp_path, Limits(8, 1 << 30)), TooLarge)


def test_a_tar_of_nothing_but_folders_is_bounded(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:") as tar:
        for number in range(100):
            entry = tarfile.TarInfo(f"f{number}")
            entry.type = tarfile.DIRTYPE
            tar.addfile(entry)
    assert isinstance(refused(out.getvalue(), tmp_path), TooLarge)


def test_a_header_that_claims_gigabytes_is_not_read(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("././@LongLink")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 4 << 30
    head = entry.tobuf(tarfile.GNU_FORMAT)
    data = gzip.compress(head + bytes(16 << 20))
    assert "header" in refused(data, tmp_path, Limits(8, 8 << 30)).text


def test_a_header_with_a_negative_size_does_not_lead_back_for_ever(tmp_path: Path) -> None:
    def change(entry: tarfile.TarInfo) -> None:
        entry.size = -2048

    data = tar_of(change, tarfile.GNU_FORMAT)
    refused(data + data, tmp_path)


def test_extended_headers_without_end_are_refused(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("x")
    entry.type = tarfile.XHDTYPE
    refused(entry.tobuf(tarfile.USTAR_FORMAT) * 5000, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_cut_off_anywhere_is_refused(kind: str, tmp_path: Path) -> None:
    data = packed(kind, PLAIN)
    # A tar ends with zeros, of which one block is enough.
    whole = len(data.rstrip(b"\0")) + 511 if kind == "tar" else len(data) - 1
    for size in {0, 1, 100, 511, 512, 1024, 1536, 2048, whole // 2, whole} & set(range(len(data))):
        root = tmp_path / str(size)
        root.mkdir()
        refused(data[:size], root)


def test_a_tar_damaged_behind_its_first_file_is_refused(tmp_path: Path) -> None:
    data = bytearray(packed("tar", PLAIN))
    data[1024 + 10] ^= 1  # the second file's header
    assert "damaged" in refused(bytes(data), tmp_path).text


@pytest.mark.parametrize("data", [b"", b"PK\x05\x06" + bytes(18), b"\x7fELF" + bytes(5000), bytes(10240)])
def test_what_is_no_archive_or_has_no_file_is_refused(data: bytes, tmp_path: Path) -> None:
    refused(data, tmp_path)


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(FileExistsError):
        unpacked(packed("zip", PLAIN), tmp_path)
    assert (tmp_path / "out" / "mine").exists()


@given(st.sampled_from(KINDS), st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=8))
def test_whatever_is_damaged_comes_out_inside_or_not_at_all(kind: str, damage: list[tuple[int, int]]) -> None:
    data = bytearray(packed(kind, PLAIN))
    for place, value in damage:
        data[place % len(data)] = value
    with TemporaryDirectory() as folder:
        root = Path(folder)
        try:
            found = unpacked(bytes(data), root)
        except GatewayError:
            assert sorted(path.name for path in root.iterdir()) == ["archive"]
            return
        files = [path for path in (root / "out").rglob("*") if not path.is_dir()]
        assert {str(path.relative_to(root / "out")) for path in files} == {one.name for one in found}
        assert all(path.is_file() and not path.is_symlink() for path in files)


@given(st.binary(max_size=2000), st.sampled_from([b"", b"PK\x03\x04", b"\x1f\x8b\x08\x00"]))
def test_noise_is_refused_with_a_reason(noise: bytes, magic: bytes) -> None:
    with TemporaryDirectory() as folder:
        refused(magic + noise, Path(folder))
