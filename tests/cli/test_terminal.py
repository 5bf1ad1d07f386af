"""What reaches a terminal: texts and ids are data, in every output form and on every console."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import unicodedata

import pytest

from retrievers import Collection
from retrievers.cli.main import main
from retrievers.cli.terminal import say, say_json
from retrievers.display import printable
from retrievers.encoder import LateInteractionEncoder
from retrievers.testing import HashingEncoder

HOSTILE = (
    "\x1b]0;owned\x07\x1b[2J \x9b31m \x7f \u202eevil\u202c \u2066x\u2069 \r\n\u2028 \x00 \u061c \U000e0041"
)
PLAIN = "naïve café 東京 שלום عربي 👩\u200d🔬 a\u00a0b soft\u00adhyphen"


def assert_harmless(text: str) -> None:
    """No character of a control or format category but the line feed and what shapes scripts."""
    bad = [one for one in text if unicodedata.category(one)[0] == "C" and one not in "\n\u00ad\u200c\u200d"]
    assert not bad, [hex(ord(one)) for one in bad]
    assert not set(text) & {"\u2028", "\u2029"}


def test_whatever_a_terminal_would_obey_is_escaped_and_nothing_else():
    assert printable("\x1b[1m\n\u202e\x9b") == "\\x1b[1m\\n\\u202e\\x9b"
    assert printable("caf\udce9.txt") == "caf\\xe9.txt"
    assert printable(PLAIN) == PLAIN
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    assert_harmless(printable(every))


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    encoder = HashingEncoder()
    monkeypatch.setattr(LateInteractionEncoder, "from_fingerprint", lambda fingerprint, **_: encoder)
    with Collection(tmp_path / "index", encoder) as collection:
        collection.add([f"word {HOSTILE}"], ids=[HOSTILE], metadatas=[{HOSTILE: HOSTILE}])
    return tmp_path / "index"


def test_hits_are_shown_on_two_lines_whatever_they_hold(hostile, capsys):
    assert main(["search", str(hostile), "word"]) == 0
    out = capsys.readouterr().out
    assert_harmless(out)
    assert len(out.splitlines()) == 2


def test_json_is_one_object_a_line_in_printable_ascii(hostile, capsys):
    assert main(["search", str(hostile), "word", "--json"]) == 0
    out = capsys.readouterr().out
    assert out.endswith("\n")
    line = out[:-1]
    assert line.isascii()
    assert line.isprintable()
    hit = json.loads(line)
    assert (hit["id"], hit["metadata"]) == (HOSTILE, {HOSTILE: HOSTILE})


def test_info_is_one_json_object(hostile, capsys):
    assert main(["info", str(hostile), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["documents"] == 1


def test_damage_is_named_without_the_characters_of_the_id(hostile, capsys):
    [rows] = hostile.glob("tokens-*.u8")
    rows.write_bytes(rows.read_bytes()[:-1] + b"\x00")
    assert main(["verify", str(hostile)]) == 1
    out = capsys.readouterr().out
    assert "\\x1b]0;owned" in out
    assert_harmless(out)
    assert main(["verify", str(hostile), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ids"] == [HOSTILE]


def test_ids_that_would_be_deleted_are_lines_of_their_own(hostile, capsys):
    assert main(["delete", str(hostile), HOSTILE, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert_harmless(out)
    assert len(out.splitlines()) == 2


@pytest.mark.skipif(os.name == "nt", reason="no such names here")
def test_names_of_files_are_data_too(tmp_path, capsys):
    (tmp_path / "bad\x1b[2J\n.txt").write_bytes(b"\xff")
    (tmp_path / "bad.\x1b[2J").write_bytes(b"")
    assert main(["index", str(tmp_path), "--into", str(tmp_path / "index")]) == 1
    written = capsys.readouterr()
    assert_harmless(written.out + written.err)
    assert written.err == "left out bad\\x1b[2J\\n.txt: not UTF-8\n"


def test_errors_repeat_arguments_without_their_control_characters(tmp_path, capsys):
    assert main(["search", str(tmp_path / "\x1b[2J"), "word"]) == 1
    with pytest.raises(SystemExit):
        main(["\x1b[2J"])
    with pytest.raises(SystemExit):
        main(["search", "x", "y", "--filter", "\x1b[2J", "-k", "\u202e"])
    assert_harmless(capsys.readouterr().err)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_narrow_console_gets_replacements(encoding):
    code = "from retrievers.cli.terminal import say; say('\u6771\u4eac \u2026 caf\u00e9 \\x9b')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=True,
    )
    wanted = {"ascii": r"\u6771\u4eac \u2026 caf\xe9 \x9b", "cp1252": r"\u6771\u4eac … café \x9b"}
    assert done.stdout.decode(encoding).splitlines() == [wanted[encoding]]


def test_lines_stay_lines(capsys):
    say("a\nb\tc")
    assert capsys.readouterr().out == "a\nb\\tc\n"


def test_a_value_that_json_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        say_json({"score": float("nan")})
