//! `date`, and dates as it reads and writes them.

use jiff::civil::{Date, DateTime, Time};
use jiff::{Span, Timestamp, ToSpan, tz::TimeZone};

use crate::Invocation;
use crate::clock;
use crate::options::Spec;
use crate::report::{Outcome, Stop, complain, reason};

const DATE: Spec =
    Spec::new("d/date= u/utc/universal r/reference= R/rfc-email I/iso-8601? rfc-3339= s/set= f/file= debug");

pub(crate) fn date(invocation: &mut Invocation<'_>) -> Outcome {
    let options = DATE.parse(invocation.args)?;
    let now = clock::now();
    if options.has("s") {
        return Err(Stop::failed("cannot set date: Operation not permitted"));
    }
    let iso = |detail: &str| match detail {
        "" | "date" => Some("%Y-%m-%d"),
        "hours" => Some("%Y-%m-%dT%H%:z"),
        "minutes" => Some("%Y-%m-%dT%H:%M%:z"),
        "seconds" => Some("%Y-%m-%dT%H:%M:%S%:z"),
        "ns" => Some("%Y-%m-%dT%H:%M:%S,%N%:z"),
        _ => None,
    };
    let wrong = |what: &str, text: &str| DATE.wrong("date", &format!("invalid argument '{text}' for '{what}'"));
    let mut shape = "%a %b %e %H:%M:%S UTC %Y".to_owned();
    for found in &options.found {
        match found.name {
            "I" => iso(found.text()).ok_or_else(|| wrong("--iso-8601", found.text()))?.clone_into(&mut shape),
            "R" => "%a, %d %b %Y %H:%M:%S %z".clone_into(&mut shape),
            "rfc-3339" => {
                let text = iso(found.text()).ok_or_else(|| wrong("--rfc-3339", found.text()))?;
                shape = text.replace('T', " ").replace(',', ".");
            }
            _ => {}
        }
    }
    match options.operands.as_slice() {
        [] => {}
        [operand] => match operand.strip_prefix('+') {
            Some(given) => given.clone_into(&mut shape),
            None => return Err(Stop::failed(format!("invalid date '{operand}'"))),
        },
        [_, extra, ..] => return Err(DATE.wrong("date", &format!("extra operand '{extra}'"))),
    }
    let mut times = Vec::new();
    let mut code = 0;
    if let Some(name) = options.value("r") {
        let found = invocation.path(name).metadata().and_then(|found| found.modified());
        times.push(clock::timestamp(found.map_err(|error| Stop::failed(format!("{name}: {}", reason(&error))))?));
    } else if let Some(text) = options.value("d") {
        times.push(parse(text, now).ok_or_else(|| Stop::failed(format!("invalid date '{text}'")))?);
    } else if let Some(name) = options.value("f") {
        let mut reader =
            crate::input::open(invocation.cwd, invocation.stdin, name).map_err(|error| Stop::at(name, &error))?;
        let text = crate::input::everything(&mut *reader)?;
        drop(reader);
        for line in String::from_utf8_lossy(&text).lines() {
            if let Some(time) = parse(line, now) {
                times.push(time);
            } else {
                complain(invocation, format_args!("invalid date '{line}'"));
                code = 1;
            }
        }
    } else {
        times.push(now);
    }
    for time in times {
        writeln!(invocation.stdout, "{}", format(&shape, time))?;
    }
    Ok(code)
}

/// Returns a time in the shape that `date +` says, in UTC and the C locale.
pub(crate) fn format(shape: &str, time: Timestamp) -> String {
    let mut shown = String::new();
    let mut characters = shape.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '%' {
            shown.push(character);
            continue;
        }
        let mut flags = String::new();
        while let Some(flag) = characters.next_if(|c| "-_0^#:".contains(*c)) {
            flags.push(flag);
        }
        let mut width = String::new();
        while let Some(digit) = characters.next_if(char::is_ascii_digit) {
            width.push(digit);
        }
        let Some(letter) = characters.next() else {
            shown.push('%');
            break;
        };
        match directive(letter, time, &flags, &width) {
            Some(text) => shown.push_str(&flagged(&text, &flags, &width)),
            None => shown.extend(["%", &flags, &width, letter.encode_utf8(&mut [0; 4])]),
        }
    }
    shown
}

