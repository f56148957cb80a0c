//! Paths in the commands that messages offer.

use std::path::Path;

/// `path` as one word of a POSIX shell: in quotes where it needs them.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    // Only a NUL cannot be quoted, which no path holds.
    shlex::try_quote(&text).map(Into::into).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_the_path() {
        for plain in ["runs/sine-2", "/tmp/a.b/best.toml"] {
            assert_eq!(quoted(Path::new(plain)), plain);
        }
        assert_eq!(quoted(Path::new("my run")), "'my run'");
        for path in
            ["my run", "it's", "a\"b'c", "$HOME/x", "a;b", "a\\b", "*", "~x", "(1)", "größe"]
        {
            let text = format!("reptile eval {}", quoted(Path::new(path)));
            assert_eq!(shlex::split(&text).unwrap(), ["reptile", "eval", path], "{text}");
            if cfg!(unix) {
                let print = format!("printf %s {}", quoted(Path::new(path)));
                let output = std::process::Command::new("sh").args(["-c", &print]).output();
                assert_eq!(String::from_utf8(output.unwrap().stdout).unwrap(), path, "{print}");
            }
        }
    }
}
