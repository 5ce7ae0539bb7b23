//! Schema validation: what is wrong with a proposal, in words that a model can act on.

use jsonschema::Validator;
use serde_json::Value;

/// Most errors that are told at once; the rest would not help.
const MAX_ERRORS: usize = 5;

/// A tool's schema that is no JSON Schema.
#[derive(Debug, thiserror::Error)]
#[error("the input schema is not valid: {0}")]
pub struct InvalidSchema(String);

/// The schema of a tool's arguments, compiled once.
#[derive(Debug)]
pub struct Schema(Validator);

impl Schema {
    /// Compiles `schema`. It cannot refer to anything outside itself.
    pub fn compile(schema: &Value) -> Result<Self, InvalidSchema> {
        jsonschema::draft202012::new(schema).map(Self).map_err(|error| InvalidSchema(error.to_string()))
    }

    /// Returns what is wrong with `arguments`, one line each; nothing when they fit.
    pub fn errors(&self, arguments: &Value) -> Vec<String> {
        let line = |error: jsonschema::ValidationError<'_>| {
            let at = error.instance_path().to_string();
            if at.is_empty() { error.to_string() } else { format!("at {at}: {error}") }
        };
        self.0.iter_errors(arguments).take(MAX_ERRORS).map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Schema {
        Schema::compile(&json!({
            "type": "object",
            "properties": {"path": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}},
            "required": ["path"],
            "additionalProperties": false
        }))
        .unwrap()
    }

    #[test]
    fn each_error_says_where_and_what() {
        assert_eq!(schema().errors(&json!({"path": "a", "limit": 3})), Vec::<String>::new());
        assert_eq!(schema().errors(&json!({"limit": 0, "path": "a"})), ["at /limit: 0 is less than the minimum of 1"]);
        assert_eq!(schema().errors(&json!({})), ["\"path\" is a required property"]);
        assert_eq!(schema().errors(&json!([])), ["[] is not of type \"object\""]);
        assert_eq!(schema().errors(&json!({"path": "a", "pth": 1})).len(), 1);
    }

    #[test]
    fn a_schema_cannot_refer_to_the_outside() {
        assert!(Schema::compile(&json!({"$ref": "https://example.test/schema.json"})).is_err());
        assert!(Schema::compile(&json!({"$ref": "file:///etc/passwd"})).is_err());
        assert!(Schema::compile(&json!({"type": "nothing"})).is_err());
    }
}