fn flagged(text: &str, flags: &str, width: &str) -> String {
    let text = if flags.contains('^') || flags.contains('#') { text.to_uppercase() } else { text.to_owned() };
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || c == ' ');
    let text = match flags.chars().rfind(|flag| "-_0".contains(*flag)) {
        Some('-') if is_number => {
            let short = text.trim_start_matches(['0', ' ']);
            if short.is_empty() { "0".to_owned() } else { short.to_owned() }
        }
        Some('_') if is_number => {
            let short = text.trim_start_matches('0');
            format!("{short:>0$}", text.len())
        }
        Some('0') => text.replace(' ', "0"),
        _ => text,
    };
    let width: usize = width.parse().unwrap_or(0);
    let width = width.min(1_024);
    if is_number && !flags.contains('_') { format!("{text:0>width$}") } else { format!("{text:>width$}") }
}

fn directive(letter: char, time: Timestamp, flags: &str, width: &str) -> Option<String> {
    const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let civil = TimeZone::UTC.to_datetime(time);
    let weekday = usize::try_from(civil.weekday().to_sunday_zero_offset()).ok()?;
    let month = usize::try_from(civil.month() - 1).ok()?;
    let hour12 = (civil.hour() + 11) % 12 + 1;
    let week = |first: i16| (civil.day_of_year() + 6 - first) / 7;
    let from_sunday = i16::from(civil.weekday().to_sunday_zero_offset());
    let from_monday = i16::from(civil.weekday().to_monday_zero_offset());
    let again = |shape: &str| format(shape, time);
    Some(match letter {
        '%' => "%".into(),
        'n' => "\n".into(),
        't' => "\t".into(),
        'Y' => civil.year().to_string(),
        'C' => format!("{:02}", civil.year() / 100),
        'y' => format!("{:02}", civil.year() % 100),
        'm' => format!("{:02}", civil.month()),
        'd' => format!("{:02}", civil.day()),
        'e' => format!("{:2}", civil.day()),
        'H' => format!("{:02}", civil.hour()),
        'k' => format!("{:2}", civil.hour()),
        'I' => format!("{hour12:02}"),
        'l' => format!("{hour12:2}"),
        'M' => format!("{:02}", civil.minute()),
        'S' => format!("{:02}", civil.second()),
        'N' => {
            let nanoseconds = format!("{:09}", civil.subsec_nanosecond());
            let digits = width.parse().unwrap_or(9).clamp(1, 9);
            nanoseconds[..digits].to_owned()
        }
        's' => time.as_second().to_string(),
        'j' => format!("{:03}", civil.day_of_year()),
        'a' => DAYS[weekday][..3].into(),
        'A' => DAYS[weekday].into(),
        'b' | 'h' => MONTHS[month][..3].into(),
        'B' => MONTHS[month].into(),
        'p' => if civil.hour() < 12 { "AM" } else { "PM" }.into(),
        'P' => if civil.hour() < 12 { "am" } else { "pm" }.into(),
        'u' => civil.weekday().to_monday_one_offset().to_string(),
        'w' => civil.weekday().to_sunday_zero_offset().to_string(),
        'U' => format!("{:02}", week(from_sunday)),
        'W' => format!("{:02}", week(from_monday)),
        'V' => format!("{:02}", civil.date().iso_week_date().week()),
        'G' => civil.date().iso_week_date().year().to_string(),
        'g' => format!("{:02}", civil.date().iso_week_date().year() % 100),
        'q' => (month / 3 + 1).to_string(),
        'z' if flags.contains(':') => if flags.matches(':').count() > 1 { "+00:00:00" } else { "+00:00" }.into(),
        'z' => "+0000".into(),
        'Z' => "UTC".into(),
        'D' | 'x' => again("%m/%d/%y"),
        'T' | 'X' => again("%H:%M:%S"),
        'F' => again("%Y-%m-%d"),
        'R' => again("%H:%M"),
        'r' => again("%I:%M:%S %p"),
        'c' => again("%a %b %e %H:%M:%S %Y"),
        _ => return None,
    })
}

