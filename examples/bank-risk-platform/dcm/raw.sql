-- What the core systems deliver into. Definitions tell what there shall be; the plan tells what has to change.
DEFINE SCHEMA raw;

DEFINE TABLE raw.counterparties (
    counterparty_id VARCHAR NOT NULL,
    legal_name VARCHAR NOT NULL,
    country VARCHAR NOT NULL,
    contact_email VARCHAR
);

DEFINE TABLE raw.exposures (
    exposure_id VARCHAR NOT NULL,
    counterparty_id VARCHAR NOT NULL,
    product VARCHAR NOT NULL,
    currency VARCHAR NOT NULL,
    amount_cents BIGINT NOT NULL,
    as_of DATE NOT NULL
);

DEFINE TABLE raw.ratings (
    counterparty_id VARCHAR NOT NULL,
    agency VARCHAR NOT NULL,
    rating VARCHAR NOT NULL,
    rated_on DATE NOT NULL
);
