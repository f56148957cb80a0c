#!/usr/bin/env bash
# Packs what a machine with a GPU, but without a Rust toolchain and without a network, needs to check and to measure
# reptile: the release program, the device tests, Vulkan's loader, Omniglot and the peers' scripts where there are any,
# and run.sh, which does it (docs/devices.md).
#
#   scripts/gpu_kit.sh DIR [MODULE…]  DIR is made anew, but for its out/; MODULEs of the device tests that are run there are every_kernel,
#                                     kernels_layers, inner_loops and trainer by default
#
#   REPTILE_DATA    folder of data sets: Omniglot's zips are packed (15 MB), nothing else
#   REPTILE_PEERS   folder of the peers' scripts (../shared/peers by default)
#   KIT_TESTS       no: leave the tests out
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
kit=${1:?usage: scripts/gpu_kit.sh DIR [MODULE...]}
shift
modules=("$@")
[ ${#modules[@]} -gt 0 ] || modules=(every_kernel kernels_layers inner_loops trainer)
if [ -e "$kit" ] && [ ! -e "$kit/run.sh" ]; then
    echo "gpu_kit: $kit is there and no kit; give another folder" >&2
    exit 1
fi
# What was measured there (out/) stays.
rm -rf "$kit"/{bin,peers,loader,data}
mkdir -p "$kit"/{bin,peers,loader,data/omniglot}
cargo build --release --quiet
strip -o "$kit/bin/reptile" "${CARGO_TARGET_DIR:-target}/release/reptile"
if [ "${KIT_TESTS:-yes}" != no ]; then
    built=$(cargo test --no-run --test device --message-format=json 2>/dev/null |
        grep -o '"executable":"[^"]*"' | tail -1 | cut -d'"' -f4)
    strip -o "$kit/bin/test-device" "${built:?the device tests were not built}"
    printf '%s\n' "${modules[@]}" >"$kit/bin/modules"
fi
cp scripts/gpu_kit/run.sh "$kit/"
peers=${REPTILE_PEERS:-../shared/peers}
cp "$peers"/{bench_jax,bench_torch,peer_common}.py "$kit/peers/" 2>/dev/null ||
    echo "gpu_kit: no peers in $peers (REPTILE_PEERS); they are left out" >&2
cp "${REPTILE_DATA:-/nowhere}"/omniglot/images_*.zip "$kit/data/omniglot/" 2>/dev/null ||
    echo "gpu_kit: no Omniglot zips below REPTILE_DATA; the paper's cell is left out" >&2
# The loader alone: drivers are the machine's own.
(cd "$kit/loader" && apt-get download -q libvulkan1 libegl1 libglvnd0 libopengl0 libgl1 libglx0 libgles2 >/dev/null 2>&1) ||
    echo "gpu_kit: Vulkan's loader could not be downloaded (apt-get update?); the machine must have one" >&2
du -sh "$kit"