/// Reads what `touch -t` takes: `[[CC]YY]MMDDhhmm[.ss]`.
pub(crate) fn parse_compact(text: &str) -> Option<Timestamp> {
    let (digits, seconds) = text.split_once('.').unwrap_or((text, "0"));
    let number = |from: usize| digits.get(from..from + 2)?.parse::<i8>().ok();
    let (year, from) = match digits.len() {
        8 => (TimeZone::UTC.to_datetime(clock::now()).year(), 0),
        10 => {
            let short = i16::from(number(0)?);
            (short + if short < 69 { 2000 } else { 1900 }, 2)
        }
        12 => (digits.get(..4)?.parse().ok()?, 4),
        _ => return None,
    };
    let date = Date::new(year, number(from)?, number(from + 2)?).ok()?;
    let time = Time::new(number(from + 4)?, number(from + 6)?, seconds.parse().ok()?, 0).ok()?;
    stamp(date.to_datetime(time))
}

fn stamp(civil: DateTime) -> Option<Timestamp> {
    TimeZone::UTC.to_timestamp(civil).ok()
}

/// Reads a date as GNU does, as far as scripts go: `@seconds`, ISO dates and times with an offset, names of months and
/// days, `now`, `today`, `yesterday`, `tomorrow`, and `3 days ago`, `+2 weeks`, `next month`.
pub(crate) fn parse(text: &str, now: Timestamp) -> Option<Timestamp> {
    let text = text.trim();
    if let Some(seconds) = text.strip_prefix('@') {
        let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
        let nanoseconds: i32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
        return Timestamp::new(whole.parse().ok()?, nanoseconds).ok();
    }
    let mut reading = Reading {
        civil: TimeZone::UTC.to_datetime(now),
        span: Vec::new(),
        offset: 0,
        has_time: false,
        has_date: false,
        weekday: None,
    };
    let words = words(text);
    let mut at = 0;
    while at < words.len() {
        at += reading.take(&words[at..])?;
    }
    reading.finish()
}

/// Splits at blanks, commas, and at the `T` between a date and a time.
fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase().replace(',', " ");
    let mut words = Vec::new();
    for word in lower.split_whitespace() {
        let is_stamp = word.len() > 10 && word.as_bytes().get(10) == Some(&b't') && word.as_bytes()[4] == b'-';
        if is_stamp {
            words.push(word[..10].to_owned());
            words.push(word[11..].to_owned());
        } else {
            words.push(word.to_owned());
        }
    }
    words
}

struct Reading {
    civil: DateTime,
    span: Vec<Span>,
    /// Seconds to take away, for a time that is not of UTC.
    offset: i64,
    has_time: bool,
    has_date: bool,
    weekday: Option<(i8, i64)>,
}

impl Reading {
    /// Takes the next word or two, and returns how many.
    fn take(&mut self, words: &[String]) -> Option<usize> {
        let word = words[0].as_str();
        let next = words.get(1).map(String::as_str);
        match word {
            "now" | "at" | "of" | "and" | "today" | "utc" | "gmt" | "z" => return Some(1),
            "yesterday" => self.span.push((-1).days()),
            "tomorrow" => self.span.push(1.days()),
            "next" | "last" | "this" => return self.relative(word, next?).map(|()| 2),
            "ago" => {
                let last = self.span.pop()?;
                self.span.push(last.negate());
            }
            "am" | "pm" => self.half(word)?,
            _ => return self.other(words),
        }
        Some(1)
    }

