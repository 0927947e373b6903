"""The marts that dev has now, computed by hand from data/dev."""

from risk import warehouse


def test_the_capital_of_a_foreign_unrated_and_of_a_re_rated_counterparty(marts: warehouse.Connection) -> None:
    rows = marts.execute("SELECT counterparty_id, rating, exposure_cents, capital_cents FROM marts.capital_requirement ORDER BY counterparty_id").fetchall()
    assert rows == [
        ("CP-001", "A", 129_500_050, 5_180_002),  # 50 %
        ("CP-002", "AA", 6_200_000_000, 99_200_000),  # 20 %
        ("CP-003", "BB", 411_730_001, 32_938_401),  # 100 %, from AUD, rounded up
        ("CP-004", "unrated", 169_119_998, 13_529_600),  # 100 %, from USD
    ]


def test_only_the_dairy_is_a_large_exposure(marts: warehouse.Connection) -> None:
    rows = marts.execute("SELECT counterparty_id, percent_of_own_funds, over_the_limit FROM marts.large_exposures").fetchall()
    assert [(id, float(percent), over) for id, percent, over in rows] == [("CP-002", 12.4, False)]


def test_contact_data_stays_out_of_the_marts(marts: warehouse.Connection) -> None:
    columns = marts.execute("SELECT lower(column_name) FROM information_schema.columns WHERE lower(table_schema) = 'marts'").fetchall()
    assert columns and not [column for (column,) in columns if column in {"contact_email", "legal_name"}]
