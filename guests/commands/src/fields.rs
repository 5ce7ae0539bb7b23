//! Parts of lines: `cut`, `paste`, `join`, `comm`, `tr`, `column`.

use std::cmp::Ordering;
use std::io::{BufRead, Write};

use crate::Invocation;
use crate::input;
use crate::options::{Options, Spec};
use crate::report::{Outcome, Stop};

/// Numbers from 1 that a list such as `1,3-5,7-` names, as ranges with both ends.
struct Ranges(Vec<(usize, usize)>);

impl Ranges {
    fn parse(list: &str) -> Option<Self> {
        let ranges: Option<Vec<_>> = list.split([',', ' ']).map(Self::range).collect();
        ranges.map(Self)
    }

    fn range(part: &str) -> Option<(usize, usize)> {
        let number = |text: &str| text.parse::<usize>().ok().filter(|number| *number > 0);
        match part.split_once('-') {
            None => number(part).map(|number| (number, number)),
            Some(("", "")) => None,
            Some(("", to)) => Some((1, number(to)?)),
            Some((from, "")) => Some((number(from)?, usize::MAX)),
            Some((from, to)) => Some((number(from)?, number(to)?)).filter(|(from, to)| from <= to),
        }
    }

    fn has(&self, number: usize) -> bool {
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&number))
    }
}

const CUT: Spec = Spec::new(
    "b/bytes= c/characters= f/fields= d/delimiter= s/only-delimited output-delimiter= complement z/zero-terminated n",
);

pub(crate) fn cut(invocation: &mut Invocation<'_>) -> Outcome {
    let options = CUT.parse(invocation.args)?;
    let wrong = |text: &str| CUT.wrong("cut", text);
    let lists: Vec<_> = options.found.iter().filter(|found| matches!(found.name, "b" | "c" | "f")).collect();
    let [list] = lists.as_slice() else {
        let many = !lists.is_empty();
        let text = if many {
            "only one list may be specified"
        } else {
            "you must specify a list of bytes, characters, or fields"
        };
        return Err(wrong(text));
    };
    let by_fields = list.name == "f";
    if !by_fields && (options.has("d") || options.has("s")) {
        return Err(wrong("an input delimiter may be specified only when operating on fields"));
    }
    let delimiter = options.value("d").unwrap_or("\t").as_bytes();
    let delimiter = match delimiter {
        [] => 0,
        [byte] => *byte,
        _ => return Err(wrong("the delimiter must be a single character")),
    };
    let ranges = Ranges::parse(list.text()).ok_or_else(|| wrong(&format!("invalid field value '{}'", list.text())))?;
    let cutting = Cutting {
        ranges,
        complement: options.has("complement"),
        delimiter,
        joined: options.value("output-delimiter").map(|text| text.as_bytes().to_vec()),
        only_delimited: options.has("s"),
    };
    let end = if options.has("z") { 0 } else { b'\n' };
    input::each(invocation, &options.inputs(), |_, reader, writer| {
        let mut line = Vec::new();
        while input::bare_record(reader, end, &mut line)? {
            let kept = if by_fields { cutting.fields(&line) } else { Some(cutting.bytes(&line)) };
            if let Some(mut kept) = kept {
                kept.push(end);
                writer.write_all(&kept)?;
            }
        }
        Ok(())
    })
}

struct Cutting {
    ranges: Ranges,
    complement: bool,
    delimiter: u8,
    joined: Option<Vec<u8>>,
    only_delimited: bool,
}

impl Cutting {
    fn keeps(&self, number: usize) -> bool {
        self.ranges.has(number) != self.complement
    }

    fn fields(&self, line: &[u8]) -> Option<Vec<u8>> {
        if !line.contains(&self.delimiter) {
            return (!self.only_delimited).then(|| line.to_vec());
        }
        let fields = line.split(|byte| *byte == self.delimiter).enumerate();
        let kept: Vec<&[u8]> = fields.filter(|(index, _)| self.keeps(index + 1)).map(|(_, field)| field).collect();
        let between = self.joined.as_deref().unwrap_or(std::slice::from_ref(&self.delimiter));
        Some(kept.join(between))
    }

    fn bytes(&self, line: &[u8]) -> Vec<u8> {
        let mut kept = Vec::new();
        let mut before = None;
        for (index, byte) in line.iter().enumerate().filter(|(index, _)| self.keeps(index + 1)) {
            // What is joined are ranges, and not bytes that stand beside each other in one.
            let gap = before.is_some_and(|last| last + 1 != index || self.begins_range(index + 1));
            if let Some(joined) = self.joined.as_ref().filter(|_| gap) {
                kept.extend(joined);
            }
            kept.push(*byte);
            before = Some(index);
        }
        kept
    }

