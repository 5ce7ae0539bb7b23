//! Running: lists, pipelines and compound commands.

use std::rc::Rc;
use std::time::Instant;

use brush_parser::ast::{
    AndOr, AndOrList, ArithmeticForClauseCommand, CaseClauseCommand, CaseItemPostAction, Command, CompoundCommand,
    CompoundList, DoGroupCommand, ForClauseCommand, FunctionDefinition, IfClauseCommand, Pipeline, RedirectList,
    SeparatorOperator, SourceLocation as _, UnexpandedArithmeticExpr,
};

use crate::parse::Source;
use crate::shell::{Function, Shell};
use crate::stop::{Run, Stop};
use crate::streams::{PIPE_BYTES, Sink, Source as Reader};

impl Shell {
    /// Runs the script `text` to its end and returns its exit code.
    pub fn script(&mut self, text: &str) -> i32 {
        let run = self.evaluated(text);
        self.settle(run)
    }

    /// Runs `text` as a part of what runs.
    pub fn evaluated(&mut self, text: &str) -> Run<i32> {
        match self.parsed.program(text) {
            Ok(source) => self.program(&source),
            Err(error) => {
                self.complain(&error);
                self.status = 2;
                Ok(2)
            }
        }
    }

    /// Returns the exit code of a shell or subshell whose script ended with `run`, after its trap.
    pub fn settle(&mut self, run: Run<i32>) -> i32 {
        let status = self.code(run);
        self.status = status;
        let Some(trap) = self.state.traps.remove("EXIT") else { return status };
        match self.evaluated(&trap) {
            Err(Stop::Exit(code)) => code,
            _ => status,
        }
    }

    fn code(&self, run: Run<i32>) -> i32 {
        match run {
            Ok(status) | Err(Stop::Exit(status) | Stop::Return(status)) => status,
            Err(Stop::Abort) => 1,
            Err(Stop::Break(_) | Stop::Continue(_)) => self.status,
        }
    }

    /// Runs the commands of a script. After a failed expansion the next line goes on, as in bash.
    pub fn program(&mut self, source: &Rc<Source>) -> Run<i32> {
        let before = std::mem::replace(&mut self.source, source.clone());
        let run = self.lines(source);
        self.source = before;
        run
    }

    fn lines(&mut self, source: &Source) -> Run<i32> {
        for line in &source.program.complete_commands {
            match self.list(line) {
                Err(Stop::Abort) if self.state.subshells == 0 && self.depth == 0 => self.status = 1,
                run => drop(run?),
            }
        }
        Ok(if source.program.complete_commands.is_empty() { 0 } else { self.status })
    }

    pub fn list(&mut self, list: &CompoundList) -> Run<i32> {
        for item in &list.0 {
            match item.1 {
                SeparatorOperator::Sequence => drop(self.and_or(&item.0)?),
                SeparatorOperator::Async => self.background(&item.0),
            }
        }
        Ok(self.status)
    }

    /// Runs what `&` follows, to its end: there is one process. Its exit code waits for `wait`.
    fn background(&mut self, list: &AndOrList) {
        let job = u32::try_from(self.jobs.len()).unwrap_or(u32::MAX).saturating_add(1000);
        let before = self.state.descriptors.clone();
        self.state.descriptors.set_source(0, Reader::empty());
        let status = self.subshell(|shell| {
            let run = shell.and_or(list);
            shell.settle(run)
        });
        self.state.descriptors = before;
        self.jobs.insert(job, status);
        self.last_job = Some(job);
        self.status = 0;
    }

    fn and_or(&mut self, list: &AndOrList) -> Run<i32> {
        let mut status = self.conditional(list.additional.is_empty(), &list.first)?;
        for (index, next) in list.additional.iter().enumerate() {
            let is_last = index + 1 == list.additional.len();
            match next {
                AndOr::And(pipeline) if status == 0 => status = self.conditional(is_last, pipeline)?,
                AndOr::Or(pipeline) if status != 0 => status = self.conditional(is_last, pipeline)?,
                AndOr::And(_) | AndOr::Or(_) => {}
            }
        }
        Ok(status)
    }

    /// Runs a pipeline; unless it is the last of its list, `set -e` does not look at it.
    fn conditional(&mut self, is_last: bool, pipeline: &Pipeline) -> Run<i32> {
        if is_last { self.pipeline(pipeline) } else { self.condition(|shell| shell.pipeline(pipeline)) }
    }

