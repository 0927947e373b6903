select
    counterparties.counterparty_id,
    counterparties.country,
    coalesce(ratings.rating, 'unrated') as rating,
    coalesce(sum(exposures.amount_cents), 0) as exposure_cents
from {{ ref('stg_counterparties') }} as counterparties
left join {{ ref('stg_ratings') }} as ratings using (counterparty_id)
left join {{ ref('stg_exposures') }} as exposures using (counterparty_id)
group by all