    fn begins_range(&self, number: usize) -> bool {
        let within = |(from, to): &(usize, usize)| *from < number && number <= *to;
        !self.complement && self.ranges.0.iter().any(|(from, _)| *from == number) && !self.ranges.0.iter().any(within)
    }
}

const PASTE: Spec = Spec::new("d/delimiters= s/serial z/zero-terminated");

pub(crate) fn paste(invocation: &mut Invocation<'_>) -> Outcome {
    let options = PASTE.parse(invocation.args)?;
    let delimiters = delimiters(options.value("d").unwrap_or("\t"));
    let end = if options.has("z") { 0 } else { b'\n' };
    if options.has("s") {
        return input::each(invocation, &options.inputs(), |_, reader, writer| {
            serial(reader, writer, &delimiters, end)
        });
    }
    let mut readers = Vec::new();
    let mut from_stdin = Vec::new();
    for operand in options.inputs() {
        if operand == "-" {
            from_stdin.push(readers.len());
            readers.push(None);
        } else {
            let opened = input::open(invocation.cwd, &mut std::io::empty(), operand).map(|_| ());
            opened.map_err(|error| Stop::at(operand, &error))?;
            let file = input::file(&invocation.path(operand)).map_err(|error| Stop::at(operand, &error))?;
            readers.push(Some(file));
        }
    }
    let mut line = Vec::new();
    loop {
        let mut row = Vec::new();
        let mut any = false;
        for (index, reader) in readers.iter_mut().enumerate() {
            let more = match reader {
                Some(file) => input::bare_record(file, end, &mut line)?,
                None => input::bare_record(invocation.stdin, end, &mut line)?,
            };
            any |= more;
            if index > 0 {
                row.extend(&delimiters[(index - 1) % delimiters.len()]);
            }
            row.extend(&line);
        }
        if !any {
            return Ok(0);
        }
        row.push(end);
        invocation.stdout.write_all(&row)?;
    }
}

/// Returns the delimiters of a list: `\0` is none at all.
fn delimiters(list: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut characters = list.chars();
    while let Some(character) = characters.next() {
        let meant = match (character, character == '\\') {
            (_, true) => match characters.next() {
                Some('n') => "\n".to_owned(),
                Some('t') => "\t".to_owned(),
                Some('0') => String::new(),
                Some(other) => other.to_string(),
                None => "\\".to_owned(),
            },
            (other, _) => other.to_string(),
        };
        found.push(meant.into_bytes());
    }
    if found.is_empty() {
        found.push(Vec::new());
    }
    found
}

fn serial(reader: &mut dyn BufRead, writer: &mut dyn Write, delimiters: &[Vec<u8>], end: u8) -> Result<(), Stop> {
    let mut line = Vec::new();
    let mut index = 0;
    while input::bare_record(reader, end, &mut line)? {
        if index > 0 {
            writer.write_all(&delimiters[(index - 1) % delimiters.len()])?;
        }
        writer.write_all(&line)?;
        index += 1;
    }
    writer.write_all(&[end])?;
    Ok(())
}

/// Two sorted inputs, line by line.
struct Pair<'a> {
    left: Box<dyn BufRead + 'a>,
    right: Box<dyn BufRead + 'a>,
}

fn pair<'a>(cwd: &std::path::Path, stdin: &'a mut dyn BufRead, names: (&str, &str)) -> Result<Pair<'a>, Stop> {
    let open_file = |name: &str| -> Result<Box<dyn BufRead>, Stop> {
        if name == "/dev/null" {
            return Ok(Box::new(std::io::empty()));
        }
        Ok(Box::new(input::file(&cwd.join(name)).map_err(|error| Stop::at(name, &error))?))
    };
    Ok(match names {
        ("-", right) => Pair { left: Box::new(stdin), right: open_file(right)? },
        (left, "-") => Pair { left: open_file(left)?, right: Box::new(stdin) },
        (left, right) => Pair { left: open_file(left)?, right: open_file(right)? },
    })
}

fn next(reader: &mut dyn BufRead) -> Result<Option<Vec<u8>>, Stop> {
    let mut line = Vec::new();
    Ok(input::bare_record(reader, b'\n', &mut line)?.then_some(line))
}

const COMM: Spec = Spec::new("1 2 3 check-order nocheck-order output-delimiter= total z/zero-terminated");