    /// Runs a condition, in which `set -e` waits.
    fn condition<T>(&mut self, run: impl FnOnce(&mut Self) -> Run<T>) -> Run<T> {
        self.conditions += 1;
        let result = run(self);
        self.conditions -= 1;
        result
    }

    fn pipeline(&mut self, pipeline: &Pipeline) -> Run<i32> {
        let started = pipeline.timed.as_ref().map(|_| Instant::now());
        let run = |shell: &mut Self| match &pipeline.seq[..] {
            [] => Ok(0),
            [command] => shell.command(command),
            commands => Ok(shell.piped(commands)),
        };
        let status = if pipeline.bang { self.condition(run)? } else { run(self)? };
        if let Some(started) = started {
            self.say_time(started);
        }
        self.status = if pipeline.bang { i32::from(status == 0) } else { status };
        if !pipeline.bang && pipeline.seq.len() > 1 {
            self.check_errexit()?;
        }
        Ok(self.status)
    }

    fn say_time(&mut self, started: Instant) {
        let seconds = started.elapsed().as_secs_f64();
        let minutes = (seconds / 60.0).floor();
        let rest = seconds - minutes * 60.0;
        self.error(&format!("\nreal\t{minutes}m{rest:.3}s\nuser\t0m0.000s\nsys\t0m0.000s\n"));
    }

    /// Runs the stages of a pipeline one after the other, each in a subshell, with the output of one as input of the next.
    fn piped(&mut self, commands: &[Command]) -> i32 {
        let before = self.state.descriptors.clone();
        let mut statuses = Vec::new();
        for (index, command) in commands.iter().enumerate() {
            let is_last = index + 1 == commands.len();
            let pipe = (!is_last).then(|| Sink::memory(PIPE_BYTES));
            if let Some(pipe) = &pipe {
                self.state.descriptors.set_sink(1, pipe.clone());
            }
            let status = self.subshell(|shell| {
                let run = shell.command(command);
                shell.settle(run)
            });
            statuses.push(status);
            self.state.descriptors = before.clone();
            if let Some(pipe) = pipe {
                self.state.descriptors.set_source(0, pipe.into_source());
            }
        }
        self.state.descriptors = before;
        let failed = statuses.iter().rev().find(|status| **status != 0);
        let last = statuses.last().copied().unwrap_or(0);
        let status = if self.is_set("pipefail") { failed.copied().unwrap_or(0) } else { last };
        self.set_pipe_status(&statuses);
        status
    }

    fn set_pipe_status(&mut self, statuses: &[i32]) {
        // Nobody can make it readonly before the shell makes it.
        let _ = self.assign_list("PIPESTATUS", statuses.iter().map(ToString::to_string).collect());
    }

    /// Ends the shell when `set -e` says so.
    fn check_errexit(&mut self) -> Run<()> {
        if self.status != 0 && self.conditions == 0 && self.is_set("errexit") {
            return Err(Stop::Exit(self.status));
        }
        Ok(())
    }

    pub fn command(&mut self, command: &Command) -> Run<i32> {
        let status = match command {
            Command::Simple(simple) => self.simple(simple)?,
            Command::Compound(compound, redirects) => {
                return self.redirected(redirects.as_ref(), |shell| shell.compound(compound));
            }
            Command::Function(definition) => {
                self.define(definition);
                0
            }
            Command::ExtendedTest(test, redirects) => {
                self.redirected(redirects.as_ref(), |shell| shell.extended_test(&test.expr))?
            }
        };
        self.ended(status)
    }

    /// Takes note of a command's exit code.
    fn ended(&mut self, status: i32) -> Run<i32> {
        self.status = status;
        if !matches!(self.state.variables.get("PIPESTATUS"), Some(known) if known.elements() == [status.to_string()]) {
            self.set_pipe_status(&[status]);
        }
        self.check_errexit()?;
        Ok(status)
    }

    /// Runs `inner` with `redirects` in force.
    pub fn redirected(
        &mut self,
        redirects: Option<&RedirectList>,
        inner: impl FnOnce(&mut Self) -> Run<i32>,
    ) -> Run<i32> {
        let Some(redirects) = redirects else { return inner(self) };
        let before = self.state.descriptors.clone();
        let run = match self.redirect(redirects.0.iter()) {
            Ok(true) => inner(self),
            Ok(false) => {
                self.status = 1;
                Ok(1)
            }
            Err(stop) => Err(stop),
        };
        self.state.descriptors.flush();
        self.state.descriptors = before;
        run
    }

