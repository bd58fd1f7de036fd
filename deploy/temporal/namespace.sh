#!/bin/sh
# Registers the namespace. Its search attributes are registered by `kontoflow migrate`.
set -eu

until temporal operator cluster health; do sleep 1; done
temporal operator namespace describe -n "$TEMPORAL_NAMESPACE" ||
	temporal operator namespace create -n "$TEMPORAL_NAMESPACE" --retention 30d
