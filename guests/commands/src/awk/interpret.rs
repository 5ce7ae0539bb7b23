//! Programs, run.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::rc::Rc;

use crate::Invocation;
use crate::escape::{self, Octal};
use crate::input::Chain;
use crate::pattern::Pattern;
use crate::report::{Outcome, Stop, reason, say};

use super::FAILED;
use super::parse;
use super::records::{self, FieldEnd, RecordEnd, Rest};
use super::streams::Streams;
use super::syntax::{
    ARGC, ARGV, Arithmetic, CONVFMT, Comparison, ENVIRON, Expression, FILENAME, FNR, FS, NF, NR, Name, OFMT, OFS, ORS,
    Program, RLENGTH, RS, RSTART, RedirectionKind, RulePattern, SUBSEP, Source, Statement,
};
use super::value::{Array, Cell, Value};

/// Calls within calls: the sandbox's stack ends soon after.
const MAX_CALLS: usize = 64;
/// No record has more fields.
const MAX_FIELDS: usize = 1 << 20;

/// How a statement ends.
pub(super) enum Flow {
    GoOn,
    Break,
    Continue,
    Next,
    NextFile,
    Exit,
    Return(Value),
}

pub(super) struct Machine<'m> {
    program: &'m Program,
    pub(super) streams: Streams<'m>,
    chain: Chain<'m>,
    args: &'m [String],
    globals: Vec<Cell>,
    frames: Vec<Vec<Cell>>,
    pub(super) record: Rc<[u8]>,
    fields: Vec<Value>,
    split: bool,
    field_end: FieldEnd,
    record_end: RecordEnd,
    rest: Rest,
    next_operand: usize,
    reading: bool,
    finished: bool,
    ranges: Vec<bool>,
    patterns: HashMap<Rc<[u8]>, Pattern>,
    pub(super) random: crate::numbers::Random,
    pub(super) seed: f64,
    code: i32,
    failed: bool,
}

impl<'m> Machine<'m> {
    pub(super) fn new(invocation: &'m mut Invocation<'_>, program: &'m Program, operands: &[String]) -> Self {
        let streams = Streams::new(
            invocation.cwd,
            invocation.env,
            &mut *invocation.stdout,
            &mut *invocation.stderr,
            &mut *invocation.runner,
        );
        let mut machine = Self {
            program,
            streams,
            chain: Chain::new(invocation.cwd, &mut *invocation.stdin, []),
            args: invocation.args,
            globals: vec![Cell::default(); program.globals.len()],
            frames: Vec::new(),
            record: Rc::from(&b""[..]),
            fields: Vec::new(),
            split: true,
            field_end: FieldEnd::Blanks,
            record_end: RecordEnd::Byte(b'\n'),
            rest: Rest::default(),
            next_operand: 1,
            reading: false,
            finished: false,
            ranges: vec![false; program.rules.len()],
            patterns: HashMap::new(),
            random: crate::numbers::Random::default(),
            seed: 0.0,
            code: 0,
            failed: false,
        };
        machine.prepare(invocation.env, operands);
        machine
    }

    fn prepare(&mut self, env: &std::collections::BTreeMap<String, String>, operands: &[String]) {
        let texts = [
            (FS, " "),
            (OFS, " "),
            (ORS, "\n"),
            (RS, "\n"),
            (SUBSEP, "\u{1c}"),
            (CONVFMT, "%.6g"),
            (OFMT, "%.6g"),
            (FILENAME, ""),
        ];
        for (index, text) in texts {
            self.globals[index] = Cell::Scalar(Value::text(text.as_bytes()));
        }
        for index in [NF, NR, FNR, RSTART] {
            self.globals[index] = Cell::Scalar(Value::Number(0.0));
        }
        self.globals[RLENGTH] = Cell::Scalar(Value::Number(-1.0));
        let outside = |text: &String| Value::outside(text.as_bytes());
        let environment = env.iter().map(|(name, text)| (name.as_bytes().to_vec(), outside(text)));
        self.globals[ENVIRON] = Cell::Array(Rc::new(environment.collect::<HashMap<_, _>>().into()));
        let mut arguments = HashMap::from([(b"0".to_vec(), Value::text(&b"awk"[..]))]);
        let count = operands.len() + 1;
        arguments
            .extend(operands.iter().enumerate().map(|(at, text)| ((at + 1).to_string().into_bytes(), outside(text))));
        self.globals[ARGV] = Cell::Array(Rc::new(arguments.into()));
        self.globals[ARGC] = Cell::Scalar(Value::Number(count_number(count)));
    }

