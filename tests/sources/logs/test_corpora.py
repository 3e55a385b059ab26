"""Several corpora in one dataset: a listing, and who is held out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reading.raw import live
from vestige import splits
from vestige.engine import HERE
from vestige.errors import EvidenceError, UsageError
from vestige.sources.logs.corpora import AUTO, rules_for
from vestige.sources.logs.format import shipped
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.source import LogSource

HADOOP = "".join(
    f"2015-10-18 18:01:{n:02},250 {'ERROR' if n % 5 == 0 else 'INFO'} [main] a.B: step {n}\n"
    for n in range(50)
)
SPARK = "".join(
    f"17/06/10 09:15:{n:02} {'WARN' if n % 4 == 0 else 'INFO'} c.D: stage {n}\n" for n in range(50)
)
AUTH = "".join(f"Mar  8 09:17:{n:02} box su: {'denied' if n % 3 == 0 else 'opened'} {n}\n" for n in range(50))
LISTING = """
[[corpus]]
path = "h.log"
format = "hadoop"

[[corpus]]
path = "spark"
format = "spark"
name = "sparks"

[[corpus]]
path = "auth.log"
label = "words:bad.txt"
year = 2024
"""


@pytest.fixture
def listing(tmp_path: Path) -> Path:
    (tmp_path / "h.log").write_text(HADOOP)
    (tmp_path / "spark").mkdir()
    (tmp_path / "spark/app.log").write_text(SPARK)
    (tmp_path / "auth.log").write_text(AUTH)
    (tmp_path / "bad.txt").write_text("denied\n")
    path = tmp_path / "all.toml"
    path.write_text(LISTING)
    return path


def test_each_corpus_of_a_listing_is_read_in_its_own_way(listing: Path, tmp_path: Path) -> None:
    windows = LogSource().prepare(listing, tmp_path / "d", LogOptions(), engine=HERE)
    assert windows.recordings.select("id", "host", "profile").rows() == [
        ("h/h.log", "h", "hadoop"),
        ("sparks/app.log", "sparks", "spark"),
        ("auth/auth.log", "auth", "auth"),
    ]
    anomalies = [int(windows.label[windows.recording == row].sum()) for row in range(3)]
    assert anomalies == [10, 13, 17]
    assert windows.notes["formats"] == {"hadoop": 1, "rfc3164": 1, "spark": 1}
    origin = windows.notes["label_origin"]
    assert "WARN, ERROR, FATAL" in origin
    assert "spelling" in origin
    assert set(windows.table("messages")["type"]) == {"", "hadoop", "spark", "auth"}


def test_a_profile_is_held_out_whole(listing: Path, tmp_path: Path) -> None:
    windows = LogSource().prepare(listing, tmp_path / "d", LogOptions(), engine=HERE)
    split, parts = splits.make("profile", windows, hold_out=("spark",))
    assert split.unseen_profiles == ["hadoop", "spark"]  # validation's, too
    assert len(parts.test) == 50
    encoder = LogSource().fit_encoder(parts.train)
    vocabulary = encoder.inputs[0].vocabulary
    assert vocabulary
    assert not any("stage" in one for one in vocabulary)
    assert encoder.unseen(parts.test)["templates"] == 1.0


def test_live_evidence_may_be_of_any_of_the_corpora(listing: Path, tmp_path: Path) -> None:
    windows = LogSource().prepare(listing, tmp_path / "d", LogOptions(), engine=HERE)
    for name in ("h.log", "spark", "auth.log"):
        assert sum(len(one.place) for one in live([tmp_path / name], windows.schema)) == 50


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[[corpus]]", "[corpus]", "corpus"),
        ("path =", "paths =", "corpus.0.path"),
        ('name = "sparks"', 'name = "../x"', "corpus.1.name: a name has letters"),
        ('name = "sparks"', 'name = "h"', "two corpora are called 'h'"),
        ("year = 2024", "year = 1800", "corpus.2.year: expected a year"),
        ('format = "spark"', 'format = "sperk"', "unknown log format 'sperk'"),
        ("bad.txt", "worse.txt", "cannot read the list of words"),
        ("= ", "=", ""),
        ('path = "spark"', "path = 'spark", "not TOML"),
    ],
)
def test_a_mistake_in_a_listing_is_named(
    listing: Path, tmp_path: Path, old: str, new: str, says: str
) -> None:
    assert old in LISTING
    listing.write_text(LISTING.replace(old, new))
    if not says:
        LogSource().prepare(listing, tmp_path / "d", LogOptions(), engine=HERE)
        return
    with pytest.raises(UsageError) as caught:
        LogSource().prepare(listing, tmp_path / "d", LogOptions(), engine=HERE)
    assert says in str(caught.value)
    assert not (tmp_path / "d").exists()


def test_a_corpus_that_is_not_there_is_named(listing: Path, tmp_path: Path) -> None:
    (tmp_path / "h.log").unlink()
    with pytest.raises(EvidenceError, match=r"h\.log"):
        LogSource().prepare(listing, tmp_path / "d", LogOptions(), engine=HERE)


def test_auto_stands_for_shipped_formats_that_label_nothing() -> None:
    assert set(AUTO) <= set(shipped())
    assert [one.name for one in rules_for(LogOptions()).formats] == list(AUTO)
    twice = rules_for(LogOptions(format="kippo, auto,plain"))
    assert [one.name for one in twice.formats] == ["kippo", *(one for one in AUTO if one != "kippo"), "plain"]
