//! Modules: what a specifier means, and where it is read from.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::rc::Rc;

use boa_engine::module::{ModuleLoader, ModuleRequest, Referrer, SyntheticModuleInitializer};
use boa_engine::property::PropertyKey;
use boa_engine::{Context, JsNativeError, JsObject, JsResult, JsString, Module, Source, js_string};
use kit::display;

use crate::files::is_outside;
use crate::globals;
use crate::library::{Library, Native};

/// Where relative paths start, for modules as for files.
pub const HOME: &str = "/work";

/// What `path` needs to know of the world.
pub const NATIVES: &[Native] = &[("cwd", 0, globals::cwd)];

/// What may follow the path that an import names.
const ENDINGS: [&str; 6] = ["", ".js", ".mjs", ".json", "/index.js", "/index.mjs"];

/// What a specifier means.
#[derive(Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A library of the runtime.
    Library(Library),
    /// `fs/promises`, which is a part of one.
    Promises,
    /// A file, absolute; perhaps without its ending.
    File(String),
    /// A package's name. There are no packages.
    Bare,
}

/// Returns what `specifier` means in the file `importer`.
pub fn meaning(specifier: &str, importer: &str) -> Meaning {
    match specifier.strip_prefix("node:").unwrap_or(specifier) {
        "fs" => return Meaning::Library(Library::Fs),
        "fs/promises" => return Meaning::Promises,
        "path" | "path/posix" => return Meaning::Library(Library::Path),
        _ => {}
    }
    let path = specifier.strip_prefix("file://").unwrap_or(specifier);
    if path.starts_with('/') {
        return Meaning::File(settled(path));
    }
    let is_relative = matches!(path, "." | "..") || path.starts_with("./") || path.starts_with("../");
    if !is_relative {
        return Meaning::Bare;
    }
    let folder = importer.rsplit_once('/').map_or(HOME, |(folder, _)| folder);
    Meaning::File(settled(&format!("{folder}/{path}")))
}

/// Returns `path` without `.` and `..`.
fn settled(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// Reads modules, each once.
#[derive(Default)]
pub struct Loader {
    files: RefCell<HashMap<String, Module>>,
}

impl Loader {
    /// Returns the module of the file `path`, which stands there exactly.
    pub fn file(&self, path: &str, is_json: bool, context: &mut Context) -> JsResult<Module> {
        if let Some(module) = self.files.borrow().get(path) {
            return Ok(module.clone());
        }
        let text = read(path)?;
        let module = if is_json || Path::new(path).extension().is_some_and(|ending| ending == "json") {
            Module::parse_json(js_string!(text.as_str()), context)
        } else {
            let source = Source::from_bytes(text.trim_start_matches('\u{feff}')).with_path(Path::new(path));
            Module::parse(source, None, context)
        };
        let module = module.map_err(|error| located(error, path, context))?;
        self.files.borrow_mut().insert(path.to_owned(), module.clone());
        Ok(module)
    }

    fn load(&self, referrer: &Referrer, request: &ModuleRequest, context: &mut Context) -> JsResult<Module> {
        let specifier = request.specifier().to_std_string_lossy();
        let is_json = is_json(request)?;
        let importer = referrer.path().map_or_else(|| format!("{HOME}/"), |path| path.display().to_string());
        match meaning(&specifier, &importer) {
            Meaning::Library(library) => {
                let exports = library.load(context)?;
                exporting(&exports, context)
            }
            Meaning::Promises => {
                let exports = promises(context)?;
                exporting(&exports, context)
            }
            Meaning::File(path) => {
                let path = find(&path).ok_or_else(|| missing(&specifier, &importer))?;
                self.file(&path, is_json, context)
            }
            Meaning::Bare => Err(bare(&specifier)),
        }
    }
}

impl ModuleLoader for Loader {
    fn load_imported_module(
        self: Rc<Self>,
        referrer: Referrer,
        request: ModuleRequest,
        context: &RefCell<&mut Context>,
    ) -> impl Future<Output = JsResult<Module>> {
        let module = self.load(&referrer, &request, &mut context.borrow_mut());
        std::future::ready(module)
    }

    fn init_import_meta(self: Rc<Self>, meta: &JsObject, module: &Module, context: &mut Context) {
        let path = module.path().map_or_else(|| HOME.to_owned(), |path| path.display().to_string());
        let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder).to_owned();
        for (name, value) in [("dirname", folder), ("url", format!("file://{path}")), ("filename", path)] {
            meta.create_data_property(JsString::from(name), JsString::from(value), context)
                .expect("the object is new and takes properties");
        }
    }
}