    /// Assigns text from outside to a global variable.
    pub(super) fn assign_text(&mut self, index: usize, text: Vec<u8>) -> Result<(), Stop> {
        if index >= self.globals.len() {
            self.globals.resize(index + 1, Cell::default());
        }
        self.set(Name::Global(index), Value::outside(text))
    }

    pub(super) fn run(&mut self) -> Outcome {
        let done = self.everything();
        self.streams.close_all();
        done?;
        self.streams.stdout.flush()?;
        Ok(if self.code == 0 && self.failed { FAILED } else { self.code })
    }

    fn everything(&mut self) -> Result<(), Stop> {
        let program = self.program;
        for body in &program.begin {
            if let Flow::Exit = left(self.block(body))? {
                // As in mawk and gawk, BEGIN that exits still runs END, but reads nothing.
                self.finished = true;
                return self.ending();
            }
        }
        if !program.rules.is_empty() || !program.end.is_empty() {
            // An `exit` deep in a function ends the reading too.
            left(self.records().map(|()| Flow::GoOn))?;
        }
        self.ending()
    }

    fn ending(&mut self) -> Result<(), Stop> {
        let program = self.program;
        for body in &program.end {
            if let Flow::Exit = left(self.block(body))? {
                break;
            }
        }
        Ok(())
    }

