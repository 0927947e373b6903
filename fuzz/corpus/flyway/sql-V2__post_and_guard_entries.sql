sql
-- How entries come in, and what no entry may do. Statements inside of a body begin in the first column, where a tool that reads this
-- file line by line takes them for statements of the file.

-- Posts one entry with its lines, as post-ledger-entry makes them: [{"account": "acc-1", "minor_units": "-1234", "currency": "EUR"}, …].
-- An account that is paid for the first time is opened. Answers the entry's id.
CREATE FUNCTION ledger.post(payment_id text, kind ledger.entry_kind, booked_on date, lines jsonb) RETURNS bigint
LANGUAGE plpgsql
SET search_path = ''
AS $post$
DECLARE
  new_entry bigint;
BEGIN
INSERT INTO ledger.account (account)
  SELECT DISTINCT line ->> 'account' FROM jsonb_array_elements(lines) AS line
  ON CONFLICT DO NOTHING;
INSERT INTO ledger.entry (payment_id, kind, booked_on)
  VALUES (post.payment_id, post.kind, post.booked_on)
  RETURNING entry_id INTO new_entry;
INSERT INTO ledger.line (entry_id, line_no, booked_on, account, currency, minor_units)
  SELECT new_entry, line_no, post.booked_on, line ->> 'account', line ->> 'currency', (line ->> 'minor_units')::bigint
  FROM jsonb_array_elements(lines) WITH ORDINALITY AS given (line, line_no);
  RETURN new_entry;
END
$post$;

-- A day's lines as a script for psql, which the archive loads.
CREATE FUNCTION ledger.archive_script(day date) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = ''
AS $script$
DECLARE
  head constant text := '
COPY archive.line (entry_id, line_no, booked_on, account, currency, minor_units) FROM stdin;
';
  tail constant text := '
\.
';
BEGIN
  RETURN head || coalesce((
    SELECT string_agg(concat_ws(E'\t', entry_id, line_no, booked_on, account, currency, minor_units), E'\n' ORDER BY entry_id, line_no)
    FROM ledger.line
    WHERE booked_on = day
  ), '') || tail;
END
$script$;

-- Debits and credits of an entry cancel out in every currency: looked at when the transaction commits.
CREATE FUNCTION ledger.check_balance() RETURNS trigger
LANGUAGE plpgsql
SET search_path = ''
AS $$
DECLARE
  off record;
BEGIN
  SELECT currency, sum(minor_units) AS left_over INTO off
  FROM ledger.line
  WHERE entry_id = NEW.entry_id AND booked_on = NEW.booked_on
  GROUP BY currency
  HAVING sum(minor_units) <> 0
  LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'entry % does not balance: % % are left over', NEW.entry_id, off.left_over, off.currency
      USING ERRCODE = 'check_violation', HINT = 'debits are negative; they and the credits must add up to 0';
  END IF;
  RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER balances AFTER INSERT ON ledger.line
  DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION ledger.check_balance();

-- Nothing is changed or removed; what was wrong is corrected by an entry of its own.
CREATE FUNCTION ledger.refuse_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = ''
AS $$
BEGIN
  RAISE EXCEPTION '"%" is append-only: post a correction instead of this %', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger.entry FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger.line FOR EACH ROW EXECUTE FUNCTION ledger.refuse_change();
-- A partition has its parent's triggers for rows, and none for statements.
DO $$
DECLARE
  emptied regclass;
BEGIN
  FOR emptied IN SELECT relid FROM pg_partition_tree('ledger.line') UNION ALL SELECT 'ledger.entry' LOOP
    EXECUTE format('CREATE TRIGGER never_emptied BEFORE TRUNCATE ON %s EXECUTE FUNCTION ledger.refuse_change()', emptied);
  END LOOP;
END
$$;
