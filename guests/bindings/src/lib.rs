//! The generated bindings of the world `boxagnts:tool/tool-guest`, once for every guest.
//!
//! Uses no `std`, so that a guest without it imports nothing from the host. Empty on other targets, where guests
//! are only compiled for their unit tests.
#![no_std]
#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({
    path: "../../wit",
    world: "tool-guest",
    pub_export_macro: true,
});

pub use exports::boxagnts::tool::tool::{Definition, Failure, Guest, Output};
