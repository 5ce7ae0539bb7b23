//! Figures as people read them.

use std::time::Duration;

/// One line: what was measured, the figure, and the target with whether it was met.
pub(crate) struct Row {
    what: String,
    figure: String,
    target: String,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, figure: impl Into<String>, target: impl Into<String>) -> Self {
        Self { what: what.into(), figure: figure.into(), target: target.into() }
    }

    /// Returns a row with a target that was met or missed.
    pub(crate) fn against(what: impl Into<String>, figure: impl Into<String>, target: &str, met: bool) -> Self {
        Self::new(what, figure, format!("{target}: {}", if met { "met" } else { "MISSED" }))
    }
}

pub(crate) fn render(rows: &[Row]) -> String {
    let width = |text: fn(&Row) -> &str| rows.iter().map(|row| text(row).chars().count()).max().unwrap_or(0);
    let (what, figure) = (width(|row| &row.what), width(|row| &row.figure));
    let line =
        |row: &Row| format!("{:<what$}  {:>figure$}  {}", row.what, row.figure, row.target).trim_end().to_owned();
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A sample of durations, sorted.
pub(crate) struct Sample(Vec<Duration>);

impl Sample {
    pub(crate) fn new(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        Self(durations)
    }

    pub(crate) fn median(&self) -> Duration {
        self.0[self.0.len() / 2]
    }

    pub(crate) fn p95(&self) -> Duration {
        self.0[self.0.len() * 95 / 100]
    }
}

pub(crate) fn micros(duration: Duration) -> String {
    format!("{} µs", duration.as_micros())
}

pub(crate) fn millis(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}
