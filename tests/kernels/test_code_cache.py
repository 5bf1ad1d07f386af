"""Machine code from disk is run, so it is only read where nobody but this user can have written it."""

import os
import stat
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from retrievers.kernels import code_cache

KEY, OTHER, CODE = "a" * 64, "b" * 64, b"machine code"
NOBODY = 65534

posix = pytest.mark.skipif(os.name != "posix", reason="this system has neither modes nor owners of this kind")
root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file to another user"
)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Where code is kept; the directory does not exist yet."""
    monkeypatch.setenv(code_cache.VARIABLE, str(tmp_path / "code"))
    return tmp_path / "code"


@pytest.fixture
def kept(place):
    """A file of code that this user wrote, and that is read."""
    code_cache.write(KEY, CODE)
    assert code_cache.read(KEY) == CODE
    return place / f"{KEY}.o"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def as_nobody():
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def test_code_that_was_never_kept_is_not_found(place):
    assert code_cache.read(KEY) is None
    assert not place.exists()


def test_code_of_one_key_is_not_taken_for_that_of_another(kept):
    kept.rename(kept.with_name(f"{OTHER}.o"))
    assert code_cache.read(OTHER) is None


def test_later_code_takes_the_place_of_earlier_and_leaves_nothing_else(kept):
    code_cache.write(KEY, b"newer")
    assert code_cache.read(KEY) == b"newer"
    assert [kept] == list(kept.parent.iterdir())


@posix
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_what_is_created_is_for_this_user_alone_whatever_the_umask(tmp_path, monkeypatch, umask):
    place = tmp_path / "new" / "parents" / "code"
    monkeypatch.setenv(code_cache.VARIABLE, str(place))
    before = os.umask(umask)
    try:
        code_cache.write(KEY, CODE)
    finally:
        os.umask(before)
    assert [mode(folder) for folder in (place, *place.parents[:2])] == [0o700] * 3
    assert [mode(file) for file in place.iterdir()] == [0o600]
    assert code_cache.read(KEY) == CODE


@posix
@pytest.mark.parametrize("writable", [0o770, 0o702, 0o777, 0o1777])
def test_a_directory_that_others_may_write_is_neither_read_nor_written(kept, writable):
    kept.parent.chmod(writable)
    assert code_cache.read(KEY) is None
    code_cache.write(OTHER, CODE)
    assert [kept] == list(kept.parent.iterdir())


@posix
@pytest.mark.parametrize("writable", [0o620, 0o602])
def test_a_file_that_others_may_write_is_not_read_but_replaced(kept, writable):
    kept.chmod(writable)
    assert code_cache.read(KEY) is None
    code_cache.write(KEY, CODE)
    assert code_cache.read(KEY) == CODE
    assert mode(kept) == 0o600


@posix
def test_a_link_is_not_followed_but_replaced(kept, tmp_path):
    elsewhere = tmp_path / "elsewhere.o"
    kept.rename(elsewhere)
    kept.symlink_to(elsewhere)
    assert code_cache.read(KEY) is None
    code_cache.write(KEY, b"newer")
    assert not kept.is_symlink()
    assert code_cache.read(KEY) == b"newer"
    assert elsewhere.read_bytes().endswith(CODE)


@posix
def test_a_link_in_the_place_of_the_directory_is_not_followed(kept, tmp_path):
    elsewhere = kept.parent.rename(tmp_path / "elsewhere")
    kept.parent.symlink_to(elsewhere)
    assert code_cache.read(KEY) is None
    code_cache.write(OTHER, CODE)
    assert [file.name for file in elsewhere.iterdir()] == [kept.name]


@posix
def test_a_pipe_in_the_place_of_a_file_holds_nobody_up(place):
    place.mkdir(mode=0o700)
    os.mkfifo(place / f"{KEY}.o")
    assert code_cache.read(KEY) is None
    code_cache.write(KEY, CODE)
    assert code_cache.read(KEY) == CODE


@posix
def test_code_that_comes_through_a_pipe_is_not_run(kept):
    content = kept.read_bytes()
    kept.unlink()
    os.mkfifo(kept, 0o600)
    writer = os.open(kept, os.O_RDWR | os.O_NONBLOCK)
    try:
        os.write(writer, content)
        assert code_cache.read(KEY) is None
    finally:
        os.close(writer)


@posix
def test_a_directory_in_the_place_of_a_file_stays(place):
    (place / f"{KEY}.o").mkdir(parents=True)
    place.chmod(0o700)
    assert code_cache.read(KEY) is None
    code_cache.write(KEY, CODE)
    assert [(file.name, file.is_dir()) for file in place.iterdir()] == [(f"{KEY}.o", True)]


@root
def test_a_directory_of_another_user_is_neither_read_nor_written(kept):
    os.chown(kept.parent, NOBODY, NOBODY)
    assert code_cache.read(KEY) is None
    code_cache.write(OTHER, CODE)
    assert [kept] == list(kept.parent.iterdir())


@root
def test_a_file_of_another_user_is_not_read(kept):
    os.chown(kept, NOBODY, NOBODY)
    assert code_cache.read(KEY) is None


@root
def test_another_user_does_not_run_the_code_of_root(monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        monkeypatch.setenv(code_cache.VARIABLE, folder)
        code_cache.write(KEY, CODE)
        place.chmod(0o755)
        (place / f"{KEY}.o").chmod(0o644)
        with as_nobody():
            assert (place / f"{KEY}.o").read_bytes().endswith(CODE)  # it could
            assert code_cache.read(KEY) is None
            code_cache.write(OTHER, CODE)
        assert code_cache.read(KEY) == CODE
        assert len(list(place.iterdir())) == 1


@root
def test_another_user_keeps_code_of_its_own(monkeypatch):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        monkeypatch.setenv(code_cache.VARIABLE, f"{folder}/code")
        with as_nobody():
            code_cache.write(KEY, CODE)
            assert code_cache.read(KEY) == CODE
        assert code_cache.read(KEY) is None  # root does not run it


def test_nothing_is_left_of_a_write_that_failed(place, monkeypatch):
    def fail(*given, **options):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", fail)
    code_cache.write(KEY, CODE)
    assert list(place.iterdir()) == []


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="XDG is for the other systems")
def test_the_users_cache_directory_is_the_default(tmp_path, monkeypatch):
    monkeypatch.delenv(code_cache.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert code_cache.directory() == tmp_path / "maxsim-retrievers"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert code_cache.directory() == tmp_path / "home" / ".cache" / "maxsim-retrievers"
