//! Plain commands: how a manifest maps JSON arguments to a program's arguments and input.
//!
//! A placeholder fills one item, or a part of one, and never splits it. What a planner writes cannot become an option of
//! the program unless the manifest says so: an item that would begin with a `-` of an argument's own is refused.

use std::collections::BTreeSet;

use protocol::InvalidJson;
use serde::Deserialize;
use serde_json::Value;

/// Items that a template may grow to: more than any program reads.
const MAX_ITEMS: usize = 4_096;

/// `[command]` of a manifest: a component that exports `wasi:cli/run`, and how it is called.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    /// What it does and when to use it, for the model.
    pub description: String,
    /// JSON Schema of the arguments; as text, the name of a JSON file beside the manifest.
    pub input_schema: Value,
    /// The program's arguments, without its own name.
    #[serde(default)]
    pub argv: Vec<ItemSpec>,
    /// The argument whose text is the program's standard input.
    pub stdin: Option<String>,
    /// Arguments whose values may begin with `-`.
    #[serde(default)]
    pub options: BTreeSet<String>,
}

/// One entry of `argv`. In a word `{name}` stands for an argument, `{{` and `}}` for braces.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "an item of `argv` is a word, or a table with `items` and one of `when`, `each`, `flag`"
)]
pub enum ItemSpec {
    Word(String),
    /// There when the argument is.
    When {
        when: String,
        items: Vec<String>,
    },
    /// Once for each value of the argument, an array.
    Each {
        each: String,
        items: Vec<String>,
    },
    /// There when the argument is `true`.
    Flag {
        flag: String,
        items: Vec<String>,
    },
}

/// A `[command]` that cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCommand {
    #[error("the schema file is not valid JSON: {0}")]
    Json(#[from] InvalidJson),
    #[error("`input_schema` must be an object's schema with `properties` and `additionalProperties: false`")]
    Schema,
    #[error("`{0}` names no argument: it is not among the schema's properties")]
    Unknown(String),
    #[error("the argument `{0}` may be absent: put it into a group with `when`, or require it in the schema")]
    Optional(String),
    #[error("the argument `{argument}` must be of type {expected} to stand here")]
    Type { argument: String, expected: &'static str },
    #[error("`{0}` has a brace that is not closed or not doubled")]
    Brace(String),
}

/// Arguments that fit the schema and still cannot be given to the program.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("the argument `{0}` must not begin with `-` here: it would be taken for an option")]
    Option(String),
    #[error("an argument must not contain a NUL character")]
    Nul,
    #[error("that would be more than {MAX_ITEMS} arguments of the program")]
    TooMany,
    #[error("the argument `{0}` is not of the type that the program needs")]
    Type(String),
}

/// A command ready to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) description: String,
    pub(crate) input_schema: Value,
    items: Vec<Item>,
    stdin: Option<String>,
    options: BTreeSet<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Item {
    shape: Shape,
    words: Vec<Word>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Always,
    When(String),
    Each(String),
    Flag(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Word(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Fixed(String),
    Argument(String),
}

/// What a command is started with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) argv: Vec<String>,
    pub(crate) stdin: Vec<u8>,
}

impl Command {
    /// Returns the command of `spec`; `schema_file` is the text of the file that its `input_schema` names, if it does.
    pub(crate) fn new(spec: &CommandSpec, schema_file: Option<&str>) -> Result<Self, InvalidCommand> {
        let input_schema = match schema_file {
            Some(text) => protocol::parse(text)?,
            None => spec.input_schema.clone(),
        };
        let items = spec.argv.iter().map(Item::parse).collect::<Result<Vec<_>, _>>()?;
        let (description, stdin, options) = (spec.description.clone(), spec.stdin.clone(), spec.options.clone());
        let command = Self { description, input_schema, items, stdin, options };
        command.check()?;
        Ok(command)
    }

    fn check(&self) -> Result<(), InvalidCommand> {
        let schema = Arguments::of(&self.input_schema)?;
        self.items.iter().try_for_each(|item| item.check(&schema))?;
        self.options.iter().try_for_each(|name| schema.kind(name).map(drop))?;
        match &self.stdin {
            Some(name) => schema.must_be(name, "string", |kind| kind == "string"),
            None => Ok(()),
        }
    }

    /// Returns what the program is started with for `arguments`, which fit the schema.
    pub(crate) fn line(&self, arguments: &Value) -> Result<Line, Unfit> {
        let mut argv = Argv { items: Vec::new(), options_ended: false, options: &self.options };
        for item in &self.items {
            item.fill(arguments, &mut argv)?;
        }
        let input = self.stdin.as_ref().and_then(|name| arguments.get(name)).and_then(Value::as_str);
        Ok(Line { argv: argv.items, stdin: input.unwrap_or_default().as_bytes().to_vec() })
    }
}

/// What a schema says of each argument.
struct Arguments<'a> {
    properties: &'a serde_json::Map<String, Value>,
    required: BTreeSet<&'a str>,
}

