-- Every raw exposure is in the marts: an unknown currency or counterparty would drop out of the joins silently.
select
    (select count(*) from {{ source('raw', 'exposures') }}) as delivered,
    (select count(*) from {{ ref('stg_exposures') }}) as staged,
    (select sum(amount_cents) from {{ ref('stg_exposures') }}) as staged_cents,
    (select sum(exposure_cents) from {{ ref('counterparty_exposure') }}) as reported_cents
where delivered <> staged or staged_cents is distinct from reported_cents
