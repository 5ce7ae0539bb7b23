//! Bytes as text and back, and as the program's typed arrays.

use boa_engine::object::builtins::{AlignedVec, JsArray, JsArrayBuffer, JsUint8Array};
use boa_engine::{Context, JsArgs as _, JsNativeError, JsResult, JsString, JsValue, js_string};
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL_NOPAD, Encoding as Alphabet, HEXLOWER, HEXLOWER_PERMISSIVE};

use crate::library::Native;

/// What the program's libraries use of this module.
pub const NATIVES: &[Native] = &[
    ("encode", 2, encode),
    ("decode", 2, decode),
    ("decodeUtf8", 3, decode_utf8),
    ("toBase64", 1, to_base64),
    ("fromBase64", 1, from_base64),
];

/// How text stands for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Base64,
    Base64Url,
    Hex,
    Latin1,
}

impl Encoding {
    fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "utf8" | "utf-8" => Self::Utf8,
            "base64" => Self::Base64,
            "base64url" => Self::Base64Url,
            "hex" => Self::Hex,
            "latin1" | "binary" => Self::Latin1,
            _ => return None,
        })
    }

    fn text(self, bytes: &[u8]) -> String {
        match self {
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Base64 => BASE64.encode(bytes),
            Self::Base64Url => BASE64URL_NOPAD.encode(bytes),
            Self::Hex => HEXLOWER.encode(bytes),
            Self::Latin1 => bytes.iter().map(|byte| char::from(*byte)).collect(),
        }
    }

    fn bytes(self, text: &JsString) -> Option<Vec<u8>> {
        let lossy = text.to_std_string_lossy();
        match self {
            Self::Utf8 => Some(lossy.into_bytes()),
            Self::Base64 | Self::Base64Url => decode_base64(&lossy),
            Self::Hex => HEXLOWER_PERMISSIVE.decode(lossy.as_bytes()).ok(),
            Self::Latin1 => text.iter().map(|unit| u8::try_from(unit).ok()).collect(),
        }
    }
}

/// Decodes base64 as browsers do: in both alphabets, without regard to spaces, padding and the bits that are left over.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let letters: String = text.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
    let body = letters.trim_end_matches('=');
    let padding = letters.len() - body.len();
    if padding > 2 || (padding > 0 && !letters.len().is_multiple_of(4)) {
        return None;
    }
    let body = body.replace('-', "+").replace('_', "/");
    lenient().decode(body.as_bytes()).ok()
}

fn lenient() -> Alphabet {
    let mut specification = BASE64_NOPAD.specification();
    specification.check_trailing_bits = false;
    specification.encoding().expect("the standard alphabet is one")
}

/// Returns a new `Uint8Array` of `bytes`.
pub fn array(bytes: &[u8], context: &mut Context) -> JsResult<JsValue> {
    let buffer = JsArrayBuffer::from_byte_block(AlignedVec::from_slice(0, bytes), context)?;
    Ok(JsUint8Array::from_array_buffer(buffer, context)?.into())
}

/// Returns the bytes of a `Uint8Array`.
pub fn of(value: &JsValue, context: &mut Context) -> JsResult<Vec<u8>> {
    let object = value.as_object().ok_or_else(|| JsNativeError::typ().with_message("not a Uint8Array"))?;
    JsUint8Array::from_object(object)?.to_vec(context)
}

fn encoding(value: &JsValue, context: &mut Context) -> JsResult<Encoding> {
    let name = value.to_string(context)?.to_std_string_lossy();
    Encoding::named(&name).ok_or_else(|| {
        let known = "utf8, base64, base64url, hex, latin1";
        JsNativeError::typ().with_message(format!("Unknown encoding: {name}; there are {known}")).into()
    })
}

fn encode(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = args.get_or_undefined(0).to_string(context)?;
    let encoding = encoding(args.get_or_undefined(1), context)?;
    let bytes = encoding.bytes(&text);
    let bytes =
        bytes.ok_or_else(|| JsNativeError::typ().with_message(format!("the text is not valid {encoding:?}")))?;
    array(&bytes, context)
}

fn decode(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let bytes = of(args.get_or_undefined(0), context)?;
    let encoding = encoding(args.get_or_undefined(1), context)?;
    Ok(js_string!(encoding.text(&bytes)).into())
}

/// Returns the text of UTF-8 bytes and how many of them it took: of a stream, a character that is cut off waits.
fn decode_utf8(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let bytes = of(args.get_or_undefined(0), context)?;
    let is_fatal = args.get_or_undefined(1).to_boolean();
    let is_stream = args.get_or_undefined(2).to_boolean();
    let used = if is_stream { bytes.len() - cut_off(&bytes) } else { bytes.len() };
    let text = String::from_utf8_lossy(&bytes[..used]);
    if is_fatal && std::str::from_utf8(&bytes[..used]).is_err() {
        return Err(JsNativeError::typ().with_message("The encoded data was not valid for encoding utf-8").into());
    }
    let parts = [js_string!(&*text).into(), used.into()];
    Ok(JsArray::from_iter(parts, context).into())
}

/// Returns how many bytes at the end are the start of a character.
fn cut_off(bytes: &[u8]) -> usize {
    (1..=bytes.len().min(3))
        .find(|length| {
            let end = &bytes[bytes.len() - length..];
            matches!(std::str::from_utf8(end), Err(error) if error.valid_up_to() == 0 && error.error_len().is_none())
        })
        .unwrap_or(0)
}

fn to_base64(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = args.get_or_undefined(0).to_string(context)?;
    let bytes = Encoding::Latin1.bytes(&text);
    Ok(bytes.map_or(JsValue::null(), |bytes| js_string!(BASE64.encode(&bytes)).into()))
}

fn from_base64(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = args.get_or_undefined(0).to_string(context)?.to_std_string_lossy();
    let is_standard = !text.contains(['-', '_']);
    let bytes = is_standard.then(|| decode_base64(&text)).flatten();
    Ok(bytes.map_or(JsValue::null(), |bytes| js_string!(Encoding::Latin1.text(&bytes)).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_browsers_read_it() {
        for (text, expected) in [
            ("aGk=", Some("hi")),
            ("aGk", Some("hi")),
            (" aG k=\n", Some("hi")),
            ("-_-_", Some("\u{fb}\u{ff}\u{bf}")),
            ("aGl=", Some("hi")),
            ("a", None),
            ("aGk==", None),
            ("a$==", None),
            ("", Some("")),
        ] {
            let expected = expected.map(|text| text.chars().map(|letter| letter as u8).collect::<Vec<_>>());
            assert_eq!(decode_base64(text), expected, "{text}");
        }
    }

    #[test]
    fn encodings_turn_around() {
        let bytes = [0, 104, 255];
        for (encoding, text) in [
            (Encoding::Base64, "AGj/"),
            (Encoding::Base64Url, "AGj_"),
            (Encoding::Hex, "0068ff"),
            (Encoding::Latin1, "\0h\u{ff}"),
        ] {
            assert_eq!(encoding.text(&bytes), text);
            assert_eq!(encoding.bytes(&js_string!(text)), Some(bytes.to_vec()), "{encoding:?}");
        }
        assert_eq!(Encoding::Hex.bytes(&js_string!("0x")), None);
    }

    #[test]
    fn a_character_that_is_cut_off_waits() {
        let whole = "a€".as_bytes();
        let cuts: Vec<_> = (1..=whole.len()).map(|end| cut_off(&whole[..end])).collect();
        assert_eq!(cuts, [0, 1, 2, 0]);
        assert_eq!(cut_off(b"\xff"), 0);
    }
}