impl<'a> Arguments<'a> {
    fn of(schema: &'a Value) -> Result<Self, InvalidCommand> {
        let is_closed = schema["type"] == "object" && schema["additionalProperties"] == false;
        let properties = schema["properties"].as_object().filter(|_| is_closed).ok_or(InvalidCommand::Schema)?;
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        Ok(Self { properties, required })
    }

    fn kind(&self, name: &str) -> Result<&'a str, InvalidCommand> {
        let property = self.properties.get(name).ok_or_else(|| InvalidCommand::Unknown(name.to_owned()))?;
        Ok(property["type"].as_str().unwrap_or_default())
    }

    fn must_be(&self, name: &str, expected: &'static str, is: fn(&str) -> bool) -> Result<(), InvalidCommand> {
        let wrong = || InvalidCommand::Type { argument: name.to_owned(), expected };
        if is(self.kind(name)?) { Ok(()) } else { Err(wrong()) }
    }

    /// Checks that `name` can fill a word: one value, and always there.
    fn fills(&self, name: &str) -> Result<(), InvalidCommand> {
        self.must_be(name, SCALAR, is_scalar)?;
        if self.required.contains(name) { Ok(()) } else { Err(InvalidCommand::Optional(name.to_owned())) }
    }
}

const SCALAR: &str = "string, integer, number or boolean";

fn is_scalar(kind: &str) -> bool {
    matches!(kind, "string" | "integer" | "number" | "boolean")
}

impl Item {
    fn parse(spec: &ItemSpec) -> Result<Self, InvalidCommand> {
        let words = |items: &[String]| items.iter().map(|item| Word::parse(item)).collect::<Result<Vec<_>, _>>();
        Ok(match spec {
            ItemSpec::Word(word) => Self { shape: Shape::Always, words: vec![Word::parse(word)?] },
            ItemSpec::When { when, items } => Self { shape: Shape::When(when.clone()), words: words(items)? },
            ItemSpec::Each { each, items } => Self { shape: Shape::Each(each.clone()), words: words(items)? },
            ItemSpec::Flag { flag, items } => Self { shape: Shape::Flag(flag.clone()), words: words(items)? },
        })
    }

    fn check(&self, schema: &Arguments<'_>) -> Result<(), InvalidCommand> {
        let own = match &self.shape {
            Shape::Always => None,
            Shape::When(name) => {
                schema.must_be(name, SCALAR, is_scalar)?;
                Some(name)
            }
            Shape::Each(name) => {
                schema.must_be(name, "array", |kind| kind == "array")?;
                Some(name)
            }
            Shape::Flag(name) => {
                schema.must_be(name, "boolean", |kind| kind == "boolean")?;
                None
            }
        };
        let named = self.words.iter().flat_map(Word::arguments);
        named.filter(|name| Some(*name) != own).try_for_each(|name| schema.fills(name))
    }

    fn fill(&self, arguments: &Value, argv: &mut Argv<'_>) -> Result<(), Unfit> {
        let absent = &Value::Null;
        let value = |name: &String| arguments.get(name).unwrap_or(absent);
        match &self.shape {
            Shape::When(name) if value(name).is_null() => Ok(()),
            Shape::Flag(name) if value(name) != &Value::Bool(true) => Ok(()),
            Shape::Always | Shape::When(_) | Shape::Flag(_) => argv.extend(&self.words, arguments, None),
            Shape::Each(name) => {
                let mut values = value(name).as_array().into_iter().flatten();
                values.try_for_each(|value| argv.extend(&self.words, arguments, Some((name, value))))
            }
        }
    }
}

/// A program's arguments as they grow.
struct Argv<'a> {
    items: Vec<String>,
    /// After a fixed `--` nothing is an option.
    options_ended: bool,
    options: &'a BTreeSet<String>,
}

