"""Says whether an amount of money is one that can be paid: what the function `check-amount` does."""

from typing import Any


def is_payable(amount: str) -> bool:
    """Whether `amount` is a positive number with at most two decimals and without a sign."""
    whole, point, cents = amount.partition(".")
    if not whole.isdecimal() or (point and not (cents.isdecimal() and len(cents) <= 2)):
        return False
    return int(whole + cents) > 0


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """What Lambda calls."""
    amount = str(event.get("amount", ""))
    return {"amount": amount, "payable": is_payable(amount)}
