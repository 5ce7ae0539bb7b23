//! Imports the network, which its manifest does not request.
#![cfg_attr(target_arch = "wasm32", no_std)]
#![cfg(target_arch = "wasm32")]

use bare::alloc::string::String;
use wasi::sockets::instance_network::instance_network;

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package boxagnts:probe;

            world sockets {
                import wasi:sockets/instance-network@0.2.0;
            }

            package wasi:sockets@0.2.0 {
                interface network {
                    resource network;
                }

                interface instance-network {
                    use network.{network};
                    instance-network: func() -> network;
                }
            }
        ",
        generate_all,
    });
}

use bindings::wasi;

bare::export!(
    "sockets",
    "Takes hold of the network.",
    r#"{"type":"object","properties":{},"additionalProperties":false}"#,
    sockets
);

fn sockets(_: &str) -> String {
    drop(instance_network());
    "the network was given".into()
}
