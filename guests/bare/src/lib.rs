//! A guest without `std`: an allocator that never frees, a panic that traps, and nothing imported from the host.
//!
//! For the probes that misbehave by computing alone. They stay a few kilobytes, and they show that a component which
//! asks for nothing is installed with a manifest that requests nothing.
#![no_std]
#![cfg(target_arch = "wasm32")]

#[doc(hidden)]
pub extern crate alloc;
#[doc(hidden)]
pub use bindings;

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size, unreachable};
use core::cell::UnsafeCell;
use core::ptr::null_mut;

/// One WebAssembly page.
const PAGE_BYTES: usize = 65_536;

// `memcpy` and its kin come from here: the compiler's own copies are left out on WASI targets.
#[link(name = "c")]
unsafe extern "C" {}

/// Hands out memory in order and never takes it back: an instance lives for one call.
struct Bump {
    next: UnsafeCell<usize>,
    end: UnsafeCell<usize>,
}

// SAFETY: guests have no threads.
unsafe impl Sync for Bump {}

// SAFETY: every block lies inside grown memory, is aligned as asked, and is given out once.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: single-threaded, and neither pointer escapes.
        let (next, end) = unsafe { (&mut *self.next.get(), &mut *self.end.get()) };
        let start = next.next_multiple_of(layout.align());
        let Some(after) = start.checked_add(layout.size()) else { return null_mut() };
        let start = if after <= *end { start } else { grow(next, end, &layout) };
        if start != 0 {
            *next = start + layout.size();
        }
        start as *mut u8
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

/// Grows memory for `layout` and returns where it starts, or 0 when the host refuses.
fn grow(next: &mut usize, end: &mut usize, layout: &Layout) -> usize {
    let pages = (layout.size() + layout.align()).div_ceil(PAGE_BYTES);
    let start = memory_size(0) * PAGE_BYTES;
    if memory_grow(0, pages) == usize::MAX {
        return 0;
    }
    *next = start.next_multiple_of(layout.align());
    *end = start + pages * PAGE_BYTES;
    *next
}

#[global_allocator]
static ALLOCATOR: Bump = Bump { next: UnsafeCell::new(0), end: UnsafeCell::new(0) };

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unreachable()
}

/// Returns the one number in `arguments`, which the runtime has validated: a parser would be most of a bare guest.
pub fn number(arguments: &str) -> u64 {
    let digits = arguments.bytes().filter(u8::is_ascii_digit);
    digits.fold(0, |number: u64, digit| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

/// Returns the string that `arguments`, canonical JSON, holds under `name`. Escapes are left as they are.
pub fn text<'a>(arguments: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = arguments.split_once(name)?;
    after.strip_prefix("\":\"")?.split('"').next()
}

/// Makes `$call`, a function from the arguments' JSON to the output text, the component's only tool.
#[macro_export]
macro_rules! export {
    ($name:literal, $description:literal, $schema:expr, $call:path) => {
        struct Component;

        impl $crate::bindings::Guest for Component {
            fn definitions() -> $crate::alloc::vec::Vec<$crate::bindings::Definition> {
                $crate::alloc::vec![$crate::bindings::Definition {
                    name: $name.into(),
                    description: $description.into(),
                    input_schema: $schema.into(),
                }]
            }

            fn call(
                _: $crate::alloc::string::String,
                arguments: $crate::alloc::string::String,
            ) -> Result<$crate::bindings::Output, $crate::bindings::Failure> {
                let text = $call(&arguments);
                Ok($crate::bindings::Output { text, summary: $name.into() })
            }
        }

        $crate::bindings::export!(Component with_types_in $crate::bindings);
    };
}