pub(crate) fn comm(invocation: &mut Invocation<'_>) -> Outcome {
    let options = COMM.parse(invocation.args)?;
    let [left, right] = options.operands.as_slice() else {
        return Err(two_operands(&COMM, "comm", &options));
    };
    let mut pair = pair(invocation.cwd, invocation.stdin, (left, right))?;
    let between = options.value("output-delimiter").unwrap_or("\t");
    let shown = ["1", "2", "3"].map(|column| !options.has(column));
    let indent = |column: usize| between.repeat(shown[..column].iter().filter(|shown| **shown).count());
    let indents = [indent(0), indent(1), indent(2)];
    let (mut one, mut two) = (next(&mut *pair.left)?, next(&mut *pair.right)?);
    let mut totals = [0_u64; 3];
    loop {
        let order = match (&one, &two) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(one), Some(two)) => one.cmp(two),
        };
        let column = match order {
            Ordering::Less => 0,
            Ordering::Greater => 1,
            Ordering::Equal => 2,
        };
        totals[column] += 1;
        let line = if column == 1 { &two } else { &one };
        if let Some(line) = line.as_ref().filter(|_| shown[column]) {
            let row = [indents[column].as_bytes(), line, b"\n"].concat();
            invocation.stdout.write_all(&row)?;
        }
        if order.is_le() {
            one = next(&mut *pair.left)?;
        }
        if order.is_ge() {
            two = next(&mut *pair.right)?;
        }
    }
    if options.has("total") {
        let [one, two, both] = totals;
        writeln!(invocation.stdout, "{one}{between}{two}{between}{both}{between}total")?;
    }
    Ok(0)
}

fn two_operands(spec: &Spec, name: &str, options: &Options<'_>) -> Stop {
    match options.operands.as_slice() {
        [] => spec.wrong(name, "missing operand"),
        [only] => spec.wrong(name, &format!("missing operand after '{only}'")),
        [.., extra] => spec.wrong(name, &format!("extra operand '{extra}'")),
    }
}

const JOIN: Spec =
    Spec::new("1= 2= j= t= a= v= e= o= i/ignore-case check-order nocheck-order header z/zero-terminated");

pub(crate) fn join(invocation: &mut Invocation<'_>) -> Outcome {
    let options = JOIN.parse(invocation.args)?;
    let [left, right] = options.operands.as_slice() else {
        return Err(two_operands(&JOIN, "join", &options));
    };
    let joining = Joining::new(&options)?;
    let mut pair = pair(invocation.cwd, invocation.stdin, (left, right))?;
    joining.all(&mut pair, invocation.stdout, options.has("header"))?;
    Ok(0)
}

struct Joining {
    fields: [usize; 2],
    separator: Option<u8>,
    unpaired: [bool; 2],
    paired: bool,
    empty: Vec<u8>,
    output: Option<Vec<(usize, usize)>>,
    ignore_case: bool,
}

type Row = Vec<Vec<u8>>;

impl Joining {
    fn new(options: &Options<'_>) -> Result<Self, Stop> {
        let number = |text: &str| {
            let number = text.parse::<usize>().ok().filter(|number| *number > 0);
            number.ok_or_else(|| Stop::failed(format!("invalid field number: '{text}'")))
        };
        let field = |name: &str| options.value(name).or(options.value("j")).map_or(Ok(1), number);
        let mut unpaired = [false; 2];
        for found in options.found.iter().filter(|found| matches!(found.name, "a" | "v")) {
            let side = number(found.text())?;
            *unpaired.get_mut(side - 1).ok_or_else(|| Stop::failed("invalid file number"))? = true;
        }
        Ok(Self {
            fields: [field("1")?, field("2")?],
            separator: options
                .value("t")
                .map(|text| if text == "\\0" { 0 } else { *text.as_bytes().first().unwrap_or(&b'\n') }),
            unpaired,
            paired: !options.has("v"),
            empty: options.value("e").unwrap_or_default().as_bytes().to_vec(),
            output: options.value("o").filter(|list| *list != "auto").map(Self::output_list).transpose()?,
            ignore_case: options.has("i"),
        })
    }

    /// Reads `0,1.2,2.3`: side and field; the key is of side zero.
    fn output_list(list: &str) -> Result<Vec<(usize, usize)>, Stop> {
        let one = |part: &str| match part.split_once('.') {
            None if part == "0" => Some((0, 0)),
            Some((side, field)) => Some((side.parse().ok().filter(|side| matches!(side, 1 | 2))?, field.parse().ok()?)),
            None => None,
        };
        let wrong = |part: &str| Stop::failed(format!("invalid field specifier: '{part}'"));
        list.split([',', ' ']).map(|part| one(part).ok_or_else(|| wrong(part))).collect()
    }

