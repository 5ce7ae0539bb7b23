//! URLs and their queries, as the URL standard has them.

use boa_engine::object::ObjectInitializer;
use boa_engine::object::builtins::JsArray;
use boa_engine::property::Attribute;
use boa_engine::{Context, JsArgs as _, JsResult, JsString, JsValue, js_string};
use url::{Url, form_urlencoded, quirks};

use crate::library::Native;

/// What the program's libraries use of this module.
pub const NATIVES: &[Native] = &[
    ("parseUrl", 2, parse_url),
    ("setUrl", 3, set_url),
    ("parseQuery", 1, parse_query),
    ("formatQuery", 1, format_query),
];

fn text(value: &JsValue, context: &mut Context) -> JsResult<String> {
    Ok(value.to_string(context)?.to_std_string_lossy())
}

/// Returns the parts of a URL, or null for what is none.
fn parse_url(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let url = text(args.get_or_undefined(0), context)?;
    let parsed = match args.get_or_undefined(1) {
        base if base.is_undefined() => Url::parse(&url),
        base => Url::parse(&text(base, context)?).and_then(|base| base.join(&url)),
    };
    Ok(parsed.map_or(JsValue::null(), |url| parts(&url, context)))
}

/// Returns the parts of a URL with one of them replaced, or null where it cannot be.
fn set_url(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let [url, part, value] = [0, 1, 2].map(|index| text(args.get_or_undefined(index), context));
    let Ok(mut url) = Url::parse(&url?) else { return Ok(JsValue::null()) };
    let is_changed = replace(&mut url, &part?, &value?);
    Ok(if is_changed { parts(&url, context) } else { JsValue::null() })
}

/// Replaces one part of `url`; false where it cannot be.
fn replace(url: &mut Url, part: &str, value: &str) -> bool {
    match part {
        "pathname" => quirks::set_pathname(url, value),
        "search" => quirks::set_search(url, value),
        "hash" => quirks::set_hash(url, value),
        part => return replace_checked(url, part, value).is_ok(),
    }
    true
}

fn replace_checked(url: &mut Url, part: &str, value: &str) -> Result<(), ()> {
    match part {
        "protocol" => quirks::set_protocol(url, value),
        "username" => quirks::set_username(url, value),
        "password" => quirks::set_password(url, value),
        "host" => quirks::set_host(url, value),
        "hostname" => quirks::set_hostname(url, value),
        "port" => quirks::set_port(url, value),
        _ => Err(()),
    }
}

fn parts(url: &Url, context: &mut Context) -> JsValue {
    let origin = quirks::origin(url);
    let mut parts = ObjectInitializer::new(context);
    for (name, value) in [
        ("href", quirks::href(url)),
        ("origin", &origin),
        ("protocol", quirks::protocol(url)),
        ("username", quirks::username(url)),
        ("password", quirks::password(url)),
        ("host", quirks::host(url)),
        ("hostname", quirks::hostname(url)),
        ("port", quirks::port(url)),
        ("pathname", quirks::pathname(url)),
        ("search", quirks::search(url)),
        ("hash", quirks::hash(url)),
    ] {
        parts.property(JsString::from(name), JsString::from(value), Attribute::all());
    }
    parts.build().into()
}

fn parse_query(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let query = text(args.get_or_undefined(0), context)?;
    let mut pairs = Vec::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let pair = [js_string!(&*name).into(), js_string!(&*value).into()];
        pairs.push(JsArray::from_iter(pair, context).into());
    }
    Ok(JsArray::from_iter(pairs, context).into())
}

fn format_query(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let pairs: Vec<(JsString, JsString)> = args.get_or_undefined(0).try_js_into(context)?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        query.append_pair(&name.to_std_string_lossy(), &value.to_std_string_lossy());
    }
    Ok(js_string!(query.finish()).into())
}
