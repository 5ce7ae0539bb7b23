//! Results that fit a model's context, with a pointer to the rest.

/// Bytes of a result that the model reads at once: about 8,000 tokens, so that no single call fills a context.
pub const MAX_RESULT_BYTES: usize = 32 << 10;

/// A text cut to fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Capped {
    pub(crate) text: String,
    /// Whether something was left out.
    pub(crate) cut: bool,
}

/// Returns `text` as the model reads it; when it is cut, the end says how to read the rest at `rest`.
pub(crate) fn cap(text: &str, rest: &str) -> Capped {
    if text.len() <= MAX_RESULT_BYTES {
        return Capped { text: text.to_owned(), cut: false };
    }
    let end = line_end(text);
    let (shown, lines) = (&text[..end], text[..end].lines().count());
    let left = text.len() - end;
    let next = lines + 1;
    let note = format!("[{left} more bytes. The whole output is in {rest}: read it from line {next} on, or grep it.]");
    Capped { text: format!("{shown}\n{note}"), cut: true }
}

/// Returns where to cut: after the last whole line that fits, or within a line that does not fit at all.
fn line_end(text: &str) -> usize {
    let end = text.floor_char_boundary(MAX_RESULT_BYTES);
    text[..end].rfind('\n').filter(|at| *at > 0).unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_left_alone() {
        let text = "a".repeat(MAX_RESULT_BYTES);
        assert_eq!(cap(&text, "/results/x.txt"), Capped { text, cut: false });
    }

    #[test]
    fn what_does_not_fit_ends_at_a_line_and_says_where_the_rest_is() {
        let line = format!("{}\n", "x".repeat(99));
        let capped = cap(&line.repeat(1000), "/results/x.txt");
        let note = "[67300 more bytes. The whole output is in /results/x.txt: read it from line 328 on, or grep it.]";
        assert!(capped.cut);
        assert_eq!(capped.text.lines().last().unwrap(), note.replace("67300", &(100_000 - 32_699).to_string()));
        assert_eq!(capped.text.lines().count(), 328);
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        let capped = cap(&"é".repeat(MAX_RESULT_BYTES), "/results/x.txt");
        assert!(capped.cut && capped.text.starts_with("éé"));
    }
}
