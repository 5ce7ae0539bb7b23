//! What a program finds in its global object beyond the language.
#![expect(clippy::unnecessary_wraps, reason = "the engine takes functions that may throw, also from those that do not")]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use boa_engine::job::PromiseJob;
use boa_engine::object::FunctionObjectBuilder;
use boa_engine::object::builtins::{JsArray, JsFunction};
use boa_engine::property::{Attribute, PropertyDescriptor};
use boa_engine::{
    Context, JsArgs as _, JsNativeError, JsObject, JsResult, JsString, JsValue, NativeFunction, js_string,
};

use crate::console::{Console, format};
use crate::events::EventLoop;
use crate::library::{self, Library, Native};
use crate::modules::{self, HOME, Meaning};
use crate::report;
use crate::source::Insertion;

/// What the functions of this runtime share during one program.
pub struct Host {
    pub console: RefCell<Console>,
    pub events: Rc<EventLoop>,
    pub started: Instant,
    /// What was put into the program's text.
    pub insertion: Cell<Option<Insertion>>,
    pub libraries: RefCell<HashMap<Library, JsObject>>,
}

impl Host {
    pub fn new(events: Rc<EventLoop>) -> Self {
        Self {
            console: RefCell::default(),
            events,
            started: Instant::now(),
            insertion: Cell::default(),
            libraries: RefCell::default(),
        }
    }
}

/// Returns what the runtime keeps for the program.
pub fn host(context: &Context) -> Rc<Host> {
    context.get_data::<Rc<Host>>().expect("every program has its host").clone()
}

const CONSOLE: &[Native] = &[
    ("log", 0, log),
    ("info", 0, log),
    ("debug", 0, log),
    ("warn", 0, log),
    ("error", 0, log),
    ("trace", 0, log),
    ("dir", 1, dir),
    ("assert", 1, assert),
    ("group", 0, group),
    ("groupEnd", 0, group_end),
];

const GLOBALS: &[Native] = &[
    ("setTimeout", 2, set_timeout),
    ("setInterval", 2, set_interval),
    ("setImmediate", 1, set_immediate),
    ("clearTimeout", 1, clear),
    ("clearInterval", 1, clear),
    ("clearImmediate", 1, clear),
    ("queueMicrotask", 1, queue_microtask),
    ("require", 1, require),
];

const PERFORMANCE: &[Native] = &[("now", 0, now)];

const PROCESS: &[Native] = &[("cwd", 0, cwd), ("nextTick", 1, next_tick)];

/// Globals that a library makes, read when the first of them is named.
const MADE: [(Library, &[&str]); 2] = [
    (
        Library::Web,
        &["TextEncoder", "TextDecoder", "DOMException", "structuredClone", "btoa", "atob", "URL", "URLSearchParams"],
    ),
    (Library::Fetch, &["fetch", "Headers", "Request", "Response"]),
];

/// Gives the program its globals. `path` is what it calls itself.
pub fn install(path: &str, args: &serde_json::Value, context: &mut Context) -> JsResult<()> {
    library::globals(GLOBALS, context)?;
    let console = library::object(CONSOLE.iter(), context);
    let performance = library::object(PERFORMANCE.iter(), context);
    let process = process(path, context)?;
    let args = JsValue::from_json(args, context)?;
    let hidden = Attribute::WRITABLE | Attribute::CONFIGURABLE;
    context.register_global_property(js_string!("console"), console, hidden)?;
    context.register_global_property(js_string!("performance"), performance, hidden)?;
    context.register_global_property(js_string!("process"), process, hidden)?;
    context.register_global_property(js_string!("args"), args, hidden)?;
    install_made(context)?;
    install_stack(context)
}

fn process(path: &str, context: &mut Context) -> JsResult<JsObject> {
    let process = library::object(PROCESS.iter(), context);
    let argv = JsArray::from_iter([js_string!("js").into(), js_string!(path).into()], context);
    let env = JsObject::with_object_proto(context.intrinsics());
    process.create_data_property(js_string!("argv"), argv, context)?;
    process.create_data_property(js_string!("env"), env, context)?;
    process.create_data_property(js_string!("platform"), js_string!("wasi"), context)?;
    Ok(process)
}

/// Makes each of [`MADE`] an accessor: its library is read when one of them is named.
fn install_made(context: &mut Context) -> JsResult<()> {
    for (library, names) in MADE {
        for name in names {
            install_lazy(library, name, context)?;
        }
    }
    Ok(())
}

/// The getter leaves itself in place: the engine remembers how a global was found, and fails when finding it changed that.
fn install_lazy(library: Library, name: &'static str, context: &mut Context) -> JsResult<()> {
    let get = NativeFunction::from_copy_closure(move |_, _, context| {
        library.load(context)?.get(JsString::from(name), context)
    });
    let set = NativeFunction::from_copy_closure(move |_, args, context| {
        define(name, args.get_or_undefined(0).clone(), context)?;
        Ok(JsValue::undefined())
    });
    let accessor = PropertyDescriptor::builder()
        .get(get.to_js_function(context.realm()))
        .set(set.to_js_function(context.realm()))
        .enumerable(false)
        .configurable(true);
    context.global_object().define_property_or_throw(JsString::from(name), accessor, context).map(drop)
}

