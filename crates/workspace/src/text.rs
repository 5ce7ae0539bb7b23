//! Text from outside, made harmless for terminals.

/// Returns one line in which nothing can move the cursor, hide text or pretend a line break.
pub fn for_terminal(_text: &str) -> String { todo!() }

/// The same for text of several lines: line breaks and tabs stay.
pub fn block_for_terminal(_text: &str) -> String { todo!() }
