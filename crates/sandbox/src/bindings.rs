//! What wasmtime generates from the WIT: the tool world, and `wasi:filesystem` and `wasi:sockets` with our own types
//! behind them.

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

mod network {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "boxagnts:host/sockets",
        imports: { default: trappable },
        require_store_data_send: true,
        with: {
            "wasi:io": wasmtime_wasi::p2::bindings::io,
            "wasi:clocks": wasmtime_wasi::p2::bindings::clocks,
            "wasi:sockets/network.network": crate::host::sockets::WholeNetwork,
            "wasi:sockets/ip-name-lookup.resolve-address-stream": crate::host::sockets::Addresses,
            "wasi:sockets/tcp.tcp-socket": crate::host::sockets::TcpSocket,
            "wasi:sockets/udp.udp-socket": crate::host::sockets::UdpSocket,
            "wasi:sockets/udp.incoming-datagram-stream": crate::host::sockets::Incoming,
            "wasi:sockets/udp.outgoing-datagram-stream": crate::host::sockets::Outgoing,
        },
        trappable_error_type: {
            "wasi:sockets/network.error-code" => crate::host::sockets::SocketError,
        },
    });
}

pub(crate) use files::wasi;
pub(crate) use network::wasi::sockets;