impl Argv<'_> {
    /// Adds `words`, filled from `arguments`, in which `this` argument has one value of its array.
    fn extend(&mut self, words: &[Word], arguments: &Value, this: Option<(&String, &Value)>) -> Result<(), Unfit> {
        for word in words {
            let item = word.fill(arguments, this)?;
            self.check(word, &item)?;
            self.options_ended |= word.is_fixed() && item == "--";
            self.items.push(item);
        }
        Ok(())
    }

    fn check(&self, word: &Word, item: &str) -> Result<(), Unfit> {
        if self.items.len() == MAX_ITEMS {
            return Err(Unfit::TooMany);
        }
        if item.contains('\0') {
            return Err(Unfit::Nul);
        }
        if !item.starts_with('-') || self.options_ended || matches!(word.0.first(), Some(Piece::Fixed(_))) {
            return Ok(());
        }
        match word.arguments().find(|name| !self.options.contains(*name)) {
            Some(name) => Err(Unfit::Option(name.clone())),
            None => Ok(()),
        }
    }
}

impl Word {
    fn parse(text: &str) -> Result<Self, InvalidCommand> {
        let broken = || InvalidCommand::Brace(text.to_owned());
        let (mut pieces, mut fixed) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            fixed.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                fixed.push_str(&from[..1]);
                rest = after;
                continue;
            }
            let (name, after) = from.strip_prefix('{').and_then(|from| from.split_once('}')).ok_or_else(broken)?;
            if !fixed.is_empty() {
                pieces.push(Piece::Fixed(std::mem::take(&mut fixed)));
            }
            pieces.push(Piece::Argument(name.to_owned()));
            rest = after;
        }
        fixed.push_str(rest);
        if !fixed.is_empty() || pieces.is_empty() {
            pieces.push(Piece::Fixed(fixed));
        }
        Ok(Self(pieces))
    }

    fn arguments(&self) -> impl Iterator<Item = &String> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Argument(name) => Some(name),
            Piece::Fixed(_) => None,
        })
    }

    fn is_fixed(&self) -> bool {
        self.arguments().next().is_none()
    }

    fn fill(&self, arguments: &Value, this: Option<(&String, &Value)>) -> Result<String, Unfit> {
        let value = |name: &String| match this {
            Some((own, value)) if own == name => Some(value),
            _ => arguments.get(name),
        };
        let mut item = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Fixed(text) => item.push_str(text),
                Piece::Argument(name) => {
                    item.push_str(&value(name).and_then(text).ok_or_else(|| Unfit::Type(name.clone()))?);
                }
            }
        }
        Ok(item)
    }
}

