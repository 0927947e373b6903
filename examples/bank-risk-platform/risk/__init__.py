"""The parts of the risk platform that dbt does not do: non-dbt DDL (DCM), sample rows of dev, and the build folder."""
