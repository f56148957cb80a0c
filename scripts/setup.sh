#!/usr/bin/env bash
# Makes this machine ready to build and run: checks cargo, and finds or installs a linker, the
# Vulkan loader and a Vulkan driver. Does nothing where all of them are there.
#
#   scripts/setup.sh          what building and running need
#   scripts/setup.sh --test   also what the tests use; a warning where an optional part is missing
#   scripts/setup.sh --mpi    also Open MPI, which the feature `mpi` is built with
#   scripts/setup.sh --window also what scripts/egui.sh uses: a screen in memory, and a hand on its mouse
set -euo pipefail

SWIFTSHADER=/usr/lib/chromium/vk_swiftshader_icd.json
VALIDATION=/usr/share/vulkan/explicit_layer.d/VkLayer_khronos_validation.json

say() { echo "setup: $*"; }
warn() { echo "setup: warning: $*" >&2; }
fail() { echo "setup: error: $*" >&2; exit 1; }

have_loader() {
    local ldconfig file
    ldconfig=$(PATH="$PATH:/sbin:/usr/sbin" command -v ldconfig || true)
    if [ -n "$ldconfig" ] && "$ldconfig" -p 2>/dev/null | grep -F 'libvulkan.so.1 ' >/dev/null; then
        return 0
    fi
    local IFS=:
    for file in ${LD_LIBRARY_PATH:-}; do
        if [ -e "$file/libvulkan.so.1" ]; then return 0; fi
    done
    return 1
}

have_driver() {
    local folder file IFS=:
    for file in ${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}; do
        if [ -e "$file" ]; then return 0; fi
    done
    for folder in ${XDG_DATA_HOME:-${HOME:-}/.local/share} /etc /usr/local/share /usr/share; do
        for file in "$folder"/vulkan/icd.d/*.json; do
            if [ -e "$file" ]; then return 0; fi
        done
    done
    return 1
}

have_linker() { command -v cc >/dev/null; }
have_swiftshader() { [ -e "$SWIFTSHADER" ]; }
have_validation() { [ -e "$VALIDATION" ]; }
have_spirv_val() { command -v spirv-val >/dev/null; }

# apt_get ARGUMENT…: apt-get as root, by $sudo where that is needed; its output goes to $log.
apt_get() {
    $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get -q -y -o DPkg::Lock::Timeout=60 "$@" >>"$log" 2>&1 </dev/null
}

# apt_install PACKAGE…: with the package lists as they are, else once more after `apt-get update`.
apt_install() {
    command -v apt-get >/dev/null || return 1
    if [ -z "$sudo" ] && [ "$(id -u)" -ne 0 ]; then return 1; fi
    say "installing $* (apt-get)"
    apt_get install --no-install-recommends "$@" && return
    if [ -z "$updated" ]; then
        say "refreshing the package lists (apt-get update)"
        apt_get update || true
        updated=yes
        apt_get install --no-install-recommends "$@" && return
    fi
    return 1
}

# need WHAT CHECK PACKAGE…: stops unless CHECK holds or comes to hold.
need() {
    local what=$1 check=$2
    shift 2
    if "$check"; then return; fi
    if ! apt_install "$@"; then
        tail -n 20 "$log" >&2
        hint "$what" "$@"
    fi
    "$check" || fail "$what is still not there after $* was installed"
}

# hint WHAT PACKAGE…: says what to install, and stops.
hint() {
    local what=$1
    shift
    if command -v apt-get >/dev/null; then
        fail "$what is missing and could not be installed; as root: apt-get update && apt-get install $*"
    fi
    fail "$what is missing; install these with your package manager, then run this again:
  Debian, Ubuntu  $*
  Fedora          gcc vulkan-loader mesa-vulkan-drivers
  Arch            gcc vulkan-icd-loader, and vulkan-swrast or your GPU's vulkan-* driver
  Alpine          build-base vulkan-loader mesa-vulkan-swrast
or the driver of your GPU's maker"
}

# want WHAT CHECK PACKAGE: a warning unless CHECK holds or comes to hold. Never asks for a password.
want() {
    local what=$1 check=$2 package=$3
    if "$check"; then return; fi
    if ! apt_install "$package" || ! "$check"; then
        warn "no $what: the tests run without it (Debian's package: $package)"
    fi
}

have_xvfb() { command -v Xvfb >/dev/null; }
have_xdotool() { command -v xdotool >/dev/null; }
have_mpi() { command -v mpirun >/dev/null && command -v mpicc >/dev/null; }
# bindgen reads MPI's header with it; libclang-cpp, which other packages bring, is another library.
have_libclang() {
    local folder file
    if [ -n "${LIBCLANG_PATH:-}" ]; then return 0; fi
    for folder in /usr/lib* /usr/lib/* /usr/lib/llvm*/lib /opt/homebrew/opt/llvm/lib; do
        for file in "$folder"/libclang.so* "$folder"/libclang-[0-9]*.so* "$folder"/libclang.dylib; do
            if [ -e "$file" ]; then return 0; fi
        done
    done
    return 1
}

