#!/bin/sh
# Installs the servers that clusters are measured beside (docs/peers.md), on Debian and what is made of it. The nginx
# that the package starts is stopped: the benchmark starts its own, and this one would only take time.
set -eu

sudo=
[ "$(id -u)" -eq 0 ] || sudo=sudo
$sudo apt-get update -q
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends puma nginx-light gunicorn nodejs </dev/null
$sudo service nginx stop >/dev/null 2>&1 || true
