-- When the money is there, which is not always the day that it is booked on.
ALTER TABLE ledger.entry ADD COLUMN value_date date;

ALTER TABLE ledger.entry ADD CONSTRAINT value_date_is_near CHECK (value_date BETWEEN booked_on - 5 AND booked_on + 5);

COMMENT ON COLUMN ledger.entry.value_date IS 'Wertstellung; none: the day of booking';