    fn split(&self, line: &[u8]) -> Row {
        if let Some(separator) = self.separator {
            line.split(|byte| *byte == separator).map(<[u8]>::to_vec).collect()
        } else {
            let parts = line.split(|byte| matches!(byte, b' ' | b'\t'));
            parts.filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect()
        }
    }

    fn row(&self, reader: &mut dyn BufRead) -> Result<Option<Row>, Stop> {
        Ok(next(reader)?.map(|line| self.split(&line)))
    }

    fn key<'r>(&self, row: &'r Row, side: usize) -> &'r [u8] {
        row.get(self.fields[side] - 1).map_or(&[], Vec::as_slice)
    }

    fn order(&self, left: &[u8], right: &[u8]) -> Ordering {
        if self.ignore_case { left.to_ascii_lowercase().cmp(&right.to_ascii_lowercase()) } else { left.cmp(right) }
    }

    fn all(&self, pair: &mut Pair<'_>, writer: &mut dyn Write, header: bool) -> Result<(), Stop> {
        if header && let (Some(left), Some(right)) = (self.row(&mut *pair.left)?, self.row(&mut *pair.right)?) {
            self.write(Some(&left), Some(&right), writer)?;
        }
        let mut lefts = self.row(&mut *pair.left)?;
        let mut rights = self.row(&mut *pair.right)?;
        loop {
            let order = match (&lefts, &rights) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(left), Some(right)) => self.order(self.key(left, 0), self.key(right, 1)),
            };
            match order {
                Ordering::Less => {
                    self.alone(0, lefts.as_ref(), writer)?;
                    lefts = self.row(&mut *pair.left)?;
                }
                Ordering::Greater => {
                    self.alone(1, rights.as_ref(), writer)?;
                    rights = self.row(&mut *pair.right)?;
                }
                Ordering::Equal => {
                    let (left_group, left_next) = self.group(0, lefts.take(), &mut *pair.left)?;
                    let (right_group, right_next) = self.group(1, rights.take(), &mut *pair.right)?;
                    self.products(&left_group, &right_group, writer)?;
                    (lefts, rights) = (left_next, right_next);
                }
            }
        }
    }

    fn alone(&self, side: usize, row: Option<&Row>, writer: &mut dyn Write) -> Result<(), Stop> {
        if !self.unpaired[side] {
            return Ok(());
        }
        if side == 0 { self.write(row, None, writer) } else { self.write(None, row, writer) }
    }

    fn products(&self, lefts: &[Row], rights: &[Row], writer: &mut dyn Write) -> Result<(), Stop> {
        if !self.paired {
            return Ok(());
        }
        for left in lefts {
            for right in rights {
                self.write(Some(left), Some(right), writer)?;
            }
        }
        Ok(())
    }

    /// Returns the rows that share the first one's key, and the one after them.
    fn group(
        &self,
        side: usize,
        first: Option<Row>,
        reader: &mut dyn BufRead,
    ) -> Result<(Vec<Row>, Option<Row>), Stop> {
        let mut rows: Vec<Row> = first.into_iter().collect();
        loop {
            let row = self.row(reader)?;
            match row {
                Some(row)
                    if rows
                        .first()
                        .is_some_and(|first| self.order(self.key(first, side), self.key(&row, side)).is_eq()) =>
                {
                    rows.push(row);
                }
                other => return Ok((rows, other)),
            }
        }
    }

    fn write(&self, left: Option<&Row>, right: Option<&Row>, writer: &mut dyn Write) -> Result<(), Stop> {
        let sides = [left, right];
        let key = left.map(|row| self.key(row, 0)).or(right.map(|row| self.key(row, 1))).unwrap_or_default();
        let mut fields: Vec<&[u8]> = Vec::new();
        if let Some(list) = &self.output {
            for (side, field) in list {
                fields.push(match side {
                    0 => key,
                    side => sides[side - 1].and_then(|row| row.get(field - 1)).map_or(&[], Vec::as_slice),
                });
            }
        } else {
            fields.push(key);
            for (side, row) in sides.iter().enumerate() {
                let others = row.iter().flat_map(|row| row.iter()).enumerate();
                fields.extend(
                    others.filter(|(index, _)| index + 1 != self.fields[side]).map(|(_, field)| field.as_slice()),
                );
            }
        }
        let fields: Vec<&[u8]> =
            fields.into_iter().map(|field| if field.is_empty() { &self.empty } else { field }).collect();
        let mut line = fields.join(&self.separator.unwrap_or(b' '));
        line.push(b'\n');
        writer.write_all(&line)?;
        Ok(())
    }
}
