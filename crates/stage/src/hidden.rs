//! The host's own state directory, which no guest may see.

use unicode_normalization::UnicodeNormalization as _;

/// The directory that holds the workspace's journal and blobs.
const STATE_DIRECTORY: &str = ".boxagnts";

/// What NTFS and FAT shorten [`STATE_DIRECTORY`] to, before the number.
const SHORT_NAME: &str = "boxagn~";

/// Returns whether some file system could take `name` for the host's state directory: in any case (APFS, NTFS), Unicode
/// normalisation (HFS+, APFS), with code points that HFS+ ignores, with the trailing dots and spaces that Windows drops,
/// as an NTFS stream of it, or as its 8.3 short name.
pub fn is_hidden(name: &str) -> bool {
    if name.is_ascii() {
        return names_state(name);
    }
    let visible: String = name.chars().filter(|char| !is_ignorable(*char)).nfkc().collect();
    let folded: String = caseless::default_case_fold_str(&visible).nfkc().filter(|char| !is_ignorable(*char)).collect();
    names_state(&folded)
}

fn names_state(name: &str) -> bool {
    let name = name.split(':').next().unwrap_or_default();
    let name = name.trim_end_matches(['.', ' ']);
    let short = || name.get(..SHORT_NAME.len()).is_some_and(|start| start.eq_ignore_ascii_case(SHORT_NAME));
    name.eq_ignore_ascii_case(STATE_DIRECTORY) || short()
}

/// Whether a file system may drop `char` when it compares names: `Default_Ignorable_Code_Point` (Unicode 16,
/// `DerivedCoreProperties.txt`), a superset of what HFS+ drops.
fn is_ignorable(char: char) -> bool {
    matches!(u32::from(char),
        0xAD | 0x34F | 0x61C | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F
        | 0x202A..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFF8
        | 0x1BCA0..=0x1BCA3 | 0x1D173..=0x1D17A | 0xE0000..=0xE0FFF)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_hidden() {
        let spellings = [
            ".boxagnts",
            ".BoxAgnts",
            ".boxagnts.",
            ".boxagnts . .",
            ".boxagnts::$INDEX_ALLOCATION",
            "BOXAGN~1",
            ".bo\u{200D}xagnts",
            "\u{FEFF}.boxagnts",
            ".boxagnts\u{200B}",
            ".boxagnt\u{17F}",
            "\u{FF0E}boxagnts",
            ".\u{FF42}oxagnts",
            ".\u{24D1}oxagnts",
            "\u{2024}BOXAGNTS\u{3000}",
        ];
        for name in spellings {
            assert!(is_hidden(name), "{name:?}");
        }
    }

    #[test]
    fn other_names_are_not() {
        for name in
            ["boxagnts", ".boxagnts.toml", ".boxagnts2", "x.boxagnts", "", ".", "..", "boxagnts.toml", ".böxagnts"]
        {
            assert!(!is_hidden(name), "{name:?}");
        }
    }
}
