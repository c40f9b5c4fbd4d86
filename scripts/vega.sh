#!/usr/bin/env bash
# Fetches the libraries that draw the pictures of bench/report anew, with the licences of all that is bundled in them.
# Needs npm. To take newer versions, change the numbers here.
set -euo pipefail
to=$(cd "$(dirname "$0")/.." && pwd)/bench/report/assets
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm install --silent --ignore-scripts --no-audit --no-fund --no-package-lock vega@6.4.0 vega-lite@6.5.0 vega-embed@7.3.0

cp node_modules/{vega/build/vega,vega-lite/build/vega-lite,vega-embed/build/vega-embed}.min.js "$to"

# The same text under several packages is written once, below the names of them all.
declare -A names texts
while read -r file; do
	sum=$(md5sum <"$file") name=${file#node_modules/}
	names[$sum]+=${name%/*}$'\n'
	texts[$sum]=$file
done < <(find node_modules -iname 'LICENSE*' -type f | LC_ALL=C sort)
for sum in "${!names[@]}"; do
	printf '%s\n%s\n' "${names[$sum]}" "$(cat "${texts[$sum]}")"
	echo $'\n----------------------------------------\n'
done >"$to/LICENSES.txt"