    fn records(&mut self) -> Result<(), Stop> {
        let program = self.program;
        while let Some(record) = self.next_record()? {
            self.set_record(record);
            for (index, rule) in program.rules.iter().enumerate() {
                if !self.selects(index, &rule.pattern)? {
                    continue;
                }
                let flow = if let Some(body) = &rule.body {
                    self.block(body)?
                } else {
                    self.print_record()?;
                    Flow::GoOn
                };
                match flow {
                    Flow::Next => break,
                    Flow::NextFile => {
                        self.reading = false;
                        break;
                    }
                    Flow::Exit => return Ok(()),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn print_record(&mut self) -> Result<(), Stop> {
        let line = [&self.record[..], &self.global_text(ORS)].concat();
        self.streams.stdout.write_all(&line)?;
        Ok(())
    }

    fn selects(&mut self, index: usize, pattern: &RulePattern) -> Result<bool, Stop> {
        match pattern {
            RulePattern::Always => Ok(true),
            RulePattern::When(condition) => self.truth(condition),
            RulePattern::Range(from, to) => {
                if !self.ranges[index] && !self.truth(from)? {
                    return Ok(false);
                }
                self.ranges[index] = !self.truth(to)?;
                Ok(true)
            }
        }
    }

    /// Returns the next record of the main input.
    fn next_record(&mut self) -> Result<Option<Vec<u8>>, Stop> {
        loop {
            if !self.reading && !self.next_input()? {
                return Ok(None);
            }
            let read = match self.chain.reader() {
                Some(reader) => records::read(reader, &self.record_end, &mut self.rest),
                None => Ok(None),
            };
            match read {
                Ok(Some(record)) => {
                    for counter in [NR, FNR] {
                        let count = self.global(counter).number() + 1.0;
                        self.globals[counter] = Cell::Scalar(Value::Number(count));
                    }
                    return Ok(Some(record));
                }
                Ok(None) => self.reading = false,
                Err(Stop::Read(error)) => {
                    let name = String::from_utf8_lossy(&self.global_text(FILENAME)).into_owned();
                    self.complain(&format!("read failure ({name}: {})", reason(&error)));
                    self.reading = false;
                }
                Err(other) => return Err(other),
            }
        }
    }

    fn complain(&mut self, text: &str) {
        say(self.streams.stderr, self.args, text);
        self.failed = true;
    }

    /// Opens the next input that an operand names; without operands that is standard input.
    fn next_input(&mut self) -> Result<bool, Stop> {
        loop {
            let count = self.global(ARGC).number();
            if count_number(self.next_operand) >= count {
                let first = !std::mem::replace(&mut self.finished, true);
                return if first { self.open("-", b"") } else { Ok(false) };
            }
            let key = self.next_operand.to_string().into_bytes();
            self.next_operand += 1;
            let operand = self.array(Name::Global(ARGV))?.borrow().get(&key).cloned().unwrap_or_default();
            let operand = operand.bytes(b"%.6g");
            if operand.is_empty() {
                continue;
            }
            let text = String::from_utf8_lossy(&operand).into_owned();
            if let Some((name, value)) = assignment(&text) {
                let (value, _) = escape::expand(value.as_bytes(), Octal::Plain);
                if let Some(index) = self.program.globals.get(name) {
                    self.assign_text(*index, value)?;
                }
                continue;
            }
            if self.open(&text, &operand)? {
                self.finished = true;
                return Ok(true);
            }
        }
    }

    fn open(&mut self, operand: &str, name: &[u8]) -> Result<bool, Stop> {
        if let Err(error) = self.chain.open(operand) {
            self.finished = true;
            let text = format!("cannot open \"{operand}\" ({})", reason(&error));
            self.complain(&text);
            return Ok(false);
        }
        self.rest = Rest::default();
        self.reading = true;
        self.globals[FNR] = Cell::Scalar(Value::Number(0.0));
        self.set(Name::Global(FILENAME), Value::text(name))?;
        Ok(true)
    }

    pub(super) fn set_record(&mut self, record: Vec<u8>) {
        self.record = record.into();
        self.split = false;
    }

    /// Splits the record, when somebody asks for its fields.
    fn fields(&mut self) -> &mut Vec<Value> {
        if !self.split {
            self.split = true;
            let paragraph = matches!(self.record_end, RecordEnd::Paragraph);
            let parts = self.field_end.split(&self.record, paragraph);
            self.fields = parts.into_iter().map(Value::outside).collect();
            self.globals[NF] = Cell::Scalar(Value::Number(count_number(self.fields.len())));
        }
        &mut self.fields
    }

    fn field(&mut self, index: usize) -> Value {
        match index.checked_sub(1) {
            None => Value::outside(self.record.clone()),
            Some(index) => self.fields().get(index).cloned().unwrap_or_default(),
        }
    }

    fn set_field(&mut self, index: usize, value: Value) -> Result<(), Stop> {
        let Some(at) = index.checked_sub(1) else {
            let record = self.text_of(&value).to_vec();
            self.set_record(record);
            return Ok(());
        };
        if index > MAX_FIELDS {
            return Err(Stop::code(FAILED, format!("field index {index} is too large")));
        }
        let text = match value {
            Value::Number(_) => Value::outside(self.text_of(&value)),
            other => other,
        };
        let fields = self.fields();
        if fields.len() < index {
            fields.resize(index, Value::Unset);
        }
        fields[at] = text;
        self.join();
        Ok(())
    }

    /// Makes the record of its fields.
    fn join(&mut self) {
        let separator = self.global_text(OFS);
        let format = self.global_text(CONVFMT);
        let parts: Vec<Rc<[u8]>> = self.fields.iter().map(|field| field.bytes(&format)).collect();
        let parts: Vec<&[u8]> = parts.iter().map(|part| &part[..]).collect();
        self.record = parts.join(&separator[..]).into();
        self.globals[NF] = Cell::Scalar(Value::Number(count_number(self.fields.len())));
    }

    fn set_field_count(&mut self, count: f64) -> Result<(), Stop> {
        let count = index_number(count)?;
        if count > MAX_FIELDS {
            return Err(Stop::code(FAILED, "NF is set to a value that is too large"));
        }
        self.fields().resize(count, Value::Unset);
        self.join();
        Ok(())
    }

    fn cell(&mut self, name: Name) -> &mut Cell {
        match name {
            Name::Global(index) => {
                if index >= self.globals.len() {
                    self.globals.resize(index + 1, Cell::default());
                }
                &mut self.globals[index]
            }
            Name::Local(index) => &mut self.frames.last_mut().expect("locals are named in functions only")[index],
        }
    }

    fn global(&self, index: usize) -> Value {
        match &self.globals[index] {
            Cell::Scalar(value) => value.clone(),
            _ => Value::Unset,
        }
    }

    pub(super) fn global_text(&self, index: usize) -> Rc<[u8]> {
        self.global(index).bytes(b"%.6g")
    }

    fn get(&mut self, name: Name) -> Result<Value, Stop> {
        if name == Name::Global(NF) {
            self.fields();
        }
        match self.cell(name) {
            Cell::Scalar(value) => Ok(value.clone()),
            Cell::Unset(_) => Ok(Value::Unset),
            Cell::Array(_) => Err(Stop::code(FAILED, "attempt to use an array in a scalar context")),
        }
    }

    pub(super) fn set(&mut self, name: Name, value: Value) -> Result<(), Stop> {
        if let Cell::Array(_) = self.cell(name) {
            return Err(Stop::code(FAILED, "attempt to use an array in a scalar context"));
        }
        match name {
            Name::Global(NF) => return self.set_field_count(value.number()),
            Name::Global(FS) => {
                // The current record is still split the old way.
                self.fields();
                self.field_end = FieldEnd::of(&self.text_of(&value))?;
            }
            Name::Global(RS) => self.record_end = RecordEnd::of(&self.text_of(&value))?,
            _ => {}
        }
        *self.cell(name) = Cell::Scalar(value);
        Ok(())
    }

    pub(super) fn array(&mut self, name: Name) -> Result<Array, Stop> {
        let cell = self.cell(name);
        let array = match cell {
            Cell::Array(array) => return Ok(array.clone()),
            Cell::Unset(array) => array.clone(),
            Cell::Scalar(_) => return Err(Stop::code(FAILED, "attempt to use a scalar as an array")),
        };
        *cell = Cell::Array(array.clone());
        Ok(array)
    }

    /// Returns how many elements an array has; none where the variable is no array.
    pub(super) fn array_length(&mut self, name: Name) -> Option<usize> {
        match self.cell(name) {
            Cell::Array(array) | Cell::Unset(array) => Some(array.borrow().len()),
            Cell::Scalar(_) => None,
        }
    }

    pub(super) fn text_of(&self, value: &Value) -> Rc<[u8]> {
        value.bytes(&self.global_text(CONVFMT))
    }

    fn subscript(&mut self, list: &[Expression]) -> Result<Vec<u8>, Stop> {
        let mut key = Vec::new();
        for (index, part) in list.iter().enumerate() {
            if index > 0 {
                key.extend(&*self.global_text(SUBSEP));
            }
            key.extend(&*self.text(part)?);
        }
        Ok(key)
    }

    fn block(&mut self, statements: &[Statement]) -> Result<Flow, Stop> {
        for statement in statements {
            match self.statement(statement)? {
                Flow::GoOn => {}
                flow => return Ok(flow),
            }
        }
        Ok(Flow::GoOn)
    }

    fn statement(&mut self, statement: &Statement) -> Result<Flow, Stop> {
        match statement {
            Statement::Block(statements) => return self.block(statements),
            Statement::Do(expression) => drop(self.value(expression)?),
            Statement::Print(list, to) => {
                let line = self.line(list)?;
                self.output(&line, to.as_ref())?;
            }
            Statement::Printf(list, to) => {
                let text = self.formatted(list)?;
                self.output(&text, to.as_ref())?;
            }
            Statement::If(condition, yes, no) => {
                if self.truth(condition)? {
                    return self.statement(yes);
                }
                if let Some(no) = no {
                    return self.statement(no);
                }
            }
            Statement::While(condition, body) => return self.while_loop(Some(condition), None, body),
            Statement::DoWhile(body, condition) => {
                match self.statement(body)? {
                    Flow::GoOn | Flow::Continue => {}
                    Flow::Break => return Ok(Flow::GoOn),
                    flow => return Ok(flow),
                }
                return self.while_loop(Some(condition), None, body);
            }
            Statement::For(first, condition, step, body) => {
                if let Some(first) = first {
                    self.statement(first)?;
                }
                return self.while_loop(condition.as_ref(), step.as_deref(), body);
            }
            Statement::ForIn(variable, array, body) => return self.for_in(*variable, *array, body),
            Statement::Next => return Ok(Flow::Next),
            Statement::NextFile => return Ok(Flow::NextFile),
            Statement::Break => return Ok(Flow::Break),
            Statement::Continue => return Ok(Flow::Continue),
            Statement::Exit(code) => {
                if let Some(code) = code {
                    let code = self.number(code)?;
                    self.code = i32::try_from(crate::format::truncated(code) & 0xFF).unwrap_or(FAILED);
                }
                return Ok(Flow::Exit);
            }
            Statement::Return(value) => {
                let value = value.as_ref().map_or(Ok(Value::Unset), |value| self.value(value))?;
                return Ok(Flow::Return(value));
            }
            Statement::Delete(array, subscripts) => {
                let array = self.array(*array)?;
                match subscripts {
                    Some(list) => {
                        let key = self.subscript(list)?;
                        array.borrow_mut().remove(&key);
                    }
                    None => array.borrow_mut().clear(),
                }
            }
        }
        Ok(Flow::GoOn)
    }

    fn while_loop(
        &mut self,
        condition: Option<&Expression>,
        step: Option<&Statement>,
        body: &Statement,
    ) -> Result<Flow, Stop> {
        loop {
            if let Some(condition) = condition
                && !self.truth(condition)?
            {
                return Ok(Flow::GoOn);
            }
            match self.statement(body)? {
                Flow::GoOn | Flow::Continue => {}
                Flow::Break => return Ok(Flow::GoOn),
                flow => return Ok(flow),
            }
            if let Some(step) = step {
                self.statement(step)?;
            }
        }
    }

    /// The order is free; numbers in theirs, then texts, is the one that surprises least.
    fn for_in(&mut self, variable: Name, array: Name, body: &Statement) -> Result<Flow, Stop> {
        let array = self.array(array)?;
        let mut keys: Vec<Value> = array.borrow().keys().map(|key| Value::outside(key.as_slice())).collect();
        keys.sort_by(|left, right| {
            let texts = matches!(left, Value::Text(_)).cmp(&matches!(right, Value::Text(_)));
            texts.then_with(|| left.compare(right, b"%.6g").unwrap_or(Ordering::Equal))
        });
        for key in keys {
            if !array.borrow().contains_key(&*key.bytes(b"%.6g")) {
                continue;
            }
            self.set(variable, key)?;
            match self.statement(body)? {
                Flow::GoOn | Flow::Continue => {}
                Flow::Break => break,
                flow => return Ok(flow),
            }
        }
        Ok(Flow::GoOn)
    }

    fn line(&mut self, list: &[Expression]) -> Result<Vec<u8>, Stop> {
        let mut line = Vec::new();
        if list.is_empty() {
            line.extend(&*self.record);
        }
        for (index, part) in list.iter().enumerate() {
            let value = self.value(part)?;
            if index > 0 {
                line.extend(&*self.global_text(OFS));
            }
            line.extend(&*value.bytes(&self.global_text(OFMT)));
        }
        line.extend(&*self.global_text(ORS));
        Ok(line)
    }

    fn output(&mut self, text: &[u8], to: Option<&super::syntax::Redirection>) -> Result<(), Stop> {
        let Some(redirection) = to else {
            self.streams.stdout.write_all(text)?;
            return Ok(());
        };
        let name = self.text(&redirection.to)?;
        if redirection.kind == RedirectionKind::Pipe && name.is_empty() {
            return Err(Stop::code(FAILED, "expression for `|' redirection has null string value"));
        }
        self.streams.write(&name, redirection.kind, text)
    }

    pub(super) fn truth(&mut self, expression: &Expression) -> Result<bool, Stop> {
        Ok(self.value(expression)?.is_true())
    }

    pub(super) fn number(&mut self, expression: &Expression) -> Result<f64, Stop> {
        Ok(self.value(expression)?.number())
    }

    pub(super) fn text(&mut self, expression: &Expression) -> Result<Rc<[u8]>, Stop> {
        let value = self.value(expression)?;
        Ok(self.text_of(&value))
    }

    pub(super) fn value(&mut self, expression: &Expression) -> Result<Value, Stop> {
        Ok(match expression {
            Expression::Number(number) => Value::Number(*number),
            Expression::Text(text) => Value::text(text.as_slice()),
            Expression::Regex(pattern) => Value::truth(pattern.is_match(&self.record)),
            Expression::Variable(name) => self.get(*name)?,
            Expression::Field(index) => {
                let index = self.number(index)?;
                self.field(index_number(index)?)
            }
            Expression::Element(array, subscripts) => {
                let key = self.subscript(subscripts)?;
                let array = self.array(*array)?;
                // To look at an element makes it.
                array.borrow_mut().entry(key).or_default().clone()
            }
            Expression::Assign(place, operator, right) => {
                let right = self.value(right)?;
                let value = match operator {
                    None => right,
                    Some(operator) => {
                        let left = self.number(place)?;
                        Value::Number(arithmetic(*operator, left, right.number())?)
                    }
                };
                self.assign(place, value.clone())?;
                value
            }
            Expression::Choose(condition, yes, no) => {
                let chosen = if self.truth(condition)? { yes } else { no };
                self.value(chosen)?
            }
            Expression::And(left, right) => Value::truth(self.truth(left)? && self.truth(right)?),
            Expression::Or(left, right) => Value::truth(self.truth(left)? || self.truth(right)?),
            Expression::Not(operand) => Value::truth(!self.truth(operand)?),
            Expression::Negate(operand) => Value::Number(-self.number(operand)?),
            Expression::Plus(operand) => Value::Number(self.number(operand)?),
            Expression::In(subscripts, array) => {
                let key = self.subscript(subscripts)?;
                let array = self.array(*array)?;
                let found = array.borrow().contains_key(&key);
                Value::truth(found)
            }
            Expression::Match(text, pattern, negated) => {
                let text = self.text(text)?;
                let pattern = self.pattern(pattern)?;
                Value::truth(pattern.is_match(&text) != *negated)
            }
            Expression::Compare(comparison, left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                let order = left.compare(&right, &self.global_text(CONVFMT));
                Value::truth(order.map_or(*comparison == Comparison::NotEqual, |order| holds(*comparison, order)))
            }
            Expression::Concat(left, right) => {
                let (left, right) = (self.text(left)?, self.text(right)?);
                Value::text([&left[..], &right[..]].concat())
            }
            Expression::Binary(operator, left, right) => {
                let (left, right) = (self.number(left)?, self.number(right)?);
                Value::Number(arithmetic(*operator, left, right)?)
            }
            Expression::Step(place, step, before) => {
                let old = self.number(place)?;
                self.assign(place, Value::Number(old + step))?;
                Value::Number(if *before { old } else { old + step })
            }
            Expression::Call(function, arguments) => self.call(*function, arguments)?,
            Expression::Builtin(builtin, arguments) => self.builtin(*builtin, arguments)?,
            Expression::Getline(target, source) => self.getline(target.as_deref(), source)?,
            Expression::List(list) => {
                let key = self.subscript(list)?;
                Value::text(key)
            }
            Expression::Group(inner) => self.value(inner)?,
        })
    }

    pub(super) fn assign(&mut self, place: &Expression, value: Value) -> Result<(), Stop> {
        match place {
            Expression::Variable(name) => self.set(*name, value),
            Expression::Field(index) => {
                let index = self.number(index)?;
                self.set_field(index_number(index)?, value)
            }
            Expression::Element(array, subscripts) => {
                let key = self.subscript(subscripts)?;
                let array = self.array(*array)?;
                array.borrow_mut().insert(key, value);
                Ok(())
            }
            Expression::Group(inner) => self.assign(inner, value),
            _ => Err(Stop::code(FAILED, "this cannot be assigned to")),
        }
    }

    /// Returns the pattern that an expression is or makes.
    pub(super) fn pattern(&mut self, expression: &Expression) -> Result<Pattern, Stop> {
        /// Programs make few patterns; one that makes many pays for them.
        const MAX_CACHED: usize = 256;
        if let Expression::Regex(pattern) = expression {
            return Ok((**pattern).clone());
        }
        let source = self.text(expression)?;
        if let Some(pattern) = self.patterns.get(&source) {
            return Ok(pattern.clone());
        }
        let pattern = parse::pattern(&String::from_utf8_lossy(&source))?;
        if self.patterns.len() >= MAX_CACHED {
            self.patterns.clear();
        }
        self.patterns.insert(source, pattern.clone());
        Ok(pattern)
    }

    fn call(&mut self, function: usize, arguments: &[Expression]) -> Result<Value, Stop> {
        let function = &self.program.functions[function];
        if arguments.len() > function.parameters {
            return Err(Stop::code(
                FAILED,
                format!("function {} called with more arguments than declared", function.name),
            ));
        }
        if self.frames.len() >= MAX_CALLS {
            return Err(Stop::code(FAILED, format!("function {}: calls are nested too deeply", function.name)));
        }
        let mut frame = Vec::with_capacity(function.parameters);
        for argument in arguments {
            frame.push(match argument {
                // An array goes by reference, and so does what may become one.
                Expression::Variable(name) if *name != Name::Global(NF) => self.cell(*name).clone(),
                other => Cell::Scalar(self.value(other)?),
            });
        }
        frame.resize(function.parameters, Cell::default());
        self.frames.push(frame);
        let body = function.body.as_ref().expect("a function without a body was refused");
        let flow = self.block(body);
        self.frames.pop();
        // What was nothing before the call, and an array in it, is that array.
        match flow? {
            Flow::Return(value) => Ok(value),
            Flow::Exit => Err(Stop::Quiet(self.code)),
            _ => Ok(Value::Unset),
        }
    }

    fn getline(&mut self, target: Option<&Expression>, source: &Source) -> Result<Value, Stop> {
        let record = match source {
            Source::Main => self.next_record()?,
            Source::File(name) => {
                let name = self.text(name)?;
                if !self.streams.is_readable(&name) {
                    return Ok(Value::Number(-1.0));
                }
                self.streams.read(&name, &self.record_end)?
            }
            Source::Command(line) => {
                let line = self.text(line)?;
                let record = self.streams.read_command(&line, &self.record_end)?;
                if record.is_some() {
                    let count = self.global(NR).number() + 1.0;
                    self.globals[NR] = Cell::Scalar(Value::Number(count));
                }
                record
            }
        };
        let Some(record) = record else { return Ok(Value::Number(0.0)) };
        match target {
            Some(place) => self.assign(place, Value::outside(record))?,
            None => self.set_record(record),
        }
        Ok(Value::Number(1.0))
    }
}

/// Returns the name and the value of an operand that assigns.
fn assignment(operand: &str) -> Option<(&str, &str)> {
    let (name, value) = operand.split_once('=')?;
    let mut letters = name.chars();
    let first = letters.next()?;
    let is_name =
        (first.is_ascii_alphabetic() || first == '_') && letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some((name, value))
}

fn holds(comparison: Comparison, order: Ordering) -> bool {
    match comparison {
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual => order.is_ne(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }
}

fn arithmetic(operator: Arithmetic, left: f64, right: f64) -> Result<f64, Stop> {
    Ok(match operator {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide if right == 0.0 => return Err(Stop::code(FAILED, "division by zero")),
        Arithmetic::Divide => left / right,
        Arithmetic::Remainder if right == 0.0 => return Err(Stop::code(FAILED, "division by zero in %")),
        Arithmetic::Remainder => left % right,
        Arithmetic::Power => left.powf(right),
    })
}

/// Returns a count as awk holds it.
pub(super) fn count_number(count: usize) -> f64 {
    // More than 2^53 of anything does not fit into memory.
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn index_number(number: f64) -> Result<usize, Stop> {
    let wrong = || Stop::code(FAILED, format!("attempt to access field {number}"));
    usize::try_from(crate::format::truncated(number)).map_err(|_| wrong())
}

/// An `exit` in a function comes as an error, because no value of the call is left.
fn left(flow: Result<Flow, Stop>) -> Result<Flow, Stop> {
    match flow {
        Err(Stop::Quiet(_)) => Ok(Flow::Exit),
        other => other,
    }
}
