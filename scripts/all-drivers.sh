#!/usr/bin/env bash
# scripts/all-drivers.sh COMMAND…: runs COMMAND so that it sees every Vulkan driver of this machine
# at once. That is what the loader does by itself, but for SwiftShader, which comes with Debian's
# chromium and is not registered. VK_DRIVER_FILES is kept if it is set.
set -euo pipefail
shopt -s nullglob

# Mesa's device-select layer complains on every start where there is no desktop.
if [ -z "${XDG_RUNTIME_DIR:-}" ]; then export NODEVICE_SELECT=1; fi

swiftshader=/usr/lib/chromium/vk_swiftshader_icd.json
if [ -z "${VK_DRIVER_FILES:-}" ] && [ -e "$swiftshader" ]; then
    drivers=({/etc,/usr/local/share,/usr/share}/vulkan/icd.d/*.json "$swiftshader")
    VK_DRIVER_FILES=$(IFS=: && echo "${drivers[*]}")
    export VK_DRIVER_FILES
fi
exec "$@"
