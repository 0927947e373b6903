{% snapshot kept %}
{{ config(unique_key='id', strategy='check', check_cols=['cents'], target_schema='main') }}
select id, cents from {{ ref('mart') }}
{% endsnapshot %}