need_cargo() {
    command -v cargo >/dev/null || fail "cargo is not on the PATH; install Rust with
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh
then open a new shell and run this again"
}

need_component() {
    if cargo "$1" --version >/dev/null 2>&1; then return; fi
    say "installing $2 (rustup)"
    rustup component add "$2" >>"$log" 2>&1 ||
        fail "cargo $1 is missing; install it with: rustup component add $2"
}

# In an environment of its own, where the tests look for it.
python=${CARGO_TARGET_DIR:-$(dirname "$0")/../target}/tmp/python
have_onnx_runtime() {
    local own
    for own in "$python/bin/python" python3; do
        if "$own" -c 'import onnxruntime' >/dev/null 2>&1; then return 0; fi
    done
    return 1
}

want_onnx_runtime() {
    if have_onnx_runtime; then return; fi
    say "installing ONNX Runtime (pip, into $python)"
    if ! { python3 -m venv "$python" && "$python/bin/pip" install -q onnxruntime; } >>"$log" 2>&1; then
        warn "no ONNX Runtime: exported networks are not checked with it (python3, pip install onnxruntime)"
    fi
}

case "${1:-}" in
'' | --test | --mpi | --window) ;;
*) echo "usage: scripts/setup.sh [--test|--mpi|--window]" >&2; exit 2 ;;
esac

log=$(mktemp)
trap 'rm -f "$log"' EXIT
updated=
sudo=
if [ "$(id -u)" -ne 0 ] && command -v sudo >/dev/null; then sudo=sudo; fi

need_cargo
case "$(uname -s)" in
Linux)
    need "a linker (cc)" have_linker gcc libc6-dev
    need "the Vulkan loader (libvulkan.so.1)" have_loader libvulkan1 mesa-vulkan-drivers
    need "a Vulkan driver" have_driver mesa-vulkan-drivers
    ;;
Darwin | MINGW* | MSYS*) say "the system brings its own GPU interface (Metal, Direct3D 12)" ;;
*) warn "unknown system $(uname -s): see that a Vulkan driver is installed" ;;
esac

if [ "${1:-}" = --test ]; then
    need_component fmt rustfmt
    need_component clippy clippy
    if [ "$(uname -s)" = Linux ]; then
        if [ -n "$sudo" ]; then sudo="sudo -n"; fi
        want "SwiftShader, a second Vulkan driver" have_swiftshader chromium
        want "Vulkan validation layer" have_validation vulkan-validationlayers
        want "SPIR-V validator (spirv-val)" have_spirv_val spirv-tools
    fi
    want_onnx_runtime
fi
if [ "${1:-}" = --window ]; then
    if [ -n "$sudo" ]; then sudo="sudo -n"; fi
    want "screen in memory (Xvfb)" have_xvfb xvfb
    want "hand on its mouse (xdotool)" have_xdotool xdotool
fi
if [ "${1:-}" = --mpi ]; then
    need "MPI (mpirun, mpicc)" have_mpi openmpi-bin libopenmpi-dev
    need "libclang" have_libclang libclang-dev
fi
say "ready"
