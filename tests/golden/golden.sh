#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The examples of policies/ as golden tests: they are valid and their own tests pass, each by itself and the shop as a
# whole, and the ruleset that the shop compiles to is the one that was reviewed. `golden.sh MICROSEG ROOT --update` writes
# the reviewed file anew.
set -u
microseg=$(realpath "$1") || exit 2
cd "$2" || exit 2
golden=tests/golden/shop.nft
out=$(mktemp -d) || exit 2
trap 'rm -rf "$out"' EXIT
failed=0

expect() { # NAME COMMAND...
	name=$1
	shift
	if "$@" >"$out/log" 2>&1; then
		echo "ok - $name"
	else
		echo "not ok - $name"
		cat "$out/log"
		failed=1
	fi
}

expect "the shop is valid, also strictly" "$microseg" check --strict -p policies/shop
expect "the shop passes its own tests" "$microseg" test -p policies/shop
if ! "$microseg" preview -p policies/shop -i tests/golden/shop.yaml >"$out/shop.nft"; then
	echo "not ok - preview"
	exit 1
fi
[ "${3:-}" = --update ] && cp "$out/shop.nft" "$golden"
expect "the preview is the reviewed one" diff -u "$golden" "$out/shop.nft"
expect "nft takes the preview" unshare -rn nft -c -f "$out/shop.nft"

# An example with a clock means something only before its end.
tomorrow=$(date -u -d tomorrow +%Y-%m-%dT%H:%M:%SZ)
mkdir "$out/examples"
for example in policies/examples/*.yaml; do
	if grep -q "until:" "$example"; then
		expect "$example is over, and says so" sh -c '"$0" check -p "$1" 2>&1 | grep -q expired' "$microseg" "$example"
		sed "s/until: [^,}]*/until: $tomorrow/" "$example" >"$out/examples/${example##*/}"
		example=$out/examples/${example##*/}
	fi
	expect "$example is valid, also strictly" "$microseg" check --strict -p "$example"
	expect "$example passes its own tests" "$microseg" test -p "$example"
	"$microseg" preview -p "$example" -i tests/golden/shop.yaml >"$out/example.nft"
	expect "nft takes the preview of $example" unshare -rn nft -c -f "$out/example.nft"
done
expect "explain says until when an exception grants, and what then" sh -c \
	'"$0" explain prod/shell prod/db tcp/5432 -i tests/golden/shop.yaml -p "$1" | grep -q "until: .*, then deny: no-grant"' \
	"$microseg" "$out/examples/exception.yaml"
exit "$failed"
