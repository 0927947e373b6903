-- The standardised approach: 8 % of the risk-weighted exposure.
select
    exposure.counterparty_id,
    exposure.rating,
    exposure.exposure_cents,
    cast(round(exposure.exposure_cents * weights.risk_weight_percent / 100.0) as bigint) as risk_weighted_cents,
    cast(ceil(exposure.exposure_cents * weights.risk_weight_percent * 0.08 / 100.0) as bigint) as capital_cents
from {{ ref('counterparty_exposure') }} as exposure
inner join {{ ref('risk_weights') }} as weights using (rating)
