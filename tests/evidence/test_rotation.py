"""What the files of one log are called alike, whatever rotation added to their names."""

from __future__ import annotations

import pytest

from vestige.evidence.rotation import family


@pytest.mark.parametrize(
    ("name", "log"),
    [
        ("app.log", "app.log"),
        ("app.log.1", "app.log"),
        ("app.log.2.gz", "app.log"),
        ("app-20240506.log", "app.log"),
        ("app-20240506.log.1", "app.log"),
        ("app.log-20240506-1200.3.zst", "app.log"),
        ("app.log.old", "app.log"),
        ("app.1.log", "app.log"),
        ("10.0.0.12", "10.0.0.12"),
        ("10.0.0.12.1", "10.0.0.12"),
        ("10.0.0.12.log", "10.0.0.12.log"),
        ("10.0.0.12.log.1.gz", "10.0.0.12.log"),
        ("10.0.0.12-20240506.log", "10.0.0.12.log"),
        ("10.0.0.12.log-20240506", "10.0.0.12.log"),
        ("auth-10.0.0.12.log.1", "auth-10.0.0.12.log"),
        ("auth.10.0.0.12.log", "auth.10.0.0.12.log"),
        ("host-7.log", "host-7.log"),
        (".1", ".1"),
    ],
)
def test_a_log_is_called_without_what_rotation_added_and_an_address_is_kept(name: str, log: str) -> None:
    for folder in ("", "remote/", "10.0.0.1/2024.1/"):
        assert family(folder + name) == folder + log


@pytest.mark.parametrize("rest", ["1" * 230, "-12" * 75, ".1" * 110])
def test_a_name_of_digits_alone_does_not_take_for_ever(rest: str) -> None:
    # As an expression that can part the digits in more than one way would.
    assert family(f"app-20240506{rest}x") == f"app-20240506{rest}x"
