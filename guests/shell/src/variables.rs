//! Variables: values, attributes, and the store that a subshell copies.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::stop::Complaint;
use serde::{Deserialize, Serialize};

/// Follows of name references before it is called a circle.
const MAX_REFERENCES: usize = 8;

/// Elements of one indexed array: a script that counts further has lost its way.
pub const MAX_INDEX: usize = 10_000_000;

/// What a variable holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    Scalar(String),
    Indexed(BTreeMap<usize, String>),
    Associative(BTreeMap<String, String>),
}

/// What `declare` says of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attribute {
    Integer,
    Lower,
    Reference,
    Readonly,
    Upper,
    Exported,
}

/// One variable; declared without a value it is still unset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    pub value: Option<Value>,
    pub attributes: BTreeSet<Attribute>,
}

/// An element of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscript {
    Index(usize),
    Key(String),
}

impl Variable {
    /// Returns a scalar without attributes.
    pub fn scalar(text: impl Into<String>) -> Self {
        Self { value: Some(Value::Scalar(text.into())), attributes: BTreeSet::new() }
    }

    pub fn has(&self, attribute: Attribute) -> bool {
        self.attributes.contains(&attribute)
    }

    /// Returns the value as a scalar: an array's is its element 0.
    pub fn text(&self) -> Option<&str> {
        match self.value.as_ref()? {
            Value::Scalar(text) => Some(text),
            Value::Indexed(elements) => elements.get(&0).map(String::as_str),
            Value::Associative(elements) => elements.get("0").map(String::as_str),
        }
    }

    /// Returns the element at `subscript`.
    pub fn element(&self, subscript: &Subscript) -> Option<&str> {
        match (self.value.as_ref()?, subscript) {
            (Value::Scalar(text), Subscript::Index(0)) => Some(text),
            (Value::Indexed(elements), Subscript::Index(index)) => elements.get(index).map(String::as_str),
            (Value::Associative(elements), Subscript::Key(key)) => elements.get(key).map(String::as_str),
            _ => None,
        }
    }

    /// Returns every element, in order.
    pub fn elements(&self) -> Vec<String> {
        match &self.value {
            None => Vec::new(),
            Some(Value::Scalar(text)) => vec![text.clone()],
            Some(Value::Indexed(elements)) => elements.values().cloned().collect(),
            Some(Value::Associative(elements)) => elements.values().cloned().collect(),
        }
    }

    /// Returns every element's subscript, in the order of [`Self::elements`].
    pub fn subscripts(&self) -> Vec<String> {
        match &self.value {
            None => Vec::new(),
            Some(Value::Scalar(_)) => vec!["0".to_owned()],
            Some(Value::Indexed(elements)) => elements.keys().map(ToString::to_string).collect(),
            Some(Value::Associative(elements)) => elements.keys().cloned().collect(),
        }
    }

    pub fn is_associative(&self) -> bool {
        matches!(self.value, Some(Value::Associative(_)))
    }

    pub fn is_array(&self) -> bool {
        matches!(self.value, Some(Value::Associative(_) | Value::Indexed(_)))
    }

    /// Sets the whole value, or element 0 of an array.
    pub fn set_text(&mut self, text: String) {
        match &mut self.value {
            Some(Value::Indexed(elements)) => drop(elements.insert(0, text)),
            Some(Value::Associative(elements)) => drop(elements.insert("0".to_owned(), text)),
            value => *value = Some(Value::Scalar(text)),
        }
    }

    /// Sets one element; a scalar becomes an array.
    pub fn set_element(&mut self, subscript: Subscript, text: String) {
        match subscript {
            Subscript::Index(index) => drop(self.indexed().insert(index, text)),
            Subscript::Key(key) => drop(self.associative().insert(key, text)),
        }
    }

    /// Returns the elements of the indexed array that this variable is made to be.
    pub fn indexed(&mut self) -> &mut BTreeMap<usize, String> {
        if !matches!(self.value, Some(Value::Indexed(_))) {
            let first = self.value.take().and_then(|value| match value {
                Value::Scalar(text) => Some((0, text)),
                _ => None,
            });
            self.value = Some(Value::Indexed(first.into_iter().collect()));
        }
        match &mut self.value {
            Some(Value::Indexed(elements)) => elements,
            _ => unreachable!("it was just made one"),
        }
    }

    /// Returns the elements of the associative array that this variable is made to be.
    pub fn associative(&mut self) -> &mut BTreeMap<String, String> {
        if !self.is_associative() {
            self.value = Some(Value::Associative(BTreeMap::new()));
        }
        match &mut self.value {
            Some(Value::Associative(elements)) => elements,
            _ => unreachable!("it was just made one"),
        }
    }

    /// Removes one element.
    pub fn remove_element(&mut self, subscript: &Subscript) {
        match (&mut self.value, subscript) {
            (Some(Value::Indexed(elements)), Subscript::Index(index)) => drop(elements.remove(index)),
            (Some(Value::Associative(elements)), Subscript::Key(key)) => drop(elements.remove(key)),
            (Some(Value::Scalar(_)), Subscript::Index(0)) => self.value = None,
            _ => {}
        }
    }
}

/// Every variable by its name. A copy shares until one side writes.
#[derive(Debug, Clone, Default)]
pub struct Variables(Rc<BTreeMap<String, Variable>>);

impl Variables {
    pub fn from_map(map: BTreeMap<String, Variable>) -> Self {
        Self(Rc::new(map))
    }

    /// Returns the name that `name` refers to.
    pub fn resolve<'a>(&'a self, name: &'a str) -> &'a str {
        let mut name = name;
        for _ in 0..MAX_REFERENCES {
            match self.0.get(name) {
                Some(variable) if variable.has(Attribute::Reference) => match variable.text() {
                    Some(target) if !target.is_empty() => name = target,
                    _ => return name,
                },
                _ => return name,
            }
        }
        name
    }

    pub fn get(&self, name: &str) -> Option<&Variable> {
        self.0.get(self.resolve(name))
    }

    /// Returns the variable itself, even when it refers to another.
    pub fn get_own(&self, name: &str) -> Option<&Variable> {
        self.0.get(name)
    }

    /// Returns the variable for changing its value; a readonly one cannot be.
    pub fn get_mut(&mut self, name: &str) -> Result<&mut Variable, Complaint> {
        let name = self.resolve(name).to_owned();
        if self.0.get(&name).is_some_and(|variable| variable.has(Attribute::Readonly)) {
            return Err(Complaint(format!("{name}: readonly variable")));
        }
        Ok(Rc::make_mut(&mut self.0).entry(name).or_default())
    }

    /// Returns the attributes of `name`, which need no value to be changed.
    pub fn attributes_mut(&mut self, name: &str) -> &mut BTreeSet<Attribute> {
        &mut Rc::make_mut(&mut self.0).entry(name.to_owned()).or_default().attributes
    }

    /// Sets a scalar, whatever its attributes.
    pub fn put(&mut self, name: &str, variable: Variable) {
        Rc::make_mut(&mut self.0).insert(name.to_owned(), variable);
    }

    pub fn remove(&mut self, name: &str) -> Option<Variable> {
        if !self.0.contains_key(name) {
            return None;
        }
        Rc::make_mut(&mut self.0).remove(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&String, &Variable)> {
        self.0.iter()
    }

    /// Returns what commands see as their environment.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let exported = self.0.iter().filter(|(_, variable)| variable.has(Attribute::Exported));
        exported.filter_map(|(name, variable)| Some((name.clone(), variable.text()?.to_owned()))).collect()
    }
}

/// Tells whether `text` is a name that a variable can have.
pub fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
