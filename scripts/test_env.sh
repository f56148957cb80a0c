# What every run of the tests has in its environment; for `source`, in the project's root.
target=${CARGO_TARGET_DIR:-target}

# Caches of drivers and of the program stay here.
mkdir -p "$target/tmp"
export MESA_SHADER_CACHE_DIR=${MESA_SHADER_CACHE_DIR:-$(cd "$target" && pwd)/tmp/mesa}
# Mesa's device-select layer complains on every start where there is no desktop.
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then export NODEVICE_SELECT=1; fi

# One compilation for the lints and the tests: clippy's driver is rustc with more to say.
clippy=$(rustc --print sysroot)/bin/clippy-driver
if [ -x "$clippy" ]; then
    export RUSTC_WORKSPACE_WRAPPER=$clippy CLIPPY_ARGS="-D__CLIPPY_HACKERY__warnings"
else
    echo "test: no clippy (rustup component add clippy); the lints are not checked" >&2
fi
