//! What wasmtime generates from the WIT: the tool world, and `wasi:filesystem` with our own types behind it.

pub(crate) mod tool {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "boxagnts:tool/tool-guest",
        exports: { default: async },
    });
}

mod files {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "boxagnts:host/files",
        imports: { default: trappable },
        require_store_data_send: true,
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:filesystem/types.descriptor": crate::host::Descriptor,
            "wasi:filesystem/types.directory-entry-stream": crate::host::Listing,
        },
        trappable_error_type: {
            "wasi:filesystem/types.error-code" => crate::host::FileError,
        },
    });
}

pub(crate) use files::wasi;