    fn other(&mut self, words: &[String]) -> Option<usize> {
        let word = words[0].as_str();
        let next = words.get(1).map(String::as_str);
        if self.date(word).is_some() || self.clock(word).is_some() {
            return Some(1);
        }
        if let Some(weekday) = weekday(word) {
            self.weekday = Some((weekday, 0));
            return Some(1);
        }
        if let Some(month) = month(word) {
            let day = next?.parse().ok()?;
            self.set_date(self.civil.year(), month, day)?;
            return Some(2);
        }
        let digits = word.trim_start_matches(['+', '-']);
        if digits.len() == 4 && digits.len() < word.len() && self.has_time {
            self.offset = offset(word)?;
            return Some(1);
        }
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        let number: i64 = digits[..end].parse().ok()?;
        let number = if word.starts_with('-') { -number } else { number };
        if end < digits.len() {
            self.span.push(span(number, &digits[end..])?);
            return Some(1);
        }
        if let Some(span) = next.and_then(|unit| span(number, unit)) {
            self.span.push(span);
            return Some(2);
        }
        if let Some(month) = next.and_then(month) {
            self.set_date(self.civil.year(), month, i8::try_from(number).ok()?)?;
            return Some(2);
        }
        match digits.len() {
            8 => {
                let part = |from: usize, to: usize| digits[from..to].parse::<i16>().ok();
                self.set_date(part(0, 4)?, i8::try_from(part(4, 6)?).ok()?, i8::try_from(part(6, 8)?).ok()?)?;
            }
            4 if self.has_date => {
                let date = self.civil.date();
                self.set_date(i16::try_from(number).ok()?, date.month(), date.day())?;
            }
            _ => return None,
        }
        Some(1)
    }

    fn relative(&mut self, word: &str, unit: &str) -> Option<()> {
        let number = match word {
            "next" => 1,
            "last" => -1,
            _ => 0,
        };
        if let Some(weekday) = weekday(unit) {
            self.weekday = Some((weekday, number));
            return Some(());
        }
        self.span.push(span(number, unit)?);
        Some(())
    }

    fn set_date(&mut self, year: i16, month: i8, day: i8) -> Option<()> {
        let date = Date::new(year, month, day).ok()?;
        let time = if self.has_time { self.civil.time() } else { Time::midnight() };
        self.civil = date.to_datetime(time);
        self.has_date = true;
        Some(())
    }

    fn time(&mut self, hour: i8, minute: i8, second: i8, nanosecond: i32) -> Option<()> {
        let time = Time::new(hour, minute, second, nanosecond).ok()?;
        self.civil = self.civil.date().to_datetime(time);
        self.has_time = true;
        Some(())
    }

    fn half(&mut self, word: &str) -> Option<()> {
        let hour = self.civil.hour() % 12 + if word == "pm" { 12 } else { 0 };
        self.time(hour, self.civil.minute(), self.civil.second(), 0)
    }

    /// Reads `2024-01-31`, `2024/1/31` or `1/31/2024`.
    fn date(&mut self, word: &str) -> Option<()> {
        let separator = if word.contains('/') { '/' } else { '-' };
        let parts: Vec<&str> = word.split(separator).collect();
        let [first, second, third] = parts.as_slice() else { return None };
        if separator == '/' && first.len() <= 2 {
            let year: i16 = third.parse().ok()?;
            return self.set_date(
                if year < 69 { year + 2000 } else { year },
                first.parse().ok()?,
                second.parse().ok()?,
            );
        }
        if let Some(month) = month(second) {
            return self.set_date(third.parse().ok()?, month, first.parse().ok()?);
        }
        self.set_date(first.parse().ok().filter(|_| first.len() == 4)?, second.parse().ok()?, third.parse().ok()?)
    }

