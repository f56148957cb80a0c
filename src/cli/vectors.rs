//! How many bits the vectors of Mesa's software Vulkan driver have.

use std::path::PathBuf;
use std::{env, fs};

/// What the driver reads, once, before it lists the first adapter.
const WIDTH: &str = "LP_NATIVE_VECTOR_WIDTH";

/// What a processor should seem to have, for those who try other ones.
const CAPABILITIES: &str = "GALLIUM_OVERRIDE_CPU_CAPS";

/// The folder of Mesa's cache of compiled kernels, and an older name that it knows.
const CACHE: &str = "MESA_SHADER_CACHE_DIR";
const OLD_CACHE: &str = "MESA_GLSL_CACHE_DIR";

/// Has Mesa's software driver use all 512 bits of a processor on which that pays, if the user chose neither a
/// width nor what the processor should seem to have.
///
/// Mesa's cache does not tell kernels of one width from those of another, so that they get a folder of their own.
///
/// # Safety
/// No other thread may read or write environment variables meanwhile.
pub unsafe fn widen() {
    let chosen = |name| env::var_os(name).is_some();
    if chosen(WIDTH) || chosen(CAPABILITIES) || !pays() {
        return;
    }
    let users = env::var_os(CACHE).or_else(|| env::var_os(OLD_CACHE));
    let Some(folder) = cache(users.map(PathBuf::from)) else { return };
    // If it cannot be made, kernels are compiled each time, as Mesa does then.
    let _ = fs::create_dir_all(&folder);
    // SAFETY: what the caller promises.
    unsafe {
        env::set_var(WIDTH, "512");
        env::set_var(CACHE, folder);
    }
}

/// The folder for kernels of 512 bits: in the user's, else beside Mesa's own.
fn cache(users: Option<PathBuf>) -> Option<PathBuf> {
    match users.filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => Some(folder.join("512-bits")),
        None => dirs::cache_dir().map(|folder| folder.join("mesa_shader_cache_512_bits")),
    }
}

/// Whether kernels take less time with 512 bits: measured on AMD's processors with AVX-512, and not so on Intel's
/// (docs/kernels.md).
#[cfg(target_arch = "x86_64")]
fn pays() -> bool {
    let vendor = std::arch::x86_64::__cpuid(0);
    let name = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes);
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    name.as_flattened() == b"AuthenticAMD" && avx512
}

/// Other processors have no such vectors.
#[cfg(not(target_arch = "x86_64"))]
fn pays() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_cache_lies_below_the_users_folder_or_beside_mesas() {
        let users = cache(Some("/somewhere".into()));
        assert_eq!(users.as_deref(), Some(Path::new("/somewhere/512-bits")));
        let own = cache(None);
        assert_eq!(cache(Some(PathBuf::new())), own, "an empty variable means none");
        assert_eq!(own.as_deref().and_then(Path::parent), dirs::cache_dir().as_deref());
    }
}
