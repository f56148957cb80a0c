#!/usr/bin/env bash
# scripts/egui.sh: tries the window of examples/egui on a screen in memory (Xvfb): points are clicked, the curve is compared with
# the wave that they are on, frames are counted. A picture goes to the file that SHOT names.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
# Mean squared error of the curve, and frames a second with training.
worst=0.3 least=25

for tool in Xvfb xdotool; do
    command -v $tool >/dev/null || { echo "egui: error: $tool is missing; install xvfb and xdotool" >&2; exit 1; }
done
# One compilation for the lints and the program, as in scripts/test.sh.
clippy=$(rustc --print sysroot)/bin/clippy-driver
if [ -x "$clippy" ]; then
    export RUSTC_WORKSPACE_WRAPPER=$clippy CLIPPY_ARGS="-D__CLIPPY_HACKERY__warnings"
fi
cargo build --quiet -p reptile-egui
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT

Xvfb -displayfd 3 -screen 0 800x640x24 -nolisten tcp 3>"$folder/display" 2>"$folder/xvfb.log" &
for _ in $(seq 100); do [ -s "$folder/display" ] && break; sleep 0.1; done
DISPLAY=:$(cat "$folder/display")
export DISPLAY
unset WAYLAND_DISPLAY
XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-$folder} "$target/debug/reptile-egui" --seconds "${SECONDS_LONG:-25}" --report "$folder/report" >"$folder/said" &
window=$!
gone() { echo "egui: error: $1" >&2; exit 1; }
name=$(timeout 60 xdotool search --sync --onlyvisible --name '^Reptile$' | head -1) || true
[ -n "$name" ] || gone "no window came within a minute"
eval "$(xdotool getwindowgeometry --shell "$name")"
# Pipelines are compiled first, one a frame.
for _ in $(seq 600); do grep -q ready "$folder/said" && break; sleep 0.1; done
read -r _ left top width height <"$folder/said" || gone "it was not ready within a minute"
# Ten points of 2.5 sin(x + 0.7).
for i in 0 1 2 3 4 5 6 7 8 9; do
    read -r x y < <(awk -v i=$i -v left="$left" -v top="$top" -v w="$width" -v h="$height" 'BEGIN {
        x = i - 4.5; y = 2.5 * sin(x + 0.7)
        printf "%d %d\n", left + w * (x + 5.5) / 11, top + h * (5.5 - y) / 11 }')
    xdotool mousemove $((X + x)) $((Y + y)) sleep 0.15 mousedown 1 sleep 0.15 mouseup 1 sleep 0.15
done
sleep "${LATER:-10}"
if [ -n "${SHOT:-}" ]; then import -window root -crop "${WIDTH}x$HEIGHT+$X+$Y" +repage "$SHOT"; fi
wait $window
# The wave that goes best through the points is the measure: clicks fall on whole pixels.
awk -v worst=$worst -v least=$least '
    $1 == "point" { points++; px[points] = $2; py[points] = $3 }
    $1 == "curve" { places++; cx[places] = $2; cy[places] = $3 }
    $1 == "frames_per_second" { frames = $2 }
    $1 == "iterations" { iterations = $2 }
    END {
        for (i = 1; i <= points; i++) { s = sin(px[i]); c = cos(px[i]); ss += s * s; cc += c * c; sc += s * c; sy += s * py[i]; yc += c * py[i] }
        d = ss * cc - sc * sc; a = (sy * cc - yc * sc) / d; b = (yc * ss - sy * sc) / d
        for (i = 1; i <= points; i++) { r = py[i] - a * sin(px[i]) - b * cos(px[i]); off += r * r / points }
        for (i = 1; i <= places; i++) { r = cy[i] - a * sin(cx[i]) - b * cos(cx[i]); error += r * r / places }
        printf "egui: %d points (%.4f from a wave of height %.2f), curve %.3f from it (squared, mean), %.1f frames a second, %d meta-iterations\n", points, off, sqrt(a * a + b * b), error, frames, iterations
        exit !(points == 10 && places > 100 && off < 0.01 && error < worst && frames >= least && iterations > 100)
    }' "$folder/report" || { grep point "$folder/report" >&2; echo "egui: error: that is not what was wanted (at most $worst, at least $least frames)" >&2; exit 1; }
