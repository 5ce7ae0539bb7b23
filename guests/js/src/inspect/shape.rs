//! What an object is, told from what lies in it: nothing is called.

use boa_engine::builtins::proxy::Proxy;
use boa_engine::object::builtins::JsProxy;
use boa_engine::property::{PropertyDescriptor, PropertyKey};
use boa_engine::{JsObject, JsString, JsSymbol, js_string};

/// Prototypes that are followed: a chain has few, and this ends also the longest.
const MAX_PROTOTYPES: usize = 100;

/// Returns the own property `key`, without calling its getter.
pub(crate) fn own(object: &JsObject, key: &PropertyKey) -> Option<PropertyDescriptor> {
    object.borrow().properties().get(key)
}

/// Tells whether `object` is a proxy, whose every reading is code of the program.
pub(crate) fn is_proxy(object: &JsObject) -> bool {
    object.is::<Proxy>() || JsProxy::from_object(object.clone()).is_ok()
}

/// Returns the own data property `key` when it is a string.
pub(crate) fn own_text(object: &JsObject, key: impl Into<PropertyKey>) -> Option<JsString> {
    own(object, &key.into())?.value()?.as_string()
}

/// Returns the object's prototypes, nearest first.
fn prototypes(object: &JsObject) -> impl Iterator<Item = JsObject> {
    std::iter::successors(object.prototype(), |object| object.prototype()).take(MAX_PROTOTYPES)
}

/// Returns the name of the constructor that made `object`; `None` where it has none.
pub(crate) fn name(object: &JsObject) -> Option<String> {
    let named = |prototype: JsObject| {
        let constructor = own(&prototype, &js_string!("constructor").into())?.value()?.as_object()?;
        own_text(&constructor, js_string!("name")).filter(|name| !name.is_empty())
    };
    prototypes(object).find_map(named).map(|name| name.to_std_string_lossy())
}

/// Returns the object's `Symbol.toStringTag`, own or inherited, where it is plain data.
pub(crate) fn tag(object: &JsObject) -> Option<String> {
    text(object, JsSymbol::to_string_tag())
}

/// Returns the name of a function, empty where it has none.
pub(crate) fn function_name(function: &JsObject) -> String {
    own_text(function, js_string!("name")).map(|name| name.to_std_string_lossy()).unwrap_or_default()
}

/// Returns the text under `key`, own or inherited, where it is plain data.
pub(crate) fn text(object: &JsObject, key: impl Into<PropertyKey>) -> Option<String> {
    let key = key.into();
    std::iter::once(object.clone())
        .chain(prototypes(object))
        .find_map(|object| own_text(&object, key.clone()))
        .map(|text| text.to_std_string_lossy())
}

/// Returns the `length` of an array or of arguments.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a length is whole and below 2³²")]
pub(crate) fn length(object: &JsObject) -> u32 {
    let length = own(object, &js_string!("length").into());
    let number = length.and_then(|length| length.value()?.as_number()).unwrap_or_default();
    number as u32
}
