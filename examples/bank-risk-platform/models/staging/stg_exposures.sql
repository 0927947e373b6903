select
    exposures.exposure_id,
    exposures.counterparty_id,
    exposures.product,
    {{ in_reporting_currency('exposures.amount_cents', 'fx_rates.rate') }} as amount_cents,
    exposures.as_of
from {{ source('raw', 'exposures') }} as exposures
inner join {{ ref('fx_rates') }} as fx_rates on fx_rates.currency = exposures.currency
