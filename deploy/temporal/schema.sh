#!/bin/sh
# Creates Temporal's databases and brings them to the newest schema. Run again, it changes nothing.
set -eu

for database in temporal temporal_visibility; do
	tool="temporal-sql-tool --plugin postgres12 --ep $POSTGRES_SEEDS -p 5432 -u $POSTGRES_USER --db $database"
	$tool create
	$tool setup-schema -v 0.0
	$tool update-schema -d "/etc/temporal/schema/postgresql/v12/${database#temporal_}/versioned"
done
