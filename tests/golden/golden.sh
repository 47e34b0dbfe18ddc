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

# The shop's exceptions and one crossing have an end, which has passed: what is reviewed is the day on which they held.
at=2026-01-15T12:00:00Z
expect "the shop is valid, also strictly" "$microseg" check --strict -p policies/shop --at "$at"
expect "the shop passes its own tests" "$microseg" test -p policies/shop --at "$at"
expect "and passes them today" "$microseg" test -p policies/shop
expect "of the shop, nothing but three ends has passed today" sh -c \
	'"$0" check -p policies/shop 2>&1 | tee "$1" | grep -q "0 errors, 3 warnings" && test "$(grep -c "\[expired\]" "$1")" = 3' \
	"$microseg" "$out/ended"
if ! "$microseg" preview -p policies/shop -i tests/golden/shop.yaml --at "$at" >"$out/shop.nft"; then
	echo "not ok - preview"
	exit 1
fi
[ "${3:-}" = --update ] && cp "$out/shop.nft" "$golden"
expect "the preview is the reviewed one" diff -u "$golden" "$out/shop.nft"
expect "nft takes the preview" unshare -rn nft -c -f "$out/shop.nft"

for example in policies/examples/*.yaml; do
	grep -q "until:" "$example" &&
		expect "$example is over, and says so" sh -c '"$0" check -p "$1" 2>&1 | grep -q expired' "$microseg" "$example"
	expect "$example is valid, also strictly" "$microseg" check --strict -p "$example" --at "$at"
	expect "$example passes its own tests" "$microseg" test -p "$example" --at "$at"
	"$microseg" preview -p "$example" -i tests/golden/shop.yaml --at "$at" >"$out/example.nft"
	expect "nft takes the preview of $example" unshare -rn nft -c -f "$out/example.nft"
done
expect "explain says until when an exception grants, and what then" sh -c \
	'"$0" explain prod/payments prod/orders-db tcp/5432 -p policies/shop --at "$1" | grep -q "until: .*, then deny: no-grant"' \
	"$microseg" "$at"
exit "$failed"
