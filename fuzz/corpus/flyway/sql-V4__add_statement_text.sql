sql
-- The text on a customer's statement. Old entries get a text of their own, so that none is empty.
ALTER TABLE ledger.entry
  ADD COLUMN statement_text text NOT NULL DEFAULT E'-- no text; see the order''s \\ "invoice" /* n° */ $$',
  ADD CONSTRAINT statement_text_is_sepa CHECK (char_length(statement_text) <= 140 AND statement_text <> ''),
  ADD CONSTRAINT statement_text_is_one_line CHECK (statement_text NOT LIKE E'%\n%' AND statement_text <> ';\.');

CREATE SEQUENCE ledger.statement_number AS integer START 1000 MINVALUE 1000 CYCLE;

CREATE TABLE ledger.statement (
  account ledger.account_id NOT NULL REFERENCES ledger.account ON DELETE RESTRICT,
  number integer NOT NULL DEFAULT nextval('ledger.statement_number'),
  period daterange NOT NULL CHECK (NOT isempty(period)),
  sent_to text[] NOT NULL DEFAULT ARRAY['e-mail', 'post; "c/o"']::text[],
  PRIMARY KEY (account, number)
);

ALTER SEQUENCE ledger.statement_number OWNED BY ledger.statement.number;
