//! Text from outside, made harmless for terminals.

/// Returns one line in which nothing moves the cursor, hides or reorders text, or pretends a line break. What is taken out
/// is named by its code point: `\u{1b}`.
pub fn for_terminal(text: &str) -> String {
    neutralise(text, |character| character == '\t')
}

/// The same for a text of several lines: line breaks and tabs stay.
pub fn block_for_terminal(text: &str) -> String {
    neutralise(text, |character| matches!(character, '\t' | '\n'))
}

fn neutralise(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if is_deceptive(character) && !stays(character) {
            safe.extend(character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    safe
}

/// Tells whether a terminal acts on `character`, or a person cannot see that it is there.
fn is_deceptive(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // Soft hyphen, combining grapheme joiner, Arabic letter mark, Hangul and Khmer fillers, Mongolian selectors.
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            // Zero width and direction marks, line and paragraph separators, bidirectional embeddings and isolates,
            // invisible operators.
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            // Fillers, byte order mark, interlinear annotations.
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            // Musical controls, shorthand controls.
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            // Tags and the rest of the invisible plane; variation selectors beyond the sixteen that emoji use.
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_terminals_act_on_is_named_instead() {
        let cases = [
            ("\u{1b}]52;c;ZXZpbA==\u{7}", "\\u{1b}]52;c;ZXZpbA==\\u{7}"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\rb\u{8}c\u{7f}", "a\\u{d}b\\u{8}c\\u{7f}"),
            ("\u{202e}txt.exe\u{2066}", "\\u{202e}txt.exe\\u{2066}"),
            ("x\u{e0041}\u{e007f}", "x\\u{e0041}\\u{e007f}"),
            ("a\u{200b}\u{feff}\u{2028}b", "a\\u{200b}\\u{feff}\\u{2028}b"),
        ];
        for (text, safe) in cases {
            assert_eq!(for_terminal(text), safe);
            assert_eq!(block_for_terminal(text), safe);
        }
    }

    #[test]
    fn only_a_block_has_line_breaks() {
        assert_eq!(for_terminal("a\n\tb"), "a\\u{a}\tb");
        assert_eq!(block_for_terminal("a\n\tb"), "a\n\tb");
    }

    #[test]
    fn what_people_write_stays() {
        for text in ["Grüße, 世界 — שלום", "e\u{301}", "👍🏽 ❤\u{fe0f}", "fi 1 2\u{a0}%"] {
            assert_eq!(for_terminal(text), text);
        }
    }
}
