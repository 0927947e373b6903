"""POL-001: nobody is paid nothing."""

import pytest

from app import is_payable


@pytest.mark.parametrize("policy", ["POL-001"])  # the policy's name has to be in the test's
def test_zero_is_refused(policy: str) -> None:
    assert not is_payable("0.00")
