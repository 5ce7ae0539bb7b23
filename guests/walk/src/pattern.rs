//! Glob patterns, as git and most shells read them.

use globset::{GlobBuilder, GlobMatcher};
use kit::{Failure, display};

/// A compiled pattern.
pub struct Pattern {
    matcher: GlobMatcher,
    /// Whether the pattern names files of any directory.
    by_name: bool,
}

impl Pattern {
    /// Returns the pattern that `text` describes. Without a `/` it matches names in any directory.
    pub fn new(text: &str) -> Result<Self, Failure> {
        let text = display(text);
        let glob = GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build();
        let glob = glob.map_err(|error| Failure::rejected(format!("`{text}` is no glob pattern: {}", error.kind())))?;
        Ok(Self { matcher: glob.compile_matcher(), by_name: !text.contains('/') })
    }

    /// Returns whether the file at `relative`, a path with `/`, matches.
    pub fn matches(&self, relative: &str) -> bool {
        let subject = if self.by_name { relative.rsplit('/').next().unwrap_or(relative) } else { relative };
        self.matcher.is_match(subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched<'a>(pattern: &str, paths: &[&'a str]) -> Vec<&'a str> {
        let pattern = Pattern::new(pattern).unwrap();
        paths.iter().copied().filter(|path| pattern.matches(path)).collect()
    }

    #[test]
    fn a_pattern_without_a_slash_matches_names_anywhere() {
        assert_eq!(matched("*.rs", &["a.rs", "src/b.rs", "src/b.toml"]), ["a.rs", "src/b.rs"]);
    }

    #[test]
    fn a_pattern_with_a_slash_matches_the_whole_path() {
        let paths = ["src/a.rs", "src/x/b.rs", "x/src/c.rs"];
        assert_eq!(matched("src/*.rs", &paths), ["src/a.rs"]);
        assert_eq!(matched("./src/**/*.rs", &paths), ["src/a.rs", "src/x/b.rs"]);
        assert_eq!(matched("**/src/{a,c}.rs", &paths), ["src/a.rs", "x/src/c.rs"]);
    }

    #[test]
    fn what_is_no_pattern_is_rejected() {
        assert!(matches!(Pattern::new("a["), Err(Failure::Rejected(reason)) if reason.starts_with("`a[` is no glob")));
    }
}
