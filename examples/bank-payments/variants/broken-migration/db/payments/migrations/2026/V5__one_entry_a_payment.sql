-- Built beside the traffic, so outside of a transaction: Flyway needs `-postgresql.transactional.lock=false` for it.
CREATE INDEX CONCURRENTLY entry_recorded ON ledger.entry (recorded_at);

-- A payment is booked once. True in an empty database; a stage that has seen a refund holds two entries of one payment. What came before stays.
CREATE UNIQUE INDEX CONCURRENTLY entry_payment_once ON ledger.entry (payment_id);