    /// Reads `10:30`, `10:30:15.5`, `10:30Z`, `10:30:00+02:00`, `10pm`.
    fn clock(&mut self, word: &str) -> Option<()> {
        if let Some(half) = word.strip_suffix("am").map(|_| "am").or(word.strip_suffix("pm").map(|_| "pm")) {
            let rest = &word[..word.len() - 2];
            let (hour, minute) = rest.split_once(':').unwrap_or((rest, "0"));
            self.time(hour.parse().ok()?, minute.parse().ok()?, 0, 0)?;
            return self.half(half);
        }
        let end = word.find(['z', '+', '-']).unwrap_or(word.len());
        let (clock, zone) = word.split_at(end);
        let parts: Vec<&str> = clock.split(':').collect();
        let (hour, minute, second) = match parts.as_slice() {
            [hour, minute] => (hour, minute, "0"),
            [hour, minute, second] => (hour, minute, *second),
            _ => return None,
        };
        let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
        let nanosecond: i32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
        self.offset = offset(zone)?;
        self.time(hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?, nanosecond)
    }

    fn finish(mut self) -> Option<Timestamp> {
        if let Some((weekday, number)) = self.weekday {
            let today = i64::from(self.civil.weekday().to_sunday_zero_offset());
            let ahead = (i64::from(weekday) - today).rem_euclid(7);
            let days = match number {
                1 if ahead == 0 => 7,
                -1 if ahead == 0 => -7,
                -1 => ahead - 7,
                _ => ahead,
            };
            if !self.has_time {
                self.civil = self.civil.date().to_datetime(Time::midnight());
            }
            self.civil = self.civil.checked_add(days.days()).ok()?;
        }
        for span in self.span {
            self.civil = moved(self.civil, span)?;
        }
        stamp(self.civil)?.checked_sub(self.offset.seconds()).ok()
    }
}

/// Returns a time so much later. A day that a month does not have is one of the next month, as in C's `mktime`.
fn moved(civil: DateTime, span: Span) -> Option<DateTime> {
    if span.get_years() == 0 && span.get_months() == 0 {
        return civil.checked_add(span).ok();
    }
    let first = Date::new(civil.year(), civil.month(), 1).ok()?.to_datetime(civil.time());
    first.checked_add(span).ok()?.checked_add((i64::from(civil.day()) - 1).days()).ok()
}

/// Returns the seconds of an offset such as `z`, `+02:00` or `-0530`.
fn offset(zone: &str) -> Option<i64> {
    if zone.is_empty() || zone == "z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let digits = zone[1..].replace(':', "");
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 = digits.get(2..4).map_or(Ok(0), str::parse).ok()?;
    Some(sign * (hours * 3600 + minutes * 60))
}

fn span(number: i64, unit: &str) -> Option<Span> {
    /// Longer spans than these lead out of every calendar.
    const MAX_NUMBER: i64 = 100_000_000;
    if number.abs() > MAX_NUMBER {
        return None;
    }
    let span = Span::new();
    match unit.trim_end_matches('s') {
        "sec" | "second" => span.try_seconds(number),
        "min" | "minute" => span.try_minutes(number),
        "hour" => span.try_hours(number),
        "day" => span.try_days(number),
        "week" => span.try_weeks(number),
        "fortnight" => span.try_weeks(number * 2),
        "month" => span.try_months(number),
        "year" => span.try_years(number),
        _ => return None,
    }
    .ok()
}

fn weekday(word: &str) -> Option<i8> {
    const NAMES: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
    let at = NAMES.iter().position(|name| word.len() >= 3 && name.starts_with(word))?;
    i8::try_from(at).ok()
}

fn month(word: &str) -> Option<i8> {
    const NAMES: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let at = NAMES.iter().position(|name| word.len() >= 3 && name.starts_with(word))?;
    i8::try_from(at + 1).ok()
}
