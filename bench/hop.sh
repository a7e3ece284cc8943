#!/usr/bin/env bash
# One proxy hop beside nginx, HAProxy and Envoy: CPU time per request, as ratios.
# Envoy is found by LATEEN_ENVOY, nginx and haproxy on the PATH; arguments go to bench/hop.
set -euo pipefail
cd "$(dirname "$0")/.."
exec go run ./bench/hop -lateen bin/lateen-proxy "$@"