fn define(name: &str, value: JsValue, context: &mut Context) -> JsResult<()> {
    let property = PropertyDescriptor::builder().value(value).writable(true).enumerable(false).configurable(true);
    context.global_object().define_property_or_throw(JsString::from(name), property, context).map(drop)
}

/// Lets the `stack` of an error start with what the error says, as programs expect it.
fn install_stack(context: &mut Context) -> JsResult<()> {
    let errors = context.intrinsics().constructors().error().prototype();
    let key = js_string!("stack");
    let set = errors.borrow().properties().get(&key.clone().into()).and_then(|stack| stack.set().cloned());
    let get = FunctionObjectBuilder::new(context.realm(), NativeFunction::from_fn_ptr(stack))
        .name(js_string!("get stack"))
        .build();
    let accessor = PropertyDescriptor::builder().get(get).maybe_set(set).enumerable(false).configurable(true);
    errors.define_property_or_throw(key, accessor, context).map(drop)
}

fn stack(this: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let error = this.as_object().filter(|object| object.is::<boa_engine::builtins::error::Error>());
    Ok(error.map_or(JsValue::undefined(), |error| js_string!(report::stack(&error, context)).into()))
}

fn print(text: &str, context: &Context) -> JsValue {
    host(context).console.borrow_mut().print(text);
    JsValue::undefined()
}

fn log(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = format(args, context)?;
    Ok(print(&text, context))
}

fn dir(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let text = crate::inspect::inspect_nested(args.get_or_undefined(0), context);
    Ok(print(&text, context))
}

fn assert(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    if args.get_or_undefined(0).to_boolean() {
        return Ok(JsValue::undefined());
    }
    let said = format(args.get(1..).unwrap_or_default(), context)?;
    let text = if said.is_empty() { "Assertion failed".to_owned() } else { format!("Assertion failed: {said}") };
    Ok(print(&text, context))
}

fn group(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    if !args.is_empty() {
        log(&JsValue::undefined(), args, context)?;
    }
    host(context).console.borrow_mut().open_group();
    Ok(JsValue::undefined())
}

fn group_end(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    host(context).console.borrow_mut().close_group();
    Ok(JsValue::undefined())
}

fn callback(args: &[JsValue]) -> JsResult<JsFunction> {
    let function = args.get_or_undefined(0).as_function();
    function.ok_or_else(|| JsNativeError::typ().with_message("the callback is not a function").into())
}

fn timer(args: &[JsValue], repeat: bool, context: &mut Context) -> JsResult<JsValue> {
    let callback = callback(args)?;
    let delay_ms = match args.get_or_undefined(1) {
        delay if delay.is_undefined() => 0.0,
        delay => delay.to_number(context)?,
    };
    let arguments = args.get(2..).unwrap_or_default().to_vec();
    Ok(host(context).events.set(callback, arguments, delay_ms, repeat)?.into())
}

fn set_timeout(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    timer(args, false, context)
}

fn set_interval(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    timer(args, true, context)
}

fn set_immediate(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let arguments = args.get(1..).unwrap_or_default().to_vec();
    Ok(host(context).events.set(callback(args)?, arguments, 0.0, false)?.into())
}

fn clear(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    if args.get_or_undefined(0).is_number() {
        let id = args.get_or_undefined(0).to_u32(context)?;
        host(context).events.clear(id);
    }
    Ok(JsValue::undefined())
}

fn queue_microtask(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let callback = callback(args)?;
    let realm = context.realm().clone();
    let job = PromiseJob::with_realm(move |context| callback.call(&JsValue::undefined(), &[], context), realm);
    context.enqueue_job(job.into());
    Ok(JsValue::undefined())
}

fn next_tick(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let callback = callback(args)?;
    let arguments = args.get(1..).unwrap_or_default().to_vec();
    let realm = context.realm().clone();
    let job = PromiseJob::with_realm(move |context| callback.call(&JsValue::undefined(), &arguments, context), realm);
    context.enqueue_job(job.into());
    Ok(JsValue::undefined())
}

/// Returns a library. Files are imported: theirs is the module syntax.
fn require(_: &JsValue, args: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    let specifier = args.get_or_undefined(0).to_string(context)?.to_std_string_lossy();
    match modules::meaning(&specifier, HOME) {
        Meaning::Library(library) => Ok(library.load(context)?.into()),
        Meaning::Promises => Ok(modules::promises(context)?.into()),
        Meaning::File(_) => {
            let message = format!("require gives libraries only; write `import … from \"{specifier}\"` for a file");
            Err(JsNativeError::error().with_message(message).into())
        }
        Meaning::Bare => Err(modules::bare(&specifier)),
    }
}

/// Returns the milliseconds since the program started.
fn now(_: &JsValue, _: &[JsValue], context: &mut Context) -> JsResult<JsValue> {
    Ok((host(context).started.elapsed().as_secs_f64() * 1_000.0).into())
}

/// Returns where relative paths start.
pub fn cwd(_: &JsValue, _: &[JsValue], _: &mut Context) -> JsResult<JsValue> {
    Ok(js_string!(HOME).into())
}
