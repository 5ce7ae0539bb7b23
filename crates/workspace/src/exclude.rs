//! Git is told to leave `.boxagnts/` alone, where there is a repository. Git itself is never run.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

const PATTERN: &str = ".boxagnts/";

/// The most that is read of a `.git` file, a `commondir` file or an exclude file; they hold a line, or a page.
const MAX_BYTES: u64 = 1 << 20;

/// Adds `.boxagnts/` to `info/exclude` of the repository that `root` is in, unless it is there; without a repository
/// nothing happens.
pub(crate) fn exclude(root: &Path) -> io::Result<()> {
    let Some(repository) = root.ancestors().find_map(|folder| repository(&folder.join(".git"))) else { return Ok(()) };
    let info = repository.join("info");
    let path = info.join("exclude");
    // A link would have something else written.
    if [&info, &path].iter().any(|path| path.is_symlink()) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is a symbolic link", path.display())));
    }
    let kept = match read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        kept => kept?,
    };
    if kept.lines().any(|line| line == PATTERN) {
        return Ok(());
    }
    let separator = if kept.is_empty() || kept.ends_with('\n') { "" } else { "\n" };
    fs::create_dir_all(&info)?;
    replace(&path, &format!("{kept}{separator}{PATTERN}\n"))
}

/// Returns the repository that `.git` stands for: a folder, or the common one of a worktree's `gitdir:` file.
fn repository(dot_git: &Path) -> Option<PathBuf> {
    let folder = if dot_git.is_dir() { dot_git.to_owned() } else { linked(dot_git)? };
    let common = match read(&folder.join("commondir")) {
        Ok(common) => folder.join(common.trim_end()),
        Err(_) => folder,
    };
    // Whatever a file says, only a repository is written to.
    (common.join("HEAD").is_file() && common.join("objects").is_dir()).then_some(common)
}

fn linked(dot_git: &Path) -> Option<PathBuf> {
    let text = read(dot_git).ok()?;
    let target = text.strip_prefix("gitdir: ")?.trim_end();
    Some(dot_git.parent()?.join(target))
}

fn read(path: &Path) -> io::Result<String> {
    let found = fs::metadata(path)?;
    if !found.is_file() || found.len() > MAX_BYTES {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    fs::read_to_string(path)
}

/// Replaces a file at once, keeping its permissions, so that a crash leaves the old or the new one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let permissions = fs::metadata(path).map(|found| found.permissions());
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    if let Ok(permissions) = permissions {
        file.as_file().set_permissions(permissions)?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository_in(folder: &Path) {
        fs::create_dir_all(folder.join("objects")).unwrap();
        fs::create_dir_all(folder.join("info")).unwrap();
        fs::write(folder.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    }

    #[test]
    fn the_pattern_is_added_once_and_the_rest_kept() {
        for (kept, expected) in [
            ("# local\n*.swp\n", "# local\n*.swp\n.boxagnts/\n"),
            ("*.swp", "*.swp\n.boxagnts/\n"),
            ("", ".boxagnts/\n"),
            ("x\n.boxagnts/\ny", "x\n.boxagnts/\ny"),
        ] {
            let root = tempfile::tempdir().unwrap();
            repository_in(&root.path().join(".git"));
            let path = root.path().join(".git/info/exclude");
            fs::write(&path, kept).unwrap();
            for _ in 0..2 {
                exclude(root.path()).unwrap();
                assert_eq!(fs::read_to_string(&path).unwrap(), expected);
            }
            assert_eq!(fs::read_dir(root.path().join(".git/info")).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_missing_info_folder_is_made() {
        let root = tempfile::tempdir().unwrap();
        repository_in(&root.path().join(".git"));
        fs::remove_dir(root.path().join(".git/info")).unwrap();
        exclude(root.path()).unwrap();
        assert_eq!(fs::read_to_string(root.path().join(".git/info/exclude")).unwrap(), ".boxagnts/\n");
    }

    #[test]
    fn a_worktree_and_a_subfolder_belong_to_their_repository() {
        let root = tempfile::tempdir().unwrap();
        let git = root.path().join("main/.git");
        repository_in(&git);
        let own = git.join("worktrees/w");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("commondir"), "../..\n").unwrap();
        let worktree = root.path().join("w");
        fs::create_dir_all(worktree.join("deep/er")).unwrap();
        fs::write(worktree.join(".git"), format!("gitdir: {}\n", own.display())).unwrap();
        exclude(&worktree.join("deep/er")).unwrap();
        assert_eq!(fs::read_to_string(git.join("info/exclude")).unwrap(), ".boxagnts/\n");
    }

    #[test]
    fn a_link_is_not_written_through() {
        let (root, victim) = (tempfile::tempdir().unwrap(), NamedTempFile::new().unwrap());
        repository_in(&root.path().join(".git"));
        std::os::unix::fs::symlink(victim.path(), root.path().join(".git/info/exclude")).unwrap();
        assert!(exclude(root.path()).is_err());
        assert_eq!(fs::read_to_string(victim.path()).unwrap(), "");
    }

    #[test]
    fn nothing_but_a_repository_is_written_to() {
        let (root, victim) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(root.path().join(".git"), format!("gitdir: {}\n", victim.path().display())).unwrap();
        exclude(root.path()).unwrap();
        assert_eq!(fs::read_dir(victim.path()).unwrap().count(), 0);
    }
}
