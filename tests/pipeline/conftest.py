from __future__ import annotations

import pytest
from tiny_collection import TinyCollection, tiny_collection


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> TinyCollection:
    return tiny_collection(tmp_path_factory.mktemp("collection"))
