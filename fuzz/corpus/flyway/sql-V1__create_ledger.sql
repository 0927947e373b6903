sql
-- The ledger of payments, in double entry: an entry is what happened, its lines are who paid and who received.
-- Amounts are minor units (cents), negative for a debit, positive for a credit, as in src/ledger.ts.
CREATE SCHEMA ledger;

CREATE TYPE ledger.entry_kind AS ENUM ('payment', 'refund', 'fee', 'correction');

CREATE DOMAIN ledger.account_id AS text
  CONSTRAINT account_id_is_plain CHECK (VALUE ~ '^[a-z0-9-]{3,40}$');

CREATE DOMAIN ledger.minor_units AS bigint
  CONSTRAINT minor_units_move_money CHECK (VALUE <> 0)
  CONSTRAINT minor_units_have_18_digits CHECK (abs(VALUE) < 1000000000000000000);

-- ISO 4217, as far as the service serves it.
CREATE TABLE ledger.currency (
  code char(3) PRIMARY KEY CHECK (code ~ '^[A-Z]{3}$'),
  digits smallint NOT NULL CHECK (digits BETWEEN 0 AND 4)
);

INSERT INTO ledger.currency (code, digits)
VALUES ('AUD', 2), ('CHF', 2), ('EUR', 2), ('GBP', 2), ('JPY', 0), ('NZD', 2), ('USD', 2);

CREATE TABLE ledger.account (
  account ledger.account_id PRIMARY KEY,
  -- SEPA calls the one who is paid so; what the customer entered, in any script.
  "Begünstigter" text NOT NULL DEFAULT '— unbekannt; "n/a" —' CHECK ("Begünstigter" !~ '[\n\r]'),
  opened_on date NOT NULL DEFAULT CURRENT_DATE,
  closed_on date,
  CONSTRAINT "Konto: geschlossen nach eröffnet" CHECK (closed_on >= opened_on)
);

CREATE TABLE ledger.entry (
  entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  payment_id text NOT NULL CHECK (payment_id ~ '^pay_[0-9a-f]{32}$'),
  kind ledger.entry_kind NOT NULL DEFAULT 'payment',
  booked_on date NOT NULL DEFAULT CURRENT_DATE,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (entry_id, booked_on)
);

-- By month: closing a month is detaching its partition.
CREATE TABLE ledger.line (
  entry_id bigint NOT NULL,
  line_no smallint NOT NULL CHECK (line_no > 0),
  booked_on date NOT NULL,
  account ledger.account_id NOT NULL REFERENCES ledger.account,
  currency char(3) NOT NULL REFERENCES ledger.currency,
  minor_units ledger.minor_units NOT NULL,
  side text NOT NULL GENERATED ALWAYS AS (CASE WHEN minor_units < 0 THEN 'debit' ELSE 'credit' END) STORED,
  PRIMARY KEY (booked_on, entry_id, line_no),
  FOREIGN KEY (entry_id, booked_on) REFERENCES ledger.entry (entry_id, booked_on)
) PARTITION BY RANGE (booked_on);

CREATE TABLE ledger.line_2026_05 PARTITION OF ledger.line FOR VALUES FROM ('2026-05-01') TO ('2026-06-01');
CREATE TABLE ledger.line_2026_06 PARTITION OF ledger.line FOR VALUES FROM ('2026-06-01') TO ('2026-07-01');
CREATE TABLE ledger.line_2026_07 PARTITION OF ledger.line FOR VALUES FROM ('2026-07-01') TO ('2026-08-01');
-- What no month has been made for yet.
CREATE TABLE ledger.line_other PARTITION OF ledger.line DEFAULT;
