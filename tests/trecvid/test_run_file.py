from __future__ import annotations

from pathlib import Path

import pytest

from avs.core.errors import AvsError
from avs.trecvid.run_file import read_run, read_run_columns


@pytest.mark.parametrize("read", [read_run, read_run_columns])
def test_a_run_that_is_not_there_is_named(read, tmp_path: Path) -> None:
    with pytest.raises(AvsError, match="no such run file") as caught:
        read(tmp_path / "x.trec")
    assert str(tmp_path / "x.trec") in str(caught.value)
