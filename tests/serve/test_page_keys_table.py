"""The table of keys: what the server checks is what the page listens by."""

from __future__ import annotations

import pytest

from avs.core.errors import ConfigError
from avs.serve.page_keys import default_keys, require_clear_keys


def test_the_table_itself_is_clear() -> None:
    keys = default_keys()
    assert keys["yes"] == ("y",) and len(keys["system"]) == 9
    require_clear_keys({})


def test_a_key_may_be_given_to_another_action_when_its_own_gets_another() -> None:
    require_clear_keys({"yes": "n", "no": "y"})
    require_clear_keys({"move": "j"})  # which takes the arrows away


def test_clashes_and_unknown_actions_are_told_together() -> None:
    with pytest.raises(ConfigError) as caught:
        require_clear_keys({"yes": "n", "baskets": "k", "link": "Shift+Enter"})
    told = str(caught.value)
    assert "3 problems" in told and 'did you mean "basket"' in told
    assert 'no: its key "n" is that of yes' in told and 'link: its key "Shift+Enter" is that of player' in told
