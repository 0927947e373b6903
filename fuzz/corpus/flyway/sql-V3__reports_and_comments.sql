sql
-- What people ask of the ledger.
CREATE VIEW ledger.balance AS
  SELECT account, currency, sum(minor_units) AS minor_units, count(*) AS lines
  FROM ledger.line
  GROUP BY account, currency;

CREATE VIEW ledger."Kontoauszug" WITH (security_barrier) AS
  SELECT line.account, account."Begünstigter", line.booked_on AS "gebucht am", entry.kind, line.side, abs(line.minor_units) AS minor_units, line.currency,
         entry.payment_id
  FROM ledger.line
  JOIN ledger.entry USING (entry_id, booked_on)
  JOIN ledger.account USING (account)
  ORDER BY line.account, line.booked_on, line.entry_id;

-- Refreshed at the end of each day.
CREATE MATERIALIZED VIEW ledger.turnover AS
  SELECT date_trunc('month', booked_on::timestamp)::date AS month, currency, side, sum(abs(minor_units)) AS minor_units
  FROM ledger.line
  GROUP BY 1, 2, 3;

CREATE UNIQUE INDEX turnover_month ON ledger.turnover (month, currency, side);

CREATE INDEX line_account ON ledger.line (account, booked_on DESC) INCLUDE (minor_units);
CREATE INDEX entry_payment ON ledger.entry (payment_id);
CREATE INDEX entry_corrections ON ledger.entry (booked_on) WHERE kind = 'correction';
CREATE INDEX "account_Begünstigter" ON ledger.account (lower("Begünstigter"));

COMMENT ON SCHEMA ledger IS 'double entry; append-only';
COMMENT ON TABLE ledger.line IS 'who paid and who received 💶
INSERT only: see the trigger "append_only"';
COMMENT ON COLUMN ledger.account."Begünstigter" IS '受益人 – the holder''s name as entered; never leaves unmasked (POL-017)';
COMMENT ON COLUMN ledger.line.minor_units IS E'negative: debit\npositive: credit\n\\ never 0';
COMMENT ON TYPE ledger.entry_kind IS 'order counts: it is how a statement sorts';
COMMENT ON FUNCTION ledger.archive_script(date) IS 'a script with
COPY archive.line … FROM stdin;
and its end \. in it';
COMMENT ON TRIGGER balances ON ledger.line IS 'Σ = 0 ✔';
