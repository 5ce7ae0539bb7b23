//! What stands in an object's brackets.

use boa_engine::builtins::array_buffer::ArrayBuffer;
use boa_engine::builtins::date::Date;
use boa_engine::builtins::error::Error;
use boa_engine::builtins::function::OrdinaryFunction;
use boa_engine::builtins::promise::PromiseState;
use boa_engine::builtins::typed_array::TypedArray;
use boa_engine::object::builtins::{JsArrayBuffer, JsDate, JsMap, JsPromise, JsRegExp, JsSet, JsTypedArray};
use boa_engine::property::{PropertyDescriptor, PropertyKey};
use boa_engine::{JsObject, JsResult, JsString, JsSymbol, JsValue, js_string};

use super::primitive::{is_identifier, quote};
use super::{Brackets, MAX_ENTRIES, Printer, Shown, shape};

impl Printer<'_> {
    /// Returns the text of an object that is one word, whatever it holds.
    pub(super) fn leaf(&mut self, object: &JsObject) -> Option<String> {
        if shape::is_proxy(object) {
            return Some("[Proxy]".into());
        }
        if object.is::<Date>() {
            return self.date(object).ok();
        }
        let regexp = JsRegExp::from_object(object.clone()).ok()?;
        regexp.to_string(self.context).ok()
    }

    fn date(&mut self, object: &JsObject) -> JsResult<String> {
        let date = JsDate::from_object(object.clone())?;
        match date.to_iso_string(self.context) {
            Ok(text) => Ok(super::inspect(&text, self.context)),
            Err(_) => Ok("Invalid Date".into()),
        }
    }

    /// Returns the parts of any other object.
    pub(super) fn shown(&mut self, object: &JsObject) -> Shown {
        if object.is_array() {
            return self.array(object);
        }
        if object.is_callable() {
            return Shown {
                prefix: function(object),
                brackets: Brackets::Optional,
                entries: self.properties(object, |_| true),
            };
        }
        if object.is::<Error>() {
            return self.error(object);
        }
        self.collection(object).unwrap_or_else(|| self.special(object))
    }

    fn array(&mut self, object: &JsObject) -> Shown {
        let length = shape::length(object);
        let mut entries = self.items(object, length);
        entries.extend(self.properties(object, |key| !matches!(key, PropertyKey::Index(_))));
        let name = shape::name(object).unwrap_or_else(|| "[Array: null prototype]".into());
        let prefix = if name == "Array" { String::new() } else { format!("{name}({length})") };
        Shown { prefix, brackets: Brackets::Square, entries }
    }

    /// Returns the first entries of an array, with its holes counted.
    fn items(&mut self, object: &JsObject, length: u32) -> Vec<String> {
        let (mut entries, mut index, mut hole) = (Vec::new(), 0, 0_u32);
        while index < length && entries.len() < MAX_ENTRIES {
            if let Some(property) = shape::own(object, &index.into()) {
                push_hole(&mut entries, std::mem::take(&mut hole));
                entries.push(self.property(&property));
                index += 1;
            } else {
                let next = next_index(object, index).unwrap_or(length);
                hole += next - index;
                index = next;
            }
        }
        push_hole(&mut entries, hole);
        push_rest(&mut entries, (length - index) as usize, "item");
        entries
    }

    fn collection(&mut self, object: &JsObject) -> Option<Shown> {
        if let Ok(map) = JsMap::from_object(object.clone()) {
            let mut pairs = Vec::new();
            map.for_each_native(|key, value| {
                pairs.push((key, value));
                Ok(())
            })
            .ok()?;
            return Some(self.of_size(object, &pairs, |printer, (key, value)| {
                format!("{} => {}", printer.value(key), printer.value(value))
            }));
        }
        let set = JsSet::from_object(object.clone()).ok()?;
        let mut values = Vec::new();
        set.for_each_native(|value| {
            values.push(value);
            Ok(())
        })
        .ok()?;
        Some(self.of_size(object, &values, Self::value))
    }

    fn of_size<T>(&mut self, object: &JsObject, items: &[T], show: impl Fn(&mut Self, &T) -> String) -> Shown {
        let mut entries: Vec<_> = items.iter().take(MAX_ENTRIES).map(|item| show(self, item)).collect();
        push_rest(&mut entries, items.len().saturating_sub(MAX_ENTRIES), "item");
        entries.extend(self.properties(object, |_| true));
        let name = shape::name(object).unwrap_or_else(|| "Object".into());
        Shown { prefix: format!("{name}({})", items.len()), brackets: Brackets::Curly, entries }
    }

    fn special(&mut self, object: &JsObject) -> Shown {
        if object.is::<TypedArray>() {
            return self.typed_array(object);
        }
        if let Ok(promise) = JsPromise::from_object(object.clone()) {
            let state = match promise.state() {
                PromiseState::Pending => "<pending>".into(),
                PromiseState::Fulfilled(value) => self.value(&value),
                PromiseState::Rejected(reason) => format!("<rejected> {}", self.value(&reason)),
            };
            return with_first(self.plain(object), state);
        }
        if object.is::<ArrayBuffer>() {
            let bytes = JsArrayBuffer::from_object(object.clone()).map_or(0, |buffer| buffer.byte_length());
            return with_first(self.plain(object), format!("byteLength: {bytes}"));
        }
        match shape::tag(object).as_deref() {
            Some("WeakMap" | "WeakSet" | "WeakRef") => with_first(self.plain(object), "<items unknown>".into()),
            Some("Module") => self.namespace(object),
            _ => self.boxed(object),
        }
    }

    fn typed_array(&mut self, object: &JsObject) -> Shown {
        let name = shape::name(object).unwrap_or_else(|| "TypedArray".into());
        let array = JsTypedArray::from_object(object.clone());
        let length = array.as_ref().map_or(0, |array| array.length(self.context).unwrap_or(0));
        let mut entries = Vec::new();
        if let Ok(array) = array {
            for index in (0_i64..).take(length.min(MAX_ENTRIES)) {
                let value = array.at(index, self.context).unwrap_or_default();
                entries.push(self.value(&value));
            }
        }
        push_rest(&mut entries, length.saturating_sub(MAX_ENTRIES), "item");
        Shown { prefix: format!("{name}({length})"), brackets: Brackets::Square, entries }
    }

    /// Returns a wrapped primitive, the arguments of a function, or any other object.
    fn boxed(&mut self, object: &JsObject) -> Shown {
        if object.is::<JsString>() || object.is::<f64>() || object.is::<bool>() {
            let inner = self.unwrapped(object);
            let name = shape::name(object).unwrap_or_else(|| "Object".into());
            let entries = self.properties(object, |key| !matches!(key, PropertyKey::Index(_)));
            return Shown { prefix: format!("[{name}: {inner}]"), brackets: Brackets::Optional, entries };
        }
        if is_arguments(object) {
            let entries = self.items(object, shape::length(object));
            return Shown { prefix: "[Arguments]".into(), brackets: Brackets::Square, entries };
        }
        self.plain(object)
    }

    fn unwrapped(&mut self, object: &JsObject) -> String {
        let text = object.downcast_ref::<JsString>().map(|text| quote(&text));
        let number = object.downcast_ref::<f64>().map(|number| *number);
        let truth = object.downcast_ref::<bool>().map(|truth| *truth);
        text.or_else(|| number.map(|number| self.value(&number.into())))
            .or_else(|| truth.map(|truth| truth.to_string()))
            .unwrap_or_default()
    }

    /// Returns the exports of a module; a variable that is not initialised yet is not there.
    fn namespace(&mut self, object: &JsObject) -> Shown {
        let keys = object.own_property_keys(self.context).unwrap_or_default();
        let mut entries = Vec::new();
        for key in keys.iter().filter(|key| !matches!(key, PropertyKey::Symbol(_))) {
            let value = object.get(key.clone(), self.context).unwrap_or_default();
            entries.push(format!("{}: {}", key_text(key), self.value(&value)));
        }
        Shown { prefix: "[Module: null prototype]".into(), brackets: Brackets::Curly, entries }
    }

    /// Returns an error with its stack, and what else the program put on it.
    fn error(&mut self, object: &JsObject) -> Shown {
        let hidden = ["message", "stack", "name"].map(|name| PropertyKey::from(js_string!(name)));
        let mut entries = self.properties(object, |key| !hidden.contains(key));
        if let Some(cause) = shape::own(object, &js_string!("cause").into()) {
            entries.push(format!("[cause]: {}", self.property(&cause)));
        }
        Shown { prefix: crate::report::stack(object, self.context), brackets: Brackets::Optional, entries }
    }

    fn plain(&mut self, object: &JsObject) -> Shown {
        let name = shape::name(object).unwrap_or_else(|| "[Object: null prototype]".into());
        let tag = shape::tag(object).filter(|tag| *tag != name).map(|tag| format!("[{tag}]"));
        let prefix = match tag {
            Some(tag) => format!("{name} {tag}"),
            None if name == "Object" => String::new(),
            None => name,
        };
        Shown { prefix, brackets: Brackets::Curly, entries: self.properties(object, |_| true) }
    }

    /// Returns the enumerable properties whose keys are `wanted`.
    fn properties(&mut self, object: &JsObject, wanted: impl Fn(&PropertyKey) -> bool) -> Vec<String> {
        let keys = object.own_property_keys(self.context).unwrap_or_default();
        let enumerable = |key: &PropertyKey| shape::own(object, key).filter(|found| found.enumerable() == Some(true));
        let found: Vec<_> =
            keys.iter().filter(|key| wanted(key)).filter_map(|key| Some((key, enumerable(key)?))).collect();
        let show = |(key, property): &(&PropertyKey, PropertyDescriptor)| {
            format!("{}: {}", key_text(key), self.property(property))
        };
        let mut entries: Vec<_> = found.iter().take(MAX_ENTRIES).map(show).collect();
        push_rest(&mut entries, found.len().saturating_sub(MAX_ENTRIES), "property");
        entries
    }

    fn property(&mut self, property: &PropertyDescriptor) -> String {
        let is_set = |accessor: Option<&JsValue>| accessor.is_some_and(|accessor| !accessor.is_undefined());
        match (property.value(), is_set(property.get()), is_set(property.set())) {
            (Some(value), ..) => self.value(value),
            (None, true, true) => "[Getter/Setter]".into(),
            (None, true, false) => "[Getter]".into(),
            (None, false, true) => "[Setter]".into(),
            (None, false, false) => "undefined".into(),
        }
    }
}