/// Returns the text of one value; lists and objects have none.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(protocol::canonical(value)),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Returns the name of the schema's file, when `spec` names one.
pub(crate) fn schema_file(spec: &CommandSpec) -> Option<&str> {
    spec.input_schema.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const COMMAND: &str = r#"
        description = "Counts."
        argv = [
            "--format=json",
            { when = "limit", items = ["--max", "{limit}"] },
            { each = "tag", items = ["--tag={tag}"] },
            { flag = "verbose", items = ["-v"] },
            "{path}",
        ]
        stdin = "text"
        [input_schema]
        type = "object"
        required = ["path"]
        additionalProperties = false
        [input_schema.properties]
        path = { type = "string" }
        text = { type = "string" }
        limit = { type = "integer" }
        tag = { type = "array", items = { type = "string" } }
        verbose = { type = "boolean" }
    "#;

    fn command(text: &str) -> Result<Command, Box<dyn std::error::Error>> {
        let spec: CommandSpec = toml::from_str(text)?;
        Ok(Command::new(&spec, None)?)
    }

    fn argv(text: &str, arguments: &Value) -> Result<Vec<String>, Unfit> {
        command(text).unwrap().line(arguments).map(|line| line.argv)
    }

    #[test]
    fn arguments_become_items_and_what_is_absent_vanishes() {
        let line = |arguments| command(COMMAND).unwrap().line(&arguments).unwrap();
        let least = Line { argv: vec!["--format=json".into(), "a b".into()], stdin: Vec::new() };
        assert_eq!(line(json!({"path": "a b"})), least);
        let all = json!({"path": "p", "limit": 3, "tag": ["x", "y z"], "verbose": true, "text": "in"});
        let items = ["--format=json", "--max", "3", "--tag=x", "--tag=y z", "-v", "p"].map(String::from).to_vec();
        assert_eq!(line(all), Line { argv: items, stdin: b"in".to_vec() });
        assert_eq!(line(json!({"path": "p", "verbose": false, "tag": [], "limit": null})).argv.len(), 2);
    }

    #[test]
    fn a_value_never_splits_and_never_becomes_an_option() {
        let hostile = json!({"path": "$(rm -rf /) ; \"x\" 'y'\n--z"});
        assert_eq!(argv(COMMAND, &hostile).unwrap()[1], "$(rm -rf /) ; \"x\" 'y'\n--z");
        for path in ["-", "--output=/work/x", "-rf"] {
            assert_eq!(argv(COMMAND, &json!({ "path": path })), Err(Unfit::Option("path".into())), "{path}");
        }
        assert_eq!(argv(COMMAND, &json!({"path": "p", "limit": -1})), Err(Unfit::Option("limit".into())));
        assert_eq!(argv(COMMAND, &json!({"path": "a\0b"})), Err(Unfit::Nul));
    }

    #[test]
    fn a_manifest_may_let_a_value_begin_with_a_dash() {
        let after_dashes = COMMAND.replace("\"{path}\"", "\"--\", \"{path}\"");
        assert_eq!(argv(&after_dashes, &json!({"path": "-x"})).unwrap()[2], "-x");
        let named = format!("options = [\"path\"]\n{COMMAND}");
        assert_eq!(argv(&named, &json!({"path": "-x"})).unwrap()[1], "-x");
        let fixed = COMMAND.replace("\"{path}\"", "\"--path={path}\"");
        assert_eq!(argv(&fixed, &json!({"path": "-x"})).unwrap()[1], "--path=-x");
    }

    #[test]
    fn an_empty_value_in_front_hides_no_option() {
        let two = COMMAND
            .replace("\"{path}\"", "\"{path}{name}\"")
            .replace("required = [\"path\"]", "required = [\"path\", \"name\"]");
        let two = format!(
            "options = [\"path\"]\n{}",
            two.replace("text = {", "name = { type = \"string\" }\n        text = {")
        );
        let hidden = argv(&two, &json!({"path": "", "name": "--evil"}));
        assert_eq!(hidden, Err(Unfit::Option("name".into())));
    }

    #[test]
    fn braces_are_doubled() {
        let braces = COMMAND.replace("\"{path}\"", "\"{{{path}}}\"");
        assert_eq!(argv(&braces, &json!({"path": "p"})).unwrap()[1], "{p}");
    }

    #[test]
    fn the_items_are_counted() {
        let tags: Vec<_> = (0..=MAX_ITEMS).map(|tag| tag.to_string()).collect();
        assert_eq!(argv(COMMAND, &json!({"path": "p", "tag": tags})), Err(Unfit::TooMany));
    }

    #[test]
    fn a_template_that_does_not_fit_its_schema_is_refused() {
        for (from, to, message) in [
            ("\"{path}\",", "\"{pth}\",", "`pth` names no argument"),
            ("\"{path}\",", "\"{text}\",", "the argument `text` may be absent"),
            ("\"{path}\",", "\"{path\",", "has a brace"),
            ("\"{path}\",", "\"{tag}\",", "the argument `tag` must be of type string, integer"),
            ("each = \"tag\"", "each = \"path\"", "the argument `path` must be of type array"),
            ("flag = \"verbose\"", "flag = \"path\"", "must be of type boolean"),
            ("stdin = \"text\"", "stdin = \"limit\"", "must be of type string"),
            ("flag = \"verbose\"", "flg = \"verbose\"", "an item of `argv` is a word, or a table"),
            ("additionalProperties = false", "", "additionalProperties: false"),
            ("description =", "descripton =", "unknown field `descripton`"),
        ] {
            let error = command(&COMMAND.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains(message), "{to}: {error}");
        }
    }

    #[test]
    fn the_schema_may_lie_in_a_file() {
        let text = "description = \"d\"\ninput_schema = \"schema.json\"\n";
        let spec: CommandSpec = toml::from_str(text).unwrap();
        assert_eq!(schema_file(&spec), Some("schema.json"));
        let schema = r#"{"type": "object", "properties": {}, "additionalProperties": false}"#;
        assert_eq!(Command::new(&spec, Some(schema)).unwrap().line(&json!({})).unwrap().argv, [""; 0]);
        assert!(Command::new(&spec, Some("{\"a\": 1, \"a\": 2}")).is_err());
        assert!(Command::new(&spec, None).is_err());
    }
}
