//! Patterns of names, as `fnmatch` reads them.

/// A pattern with `*`, `?`, `[…]` and backslashes.
#[derive(Debug, Clone)]
pub(crate) struct Glob {
    parts: Vec<Part>,
    fold: bool,
}

#[derive(Debug, Clone)]
enum Part {
    Any,
    One,
    Is(char),
    Of { turned: bool, ranges: Vec<(char, char)>, classes: Vec<fn(&u8) -> bool> },
}

impl Glob {
    pub(crate) fn new(text: &str) -> Self {
        let characters: Vec<char> = text.chars().collect();
        let mut parts = Vec::new();
        let mut at = 0;
        while at < characters.len() {
            let (part, length) = Part::read(&characters[at..]);
            at += length;
            parts.push(part);
        }
        Self { parts, fold: false }
    }

    pub(crate) fn ignoring_case(text: &str) -> Self {
        Self { fold: true, ..Self::new(&text.to_lowercase()) }
    }

    /// Returns whether the whole of `name` fits. `*` crosses slashes, as `find -path` wants it.
    pub(crate) fn is_match(&self, name: &str) -> bool {
        let name = if self.fold { name.to_lowercase() } else { name.to_owned() };
        let name: Vec<char> = name.chars().collect();
        let (mut at, mut part) = (0, 0);
        // Where the last star stands and how much it has eaten; only that one needs to be tried again.
        let mut star = None;
        loop {
            match self.parts.get(part) {
                Some(Part::Any) => {
                    star = Some((part, at));
                    part += 1;
                    continue;
                }
                Some(other) if name.get(at).is_some_and(|character| other.fits(*character)) => {
                    at += 1;
                    part += 1;
                    continue;
                }
                None if at == name.len() => return true,
                _ => {}
            }
            let Some((star_part, eaten)) = star.filter(|(_, eaten)| *eaten < name.len()) else { return false };
            star = Some((star_part, eaten + 1));
            (part, at) = (star_part + 1, eaten + 1);
        }
    }
}

impl Part {
    fn read(text: &[char]) -> (Self, usize) {
        match text {
            ['*', ..] => (Self::Any, 1),
            ['?', ..] => (Self::One, 1),
            ['[', ..] => Self::bracket(text).unwrap_or((Self::Is('['), 1)),
            ['\\', escaped, ..] => (Self::Is(*escaped), 2),
            [character, ..] => (Self::Is(*character), 1),
            [] => (Self::Any, 1),
        }
    }

    fn bracket(text: &[char]) -> Option<(Self, usize)> {
        let mut at = 1;
        let turned = matches!(text.get(at), Some('!' | '^'));
        at += usize::from(turned);
        let (mut ranges, mut classes) = (Vec::new(), Vec::new());
        let start = at;
        loop {
            let character = *text.get(at)?;
            if character == ']' && at > start {
                return Some((Self::Of { turned, ranges, classes }, at + 1));
            }
            if character == '[' && text.get(at + 1) == Some(&':') {
                let rest: String = text[at + 2..].iter().collect();
                let end = rest.find(":]")?;
                classes.push(crate::tr::class_of(&rest[..end])?);
                at += 4 + end;
                continue;
            }
            let escaped = character == '\\';
            at += usize::from(escaped);
            let from = *text.get(at)?;
            let is_range = text.get(at + 1) == Some(&'-') && text.get(at + 2).is_some_and(|end| *end != ']');
            let to = if is_range { *text.get(at + 2)? } else { from };
            ranges.push((from, to));
            at += if is_range { 3 } else { 1 };
        }
    }

    fn fits(&self, character: char) -> bool {
        match self {
            Self::Any | Self::One => true,
            Self::Is(other) => *other == character,
            Self::Of { turned, ranges, classes } => {
                let ranged = ranges.iter().any(|(from, to)| (*from..=*to).contains(&character));
                let classed = u8::try_from(character).is_ok_and(|byte| classes.iter().any(|holds| holds(&byte)));
                (ranged || classed) != *turned
            }
        }
    }
}
