sql
-- Whether the ledger balances, a day and a currency at a time: what reconcile-ledger answers for the lines that it is given.
CREATE OR REPLACE VIEW ledger.reconciliation AS
  SELECT booked_on, currency, sum(minor_units) AS minor_units, sum(minor_units) = 0 AS balanced
  FROM ledger.line
  GROUP BY booked_on, currency;
