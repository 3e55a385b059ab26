"""What is to be written is asked for before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from vestige.errors import OutputError
from vestige.storage import refuse_files


def test_a_file_is_replaced_on_demand_and_a_directory_never(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    refuse_files(None, tmp_path / "absent", overwrite=False)
    refuse_files(tmp_path / "file", overwrite=True)
    with pytest.raises(OutputError, match=r"(?s)file: already exists.*elsewhere, or add --overwrite"):
        refuse_files(tmp_path / "absent", tmp_path / "file", overwrite=False, remedy="elsewhere")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="folder: is a directory"):
            refuse_files(tmp_path / "folder", overwrite=overwrite)
