//! Numbers as commands read them, and random ones.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, Read};

/// Returns the number that `text` spells with a suffix of size: `10`, `4K`, `1MB`, `2GiB`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let number: u64 = if number.is_empty() && !suffix.is_empty() { 1 } else { number.parse().ok()? };
    number.checked_mul(multiplier(suffix)?)
}

fn multiplier(suffix: &str) -> Option<u64> {
    const LETTERS: &str = "KMGTPE";
    match suffix {
        "" | "c" => return Some(1),
        "w" => return Some(2),
        "b" => return Some(512),
        _ => {}
    }
    let (letter, rest) = suffix.split_at_checked(1)?;
    let power = u32::try_from(LETTERS.find(&letter.to_ascii_uppercase())?).ok()? + 1;
    match rest {
        "" | "iB" => 1024_u64.checked_pow(power),
        "B" => 1000_u64.checked_pow(power),
        _ => None,
    }
}

/// Returns `bytes` as `ls -h` and `du -h` show it: rounded up, one digit after the point below ten.
pub(crate) fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["", "K", "M", "G", "T", "P"];
    let mut unit = 0;
    let mut scale = 1_u64;
    while bytes / scale >= 1024 && unit + 1 < UNITS.len() {
        scale *= 1024;
        unit += 1;
    }
    if unit == 0 {
        return bytes.to_string();
    }
    let tenths = (u128::from(bytes) * 10).div_ceil(u128::from(scale));
    if tenths < 100 {
        return format!("{}.{}{}", tenths / 10, tenths % 10, UNITS[unit]);
    }
    let whole = bytes.div_ceil(scale);
    if whole == 1024 && unit + 1 < UNITS.len() {
        format!("1.0{}", UNITS[unit + 1])
    } else {
        format!("{whole}{}", UNITS[unit])
    }
}

/// A source of random bytes, seeded by the system: good for shuffling and temporary names, not for keys.
pub(crate) struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        // The seed of a fresh hash map is the one randomness that the standard library has.
        Self(HashMap::<(), ()>::new().hasher().build_hasher().finish())
    }
}

impl Random {
    /// Returns the source that always gives the same.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // The bias is far below what anybody can see.
        u64::try_from((u128::from(self.next()) * u128::from(bound)) >> 64).expect("below a bound of 64 bits")
    }

    /// Returns a number from zero up to one.
    pub(crate) fn fraction(&mut self) -> f64 {
        let high = u32::try_from(self.next() >> 32).expect("32 bits");
        f64::from(high) / 4_294_967_296.0
    }
}

impl Read for Random {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        for part in buffer.chunks_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes()[..part.len()]);
        }
        Ok(buffer.len())
    }
}