    pub fn compound(&mut self, compound: &CompoundCommand) -> Run<i32> {
        let status = match compound {
            CompoundCommand::BraceGroup(group) => self.list(&group.list)?,
            CompoundCommand::Subshell(inner) => {
                let status = self.subshell(|shell| {
                    let run = shell.list(&inner.list);
                    shell.settle(run)
                });
                return self.ended(status);
            }
            CompoundCommand::Arithmetic(command) => {
                let status = self.arithmetic_command(&command.expr)?;
                return self.ended(status);
            }
            CompoundCommand::ForClause(clause) => self.for_clause(clause)?,
            CompoundCommand::ArithmeticForClause(clause) => self.arithmetic_for(clause)?,
            CompoundCommand::CaseClause(clause) => self.case_clause(clause)?,
            CompoundCommand::IfClause(clause) => self.if_clause(clause)?,
            CompoundCommand::WhileClause(clause) => self.while_clause(&clause.0, &clause.1, true)?,
            CompoundCommand::UntilClause(clause) => self.while_clause(&clause.0, &clause.1, false)?,
            CompoundCommand::Coprocess(_) => {
                self.complain("coproc: coprocesses are not supported: there is one process");
                1
            }
        };
        self.status = status;
        Ok(status)
    }

    fn arithmetic_command(&mut self, expression: &UnexpandedArithmeticExpr) -> Run<i32> {
        let text = self.expression(&expression.value)?;
        match self.evaluate(&text) {
            Ok(value) => Ok(i32::from(value == 0)),
            Err(error) => {
                self.complain(format!("((: {error}"));
                Ok(1)
            }
        }
    }

    fn for_clause(&mut self, clause: &ForClauseCommand) -> Run<i32> {
        let values = match &clause.values {
            Some(words) => self.words(words)?,
            None => self.state.positional.clone(),
        };
        let mut values = values.into_iter();
        self.repeat(|shell| {
            let Some(value) = values.next() else { return Ok(None) };
            if let Err(reason) = shell.assign_text(&clause.variable_name, value) {
                shell.complain(&reason.0);
                return Err(Stop::Abort);
            }
            shell.list(&clause.body.list).map(Some)
        })
    }

    fn arithmetic_for(&mut self, clause: &ArithmeticForClauseCommand) -> Run<i32> {
        self.part(clause.initializer.as_ref())?;
        let mut first = true;
        self.repeat(|shell| {
            if !std::mem::replace(&mut first, false) {
                shell.part(clause.updater.as_ref())?;
            }
            if shell.part(clause.condition.as_ref())? == 0 {
                return Ok(None);
            }
            shell.list(&clause.body.list).map(Some)
        })
    }

    /// Evaluates one of the three parts of `for ((;;))`; one that is not there is true.
    fn part(&mut self, expression: Option<&UnexpandedArithmeticExpr>) -> Run<i64> {
        match expression {
            Some(expression) if !expression.value.trim().is_empty() => {
                let text = self.expression(&expression.value)?;
                self.arithmetic(&text)
            }
            _ => Ok(1),
        }
    }

    fn while_clause(&mut self, condition: &CompoundList, body: &DoGroupCommand, wanted: bool) -> Run<i32> {
        self.repeat(|shell| {
            let status = shell.condition(|shell| shell.list(condition))?;
            if (status == 0) != wanted {
                return Ok(None);
            }
            shell.list(&body.list).map(Some)
        })
    }

    /// Runs `round` until it has nothing more to run, or a `break` leaves it.
    fn repeat(&mut self, mut round: impl FnMut(&mut Self) -> Run<Option<i32>>) -> Run<i32> {
        self.state.loops += 1;
        let mut status = 0;
        let end = loop {
            match round(self) {
                Ok(Some(code)) => status = code,
                Ok(None) => break Ok(status),
                Err(Stop::Break(1)) => break Ok(0),
                Err(Stop::Break(levels)) => break Err(Stop::Break(levels - 1)),
                Err(Stop::Continue(1)) => status = 0,
                Err(Stop::Continue(levels)) => break Err(Stop::Continue(levels - 1)),
                Err(stop) => break Err(stop),
            }
        };
        self.state.loops = self.state.loops.saturating_sub(1);
        end
    }

