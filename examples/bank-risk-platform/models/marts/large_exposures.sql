select
    exposure.counterparty_id,
    exposure.exposure_cents,
    round(100.0 * exposure.exposure_cents / {{ var('tier_1_capital_cents') }}, 2) as percent_of_own_funds,
    exposure.exposure_cents > 0.25 * {{ var('tier_1_capital_cents') }} as over_the_limit
from {{ ref('counterparty_exposure') }} as exposure
where exposure.exposure_cents >= 0.1 * {{ var('tier_1_capital_cents') }}
