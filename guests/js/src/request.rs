//! What `fetch` does with the network: one request with its redirects, each of which the runtime's gate judges.

use boa_engine::object::ObjectInitializer;
use boa_engine::object::builtins::JsArray;
use boa_engine::property::Attribute;
use boa_engine::{Context, JsArgs as _, JsError, JsNativeError, JsResult, JsString, JsValue, js_string};
use http::{Error, Fetched, Request, Response, Url};

use crate::bytes;
use crate::library::Native;

/// What the library uses of this module.
pub const NATIVES: &[Native] = &[("request", 5, request)];

/// Bytes of one response's body; the program holds it whole, and the call may receive no more of all of them than its
/// limit says.
const MAX_BODY_BYTES: usize = 32 << 20;

/// Sends a request and returns what came back: method, URL, pairs of headers, bytes, and what to do with redirects.
fn request(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let [method, url, redirect] = [0, 1, 4].map(|index| text(args.get_or_undefined(index), context));
    let url = url?.parse::<Url>().map_err(|error| failed(&error.to_string()))?;
    let headers = headers(args.get_or_undefined(2), context)?;
    let body = bytes::of(args.get_or_undefined(3), context)?;
    let asked = Request { method: method?, url: url.clone(), headers, body };
    let fetched = match redirect?.as_str() {
        "follow" => http::follow(asked, send),
        redirect => send(&asked).and_then(|response| match response.status {
            300..=399 if redirect == "error" => Err(Error::Redirect("the response is a redirect".into())),
            _ => Ok(Fetched { url: url.clone(), response }),
        }),
    };
    let Fetched { url: from, response } = fetched.map_err(|error| failed(&error.to_string()))?;
    if response.is_cut {
        return Err(failed(&format!("the body has more than {MAX_BODY_BYTES} bytes")));
    }
    answer(&from, from != url, &response, context)
}

#[cfg(target_arch = "wasm32")]
fn send(request: &Request) -> Result<Response, Error> {
    http::send(request, MAX_BODY_BYTES)
}

/// There is no gate to send through elsewhere.
#[cfg(not(target_arch = "wasm32"))]
fn send(_: &Request) -> Result<Response, Error> {
    Err(Error::Denied)
}

fn text(value: &JsValue, context: &mut Context) -> JsResult<String> {
    Ok(value.to_string(context)?.to_std_string_lossy())
}

fn failed(why: &str) -> JsError {
    JsNativeError::typ().with_message(format!("fetch failed: {why}")).into()
}

fn headers(value: &JsValue, context: &mut Context) -> JsResult<Vec<(String, String)>> {
    let pairs = array(value)?;
    let mut headers = Vec::new();
    for index in 0..pairs.length(context)? {
        let pair = array(&pairs.get(index, context)?)?;
        let [name, value] = [0, 1].map(|part| pair.get(part, context).and_then(|part| text(&part, context)));
        headers.push((name?, value?));
    }
    Ok(headers)
}

fn array(value: &JsValue) -> JsResult<JsArray> {
    JsArray::from_object(value.as_object().ok_or_else(|| failed("the headers are no list"))?)
}

fn answer(url: &Url, redirected: bool, response: &Response, context: &mut Context) -> JsResult<JsValue> {
    let body = bytes::array(&response.body, context)?;
    let headers = JsArray::new(context)?;
    for (name, value) in &response.headers {
        let pair = [name, value].map(|text| JsString::from(text.as_str()).into());
        headers.push(JsArray::from_iter(pair, context), context)?;
    }
    let parts: [(&str, JsValue); 5] = [
        ("status", response.status.into()),
        ("url", js_string!(url.as_str()).into()),
        ("redirected", redirected.into()),
        ("headers", headers.into()),
        ("body", body),
    ];
    let mut object = ObjectInitializer::new(context);
    for (name, value) in parts {
        object.property(JsString::from(name), value, Attribute::all());
    }
    Ok(object.build().into())
}
