#!/usr/bin/env bash
# scripts/web.sh: builds the library for pages, and a page, into web/dist; `scripts/web.sh test` then tries both in Chromium;
# `scripts/web.sh tools` installs what they need and nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
# Bytes that the page's module may take, gzipped.
most=400000

case "${1:-}" in
'' | tools | test) ;;
*) echo "usage: scripts/web.sh [tools | test [WORD]]" >&2; exit 2 ;;
esac
say() { echo "web: $*"; }
fail() { echo "web: error: $*" >&2; exit 1; }

rustc=wasm32-unknown-unknown
if [ ! -d "$(rustc --print target-libdir --target $rustc)" ]; then
    say "installing the target $rustc (rustup)"
    rustup target add $rustc || fail "no $rustc; install it with: rustup target add $rustc"
fi
command -v npm >/dev/null || fail "npm is missing; install Node.js 20 or newer"
if [ -n "${1:-}" ]; then
    chromium=${CHROMIUM:-/usr/bin/chromium}
    [ -x "$chromium" ] || fail "$chromium is missing; install chromium, or say in CHROMIUM where it is"
fi
(cd web && npm install --no-fund --no-audit --silent)

# The bindings' tool has to be of the library's own version.
version=$(cargo metadata --format-version 1 --filter-platform $rustc |
    grep -o '"name":"wasm-bindgen","version":"[^"]*"' | head -1 | cut -d'"' -f8)
bindgen=$(command -v wasm-bindgen || true)
if [ -z "$bindgen" ] || [ "$("$bindgen" --version)" != "wasm-bindgen $version" ]; then
    bindgen=$target/tools/bin/wasm-bindgen
    if [ ! -x "$bindgen" ] || [ "$("$bindgen" --version)" != "wasm-bindgen $version" ]; then
        say "building wasm-bindgen-cli $version"
        cargo install --quiet --debug wasm-bindgen-cli --version "$version" --root "$target/tools"
    fi
fi
[ "${1:-}" != tools ] || exit 0

if cargo clippy --version >/dev/null 2>&1; then
    cargo clippy --quiet --no-deps -p reptile-web --target $rustc --profile web -- -D warnings
fi
# Messages of panics name files without the folders of this machine.
flags=${RUSTFLAGS:-}
for folder in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
    flags="$flags --remap-path-prefix=$folder/="
done
RUSTFLAGS=$flags cargo build --quiet -p reptile-web --target $rustc --profile web
rm -rf web/dist
"$bindgen" --target web --out-dir web/dist "$target/$rustc/web/reptile_web.wasm"
web/node_modules/.bin/wasm-opt -Oz -o web/dist/small.wasm web/dist/reptile_web_bg.wasm
mv web/dist/small.wasm web/dist/reptile_web_bg.wasm
# What reads and writes configurations.
mkdir web/dist/smol-toml
cp web/node_modules/smol-toml/dist/*.js web/node_modules/smol-toml/LICENSE web/dist/smol-toml/
cp web/page/*.html web/page/*.css web/page/*.js web/page/*.safetensors web/page/*.webp web/dist/
size=$(gzip -9 -c web/dist/reptile_web_bg.wasm | wc -c)
say "web/dist/reptile_web_bg.wasm has $size bytes, gzipped"
[ "$size" -le $most ] || fail "more than $most"

if [ "${1:-}" = test ]; then
    cargo build --quiet
    node web/test/test.mjs "$target/debug/reptile" "${2:-}"
fi
