//! What a component may import for what its manifest requests.

use crate::manifest::{FileAccess, Manifest};
use crate::registry::RegistryError;

/// One family of interfaces, and what a manifest must say to import it.
struct Need {
    prefix: &'static str,
    is_requested: fn(&Manifest) -> bool,
    /// What to write, under which table.
    write: &'static str,
}

/// Every interface that a tool may import; what is not here, no manifest can request. Those that are free are harmless by
/// themselves: clocks, randomness, the component's own captured output, an empty environment.
const NEEDS: [Need; 7] = [
    Need { prefix: "wasi:io/", is_requested: |_| true, write: "" },
    Need { prefix: "wasi:clocks/", is_requested: |_| true, write: "" },
    Need { prefix: "wasi:random/", is_requested: |_| true, write: "" },
    Need { prefix: "wasi:cli/", is_requested: |_| true, write: "" },
    Need {
        prefix: "wasi:filesystem/",
        is_requested: |manifest| manifest.capabilities.files != FileAccess::None,
        write: "write `files = \"read\"` (or \"read_write\", or \"empty\" to see none) under [capabilities]",
    },
    Need {
        prefix: "wasi:http/",
        is_requested: |manifest| !manifest.capabilities.network.is_empty(),
        write: "write `network = [\"https://example.com\"]` under [capabilities]",
    },
    Need {
        prefix: "wasi:sockets/",
        is_requested: |manifest| !manifest.capabilities.network.is_empty(),
        write: "write `network = [\"tcp://example.com:5432\"]` (or `udp://…`) under [capabilities]",
    },
];

/// Refuses a component that imports more than its manifest requests.
pub(crate) fn check(manifest: &Manifest, imports: &[String]) -> Result<(), RegistryError> {
    imports.iter().try_for_each(|import| check_one(manifest, import))
}

fn check_one(manifest: &Manifest, import: &str) -> Result<(), RegistryError> {
    let need = NEEDS.iter().find(|need| import.starts_with(need.prefix));
    let hint = match need {
        Some(need) if (need.is_requested)(manifest) => return Ok(()),
        Some(need) => need.write,
        None => "no manifest can request it",
    };
    Err(RegistryError::Import { tool: manifest.name.clone(), import: import.to_owned(), hint })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "name = \"x\"\nversion = \"1\"\nlevel = \"none\"\n[capabilities]\nfiles = \"FILES\"\n";

    fn checked(files: &str, import: &str) -> Result<(), String> {
        let manifest = Manifest::parse(&MANIFEST.replace("FILES", files)).unwrap();
        check(&manifest, &[import.to_owned()]).map_err(|error| error.to_string())
    }

    #[test]
    fn a_component_imports_only_what_its_manifest_requests() {
        assert_eq!(checked("none", "wasi:clocks/monotonic-clock@0.2.6"), Ok(()));
        assert_eq!(checked("read", "wasi:filesystem/types@0.2.6"), Ok(()));
        assert_eq!(checked("empty", "wasi:filesystem/types@0.2.6"), Ok(()));
        let networked = MANIFEST
            .replace("\"none\"", "\"execute\"")
            .replace("\"FILES\"", "\"none\"\nnetwork = [\"https://a.test\"]");
        let networked = Manifest::parse(&networked).unwrap();
        let imports =
            ["wasi:http/outgoing-handler@0.2.6", "wasi:sockets/tcp@0.2.6", "wasi:sockets/ip-name-lookup@0.2.6"];
        assert!(check(&networked, &imports.map(str::to_owned)).is_ok());
        let files = "write `files = \"read\"` (or \"read_write\", or \"empty\" to see none) under [capabilities]";
        let network = "write `network = [\"https://example.com\"]` under [capabilities]";
        let sockets = "write `network = [\"tcp://example.com:5432\"]` (or `udp://…`) under [capabilities]";
        for (requested, import, hint) in [
            ("none", "wasi:filesystem/types@0.2.6", files),
            ("read", "wasi:sockets/tcp@0.2.6", sockets),
            ("read", "wasi:http/outgoing-handler@0.2.6", network),
            ("read", "evil:io/streams", "no manifest can request it"),
        ] {
            let message = format!("tool `x` imports `{import}`, which its manifest does not request: {hint}");
            assert_eq!(checked(requested, import), Err(message));
        }
    }
}
