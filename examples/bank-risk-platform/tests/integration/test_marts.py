"""The marts that dev has now, computed by hand from data/dev."""

import duckdb


def test_the_capital_of_a_foreign_unrated_and_of_a_re_rated_counterparty(marts: duckdb.DuckDBPyConnection) -> None:
    rows = marts.execute("SELECT counterparty_id, rating, exposure_cents, capital_cents FROM marts.capital_requirement ORDER BY ALL").fetchall()
    assert rows == [
        ("CP-001", "A", 129_500_050, 5_180_002),  # 50 %
        ("CP-002", "AA", 6_200_000_000, 99_200_000),  # 20 %
        ("CP-003", "BB", 411_730_001, 32_938_401),  # 100 %, from AUD, rounded up
        ("CP-004", "unrated", 169_119_998, 13_529_600),  # 100 %, from USD
    ]


def test_only_the_dairy_is_a_large_exposure(marts: duckdb.DuckDBPyConnection) -> None:
    rows = marts.execute("SELECT counterparty_id, percent_of_own_funds, over_the_limit FROM marts.large_exposures").fetchall()
    assert rows == [("CP-002", 12.4, False)]


def test_contact_data_stays_out_of_the_marts(marts: duckdb.DuckDBPyConnection) -> None:
    columns = marts.execute("SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name = 'marts'").fetchall()
    assert columns and not [column for _, column in columns if column in {"contact_email", "legal_name"}]