/// Returns `fs/promises`.
pub fn promises(context: &mut Context) -> JsResult<JsObject> {
    let promises = Library::Fs.load(context)?.get(js_string!("promises"), context)?;
    Ok(promises.as_object().expect("the library has them"))
}

/// Returns a module whose exports are the properties of `exports`, and by default all of them.
fn exporting(exports: &JsObject, context: &mut Context) -> JsResult<Module> {
    let mut names = vec![js_string!("default")];
    for key in exports.own_property_keys(context)? {
        if let PropertyKey::String(name) = key {
            names.push(name);
        }
    }
    let initialise = SyntheticModuleInitializer::from_copy_closure_with_captures(
        |module, (names, exports): &(Vec<JsString>, JsObject), context| {
            module.set_export(&names[0], exports.clone().into())?;
            for name in &names[1..] {
                module.set_export(name, exports.get(name.clone(), context)?)?;
            }
            Ok(())
        },
        (names.clone(), exports.clone()),
    );
    Ok(Module::synthetic(&names, initialise, None, None, context))
}

fn is_json(request: &ModuleRequest) -> JsResult<bool> {
    match request.get_attribute("type").map(JsString::to_std_string_lossy).as_deref() {
        None => Ok(false),
        Some("json") => Ok(true),
        Some(other) => {
            Err(JsNativeError::typ().with_message(format!("there are no modules of type \"{other}\"")).into())
        }
    }
}

fn find(path: &str) -> Option<String> {
    if is_outside(path) {
        return None;
    }
    ENDINGS.iter().map(|ending| format!("{path}{ending}")).find(|path| Path::new(path).is_file())
}

fn read(path: &str) -> JsResult<String> {
    fs::read_to_string(path).map_err(|error| {
        let reason = match error.kind() {
            ErrorKind::InvalidData => "it is not UTF-8 text".into(),
            _ => error.to_string(),
        };
        JsNativeError::error().with_message(format!("Cannot read module {}: {reason}", display(path))).into()
    })
}

/// Says in which file a module does not parse.
fn located(error: boa_engine::JsError, path: &str, context: &mut Context) -> boa_engine::JsError {
    match error.try_native(context) {
        Ok(native) => JsNativeError::syntax().with_message(format!("{}: {}", display(path), native.message())).into(),
        Err(_) => error,
    }
}

fn missing(specifier: &str, importer: &str) -> boa_engine::JsError {
    let message = format!(
        "Cannot find module '{specifier}' imported from {}: there is no such file in the workspace",
        display(importer)
    );
    JsNativeError::error().with_message(message).into()
}

/// Refuses a package's name.
pub fn bare(specifier: &str) -> boa_engine::JsError {
    let message = format!(
        "Cannot find package '{specifier}': there are no packages here. A file is imported by its path (\"./lib.js\"); \
         of Node's modules there are fs, fs/promises and path"
    );
    JsNativeError::error().with_message(message).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_mean_files_libraries_or_nothing() {
        let file = |path: &str| Meaning::File(path.into());
        for (specifier, importer, expected) in [
            ("./a.js", "/work/main.js", file("/work/a.js")),
            ("./a.js", "/work/lib/b.js", file("/work/lib/a.js")),
            ("../a", "/work/lib/b.js", file("/work/a")),
            ("..", "/work/lib/b.js", file("/work")),
            ("../../../../etc/passwd", "/work/b.js", file("/etc/passwd")),
            ("/work/a.js", "/work/b.js", file("/work/a.js")),
            ("file:///work/a.js", "/work/b.js", file("/work/a.js")),
            ("fs", "/work/b.js", Meaning::Library(Library::Fs)),
            ("node:path", "/work/b.js", Meaning::Library(Library::Path)),
            ("node:fs/promises", "/work/b.js", Meaning::Promises),
            ("lodash", "/work/b.js", Meaning::Bare),
            ("lib/a.js", "/work/b.js", Meaning::Bare),
            ("https://example.com/a.js", "/work/b.js", Meaning::Bare),
            ("node:child_process", "/work/b.js", Meaning::Bare),
        ] {
            assert_eq!(meaning(specifier, importer), expected, "{specifier}");
        }
    }
}