    fn if_clause(&mut self, clause: &IfClauseCommand) -> Run<i32> {
        if self.condition(|shell| shell.list(&clause.condition))? == 0 {
            return self.list(&clause.then);
        }
        for branch in clause.elses.iter().flatten() {
            let taken = match &branch.condition {
                Some(condition) => self.condition(|shell| shell.list(condition))? == 0,
                None => true,
            };
            if taken {
                return self.list(&branch.body);
            }
        }
        Ok(0)
    }

    fn case_clause(&mut self, clause: &CaseClauseCommand) -> Run<i32> {
        let value = self.single(&clause.value.value)?;
        let (mut status, mut falls) = (0, false);
        for item in &clause.cases {
            let mut matches = falls;
            for pattern in &item.patterns {
                matches = matches || self.pattern(&pattern.value)?.matches(&value);
            }
            if !matches {
                continue;
            }
            status = match &item.cmd {
                Some(list) => self.list(list)?,
                None => 0,
            };
            match item.post_action {
                CaseItemPostAction::ExitCase => break,
                CaseItemPostAction::UnconditionallyExecuteNextCaseItem => falls = true,
                CaseItemPostAction::ContinueEvaluatingCases => falls = false,
            }
        }
        Ok(status)
    }

    fn define(&mut self, definition: &FunctionDefinition) {
        let text = definition.location().map_or_else(String::new, |span| {
            self.source.text.chars().skip(span.start.index).take(span.end.index - span.start.index).collect()
        });
        let function = Function { definition: definition.clone(), source: self.source.clone(), text };
        Rc::make_mut(&mut self.state.functions).insert(definition.fname.value.clone(), Rc::new(function));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expand::MAX_DEPTH;

    fn said(shell: &Shell, descriptor: i32) -> String {
        String::from_utf8(shell.state.descriptors.sink(descriptor).take_bytes()).unwrap()
    }

    #[test]
    fn a_writer_that_nobody_reads_is_ended() {
        let mut shell = Shell::for_tests();
        shell.state.descriptors.set_sink(1, Sink::memory(100));
        assert_eq!(shell.script("while :; do echo 123456789; done; echo more"), 141);
        assert_eq!(said(&shell, 1), "123456789\n".repeat(10));
    }

    #[test]
    fn what_nests_too_deeply_ends_the_script() {
        for script in ["f() { f; }; f; echo no", "f() { echo $(f); }; f", "x='eval \"$x\"'; eval \"$x\"; echo no"] {
            let mut shell = Shell::for_tests();
            shell.script(script);
            assert!(said(&shell, 2).contains(&format!("nest deeper than {MAX_DEPTH}")), "{script}");
            assert!(!said(&shell, 1).contains("no"), "{script}");
        }
    }

    #[test]
    fn an_error_names_its_line() {
        let mut shell = Shell::for_tests();
        assert_eq!(shell.script("true\nfalse\nnosuch"), 127);
        assert_eq!(said(&shell, 2), "bash: line 3: nosuch: command not found\n");
    }

    #[test]
    fn what_is_not_supported_says_so() {
        for (script, words) in [
            ("cat <(echo x)", "process substitution is not supported"),
            ("echo x > >(cat)", "process substitution is not supported"),
            ("coproc cat", "coprocesses are not supported"),
            ("alias a=b", "aliases are not supported"),
            ("if", "syntax error"),
        ] {
            let mut shell = Shell::for_tests();
            assert_ne!(shell.script(script), 0, "{script}");
            let said = said(&shell, 2);
            assert!(said.contains(words), "{script}: {said}");
        }
    }

    #[test]
    fn brackets_nest_no_deeper_than_the_parser_can_go() {
        let mut shell = Shell::for_tests();
        assert_eq!(shell.script(&"(".repeat(10_000)), 2);
        assert!(said(&shell, 2).contains("brackets nest deeper"));
    }

    #[test]
    fn functions_keep_their_own_text() {
        let mut shell = Shell::for_tests();
        shell.script("x=é; f() {\n  echo one; # comment\n}; function g { echo two; }\necho done");
        let text = |name: &str| shell.state.functions.get(name).map(|function| function.text.clone());
        assert_eq!(text("f").as_deref(), Some("f() {\n  echo one; # comment\n}"));
        assert_eq!(text("g").as_deref(), Some("g { echo two; }"));
    }
}