fn with_first(mut shown: Shown, first: String) -> Shown {
    shown.entries.insert(0, first);
    shown
}

/// Returns the first index of the array at or after `from` that it has.
fn next_index(object: &JsObject, from: u32) -> Option<u32> {
    object.borrow().properties().index_property_keys().filter(|index| *index >= from).min()
}

/// Tells whether `object` is a function's `arguments`: nothing else has a hidden callee and a hidden iterator of its own.
fn is_arguments(object: &JsObject) -> bool {
    let is_hidden = |key: PropertyKey| shape::own(object, &key).is_some_and(|found| found.enumerable() == Some(false));
    is_hidden(js_string!("callee").into()) && is_hidden(JsSymbol::iterator().into())
}

fn function(object: &JsObject) -> String {
    let name = shape::function_name(object);
    let is_class = object.downcast_ref::<OrdinaryFunction>().is_some_and(|_| {
        shape::own(object, &js_string!("prototype").into()).is_some_and(|property| property.writable() == Some(false))
    });
    let kind = shape::tag(object).unwrap_or_else(|| "Function".into());
    if is_class && kind == "Function" {
        return class(object, &name);
    }
    if name.is_empty() { format!("[{kind} (anonymous)]") } else { format!("[{kind}: {name}]") }
}

fn class(object: &JsObject, name: &str) -> String {
    let name = if name.is_empty() { "(anonymous)" } else { name };
    match object.prototype().map(|above| shape::function_name(&above)).filter(|above| !above.is_empty()) {
        Some(above) => format!("[class {name} extends {above}]"),
        None => format!("[class {name}]"),
    }
}

fn key_text(key: &PropertyKey) -> String {
    match key {
        PropertyKey::Symbol(symbol) => format!("[{}]", symbol.descriptive_string().to_std_string_lossy()),
        PropertyKey::Index(index) => format!("'{}'", index.get()),
        PropertyKey::String(name) => {
            let text = name.to_std_string_lossy();
            if is_identifier(&text) { text } else { quote(name) }
        }
    }
}

fn push_hole(entries: &mut Vec<String>, length: u32) {
    match length {
        0 => {}
        1 => entries.push("<1 empty item>".into()),
        length => entries.push(format!("<{length} empty items>")),
    }
}

fn push_rest(entries: &mut Vec<String>, rest: usize, noun: &str) {
    let plural = if noun == "property" { "properties".into() } else { format!("{noun}s") };
    match rest {
        0 => {}
        1 => entries.push(format!("... 1 more {noun}")),
        rest => entries.push(format!("... {rest} more {plural}")),
    }
}
