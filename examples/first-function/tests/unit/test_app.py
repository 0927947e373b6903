import pytest

from app import handler, is_payable


@pytest.mark.parametrize("amount", ["1", "0.01", "12.5", "1000000.00"])
def test_an_amount_that_can_be_paid(amount: str) -> None:
    assert is_payable(amount)


@pytest.mark.parametrize("amount", ["", "0", "0.00", "-1", "1.234", "1.", "1,5", "ten"])
def test_an_amount_that_can_not_be_paid(amount: str) -> None:
    assert not is_payable(amount)


def test_the_answer_names_the_amount() -> None:
    assert handler({"amount": "3.20"}, None) == {"amount": "3.20", "payable": True}
