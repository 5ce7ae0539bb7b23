//! The libraries that a program may import, and what of them is not JavaScript. Each is read when it is first asked for:
//! a program that needs none does not pay for any.

use std::path::Path;

use boa_engine::native_function::NativeFunctionPointer;
use boa_engine::object::ObjectInitializer;
use boa_engine::{Context, JsObject, JsResult, JsString, JsValue, NativeFunction, Script, Source};

use crate::globals::host;
use crate::{address, bytes, files, modules, request};

/// A function that is not JavaScript: its name, how many arguments it declares, and itself.
pub type Native = (&'static str, usize, NativeFunctionPointer);

/// A library of the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Library {
    Fs,
    Path,
    /// What is a global in browsers and Node: `URL`, `TextEncoder` and so on.
    Web,
    /// The globals of the network.
    Fetch,
}

impl Library {
    const fn source(self) -> (&'static str, &'static str) {
        match self {
            Self::Fs => ("js:fs", include_str!("library/fs.js")),
            Self::Path => ("js:path", include_str!("library/path.js")),
            Self::Web => ("js:web", include_str!("library/web.js")),
            Self::Fetch => ("js:fetch", include_str!("library/fetch.js")),
        }
    }

    const fn natives(self) -> &'static [&'static [Native]] {
        match self {
            Self::Fs => &[files::NATIVES, bytes::NATIVES],
            Self::Path => &[modules::NATIVES],
            Self::Web => &[bytes::NATIVES, address::NATIVES],
            Self::Fetch => &[bytes::NATIVES, request::NATIVES],
        }
    }

    /// Returns the library's object, the same one each time.
    pub fn load(self, context: &mut Context) -> JsResult<JsObject> {
        let host = host(context);
        if let Some(library) = host.libraries.borrow().get(&self) {
            return Ok(library.clone());
        }
        let library = self.evaluate(context)?;
        host.libraries.borrow_mut().insert(self, library.clone());
        Ok(library)
    }

    fn evaluate(self, context: &mut Context) -> JsResult<JsObject> {
        let (path, text) = self.source();
        let script = Script::parse(Source::from_bytes(text).with_path(Path::new(path)), None, context)?;
        let make = script.evaluate(context)?;
        let native = object(self.natives().iter().copied().flatten(), context);
        let make = make.as_callable().expect("each library is a function of its natives");
        let library = make.call(&JsValue::undefined(), &[native.into()], context)?;
        Ok(library.as_object().expect("each library returns an object"))
    }
}

/// Returns an object with these functions.
pub fn object<'a>(natives: impl Iterator<Item = &'a Native>, context: &mut Context) -> JsObject {
    let mut object = ObjectInitializer::new(context);
    for (name, length, function) in natives {
        object.function(NativeFunction::from_fn_ptr(*function), JsString::from(*name), *length);
    }
    object.build()
}

/// Makes each of these functions a global.
pub fn globals(natives: &[Native], context: &mut Context) -> JsResult<()> {
    for (name, length, function) in natives {
        let function = NativeFunction::from_fn_ptr(*function);
        context.register_global_builtin_callable(JsString::from(*name), *length, function)?;
    }
    Ok(())
}
