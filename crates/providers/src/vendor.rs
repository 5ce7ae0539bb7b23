//! Vendors as data.

use serde::{Deserialize, Serialize};
use url::Url;

/// A wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// OpenAI Chat Completions.
    Chat,
    /// OpenAI Responses.
    Responses,
    /// Anthropic Messages.
    Anthropic,
}

/// Where an endpoint departs from what the others of its wire accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// What every compatible server understands.
    Common,
    /// OpenAI itself: only `max_completion_tokens` for its newer models, and encrypted reasoning.
    OpenAi,
    /// Wants a model's reasoning back as `reasoning_content`.
    DeepSeek,
    /// Refuses `stream_options`; it always sends usage.
    Mistral,
    /// Counts reasoning beside `completion_tokens`, not in them.
    Xai,
}

/// What is known of one vendor.
pub(crate) struct Vendor {
    pub(crate) name: &'static str,
    pub(crate) key_env: Option<&'static str>,
    pub(crate) base_url_env: &'static str,
    pub(crate) base_url: &'static str,
    pub(crate) api: Api,
    pub(crate) dialect: Dialect,
    /// The model when none is named; absent where it depends on what is installed.
    pub(crate) model: Option<&'static str>,
    /// Whether its models run on the person's own machine, so that tokens cost nothing.
    pub(crate) free: bool,
}

impl Vendor {
    /// Tells whether `url` leads to the vendor itself: a server in its place has prices of its own.
    pub(crate) fn is_at(&self, url: &Url) -> bool {
        Url::parse(self.base_url).is_ok_and(|own| own.origin() == url.origin())
    }
}

/// Every vendor known by name, in the order in which one is chosen when none is named.
pub(crate) const VENDORS: &[Vendor] = &[
    Vendor {
        name: "anthropic",
        key_env: Some("ANTHROPIC_API_KEY"),
        base_url_env: "ANTHROPIC_BASE_URL",
        base_url: "https://api.anthropic.com",
        api: Api::Anthropic,
        dialect: Dialect::Common,
        model: Some("claude-sonnet-5"),
        free: false,
    },
    Vendor {
        name: "openai",
        key_env: Some("OPENAI_API_KEY"),
        base_url_env: "OPENAI_BASE_URL",
        base_url: "https://api.openai.com/v1",
        api: Api::Responses,
        dialect: Dialect::OpenAi,
        model: Some("gpt-5.6"),
        free: false,
    },
    Vendor {
        name: "gemini",
        key_env: Some("GEMINI_API_KEY"),
        base_url_env: "GEMINI_BASE_URL",
        base_url: "https://generativelanguage.googleapis.com/v1beta/openai",
        api: Api::Chat,
        dialect: Dialect::Common,
        model: Some("gemini-3.8-flash"),
        free: false,
    },
    Vendor {
        name: "openrouter",
        key_env: Some("OPENROUTER_API_KEY"),
        base_url_env: "OPENROUTER_BASE_URL",
        base_url: "https://openrouter.ai/api/v1",
        api: Api::Chat,
        dialect: Dialect::Common,
        model: Some("openrouter/auto"),
        free: false,
    },
    Vendor {
        name: "deepseek",
        key_env: Some("DEEPSEEK_API_KEY"),
        base_url_env: "DEEPSEEK_BASE_URL",
        base_url: "https://api.deepseek.com",
        api: Api::Chat,
        dialect: Dialect::DeepSeek,
        model: Some("deepseek-flash"),
        free: false,
    },
    Vendor {
        name: "xai",
        key_env: Some("XAI_API_KEY"),
        base_url_env: "XAI_BASE_URL",
        base_url: "https://api.x.ai/v1",
        api: Api::Chat,
        dialect: Dialect::Xai,
        model: Some("grok-4"),
        free: false,
    },
    Vendor {
        name: "groq",
        key_env: Some("GROQ_API_KEY"),
        base_url_env: "GROQ_BASE_URL",
        base_url: "https://api.groq.com/openai/v1",
        api: Api::Chat,
        dialect: Dialect::Common,
        model: Some("openai/gpt-oss-120b"),
        free: false,
    },
    Vendor {
        name: "mistral",
        key_env: Some("MISTRAL_API_KEY"),
        base_url_env: "MISTRAL_BASE_URL",
        base_url: "https://api.mistral.ai/v1",
        api: Api::Chat,
        dialect: Dialect::Mistral,
        model: Some("mistral-large-latest"),
        free: false,
    },
    Vendor {
        name: "ollama",
        key_env: None,
        base_url_env: "OLLAMA_BASE_URL",
        base_url: "http://127.0.0.1:11434/v1",
        api: Api::Chat,
        dialect: Dialect::Common,
        model: None,
        free: true,
    },
];

/// Returns the vendor called `name`.
pub(crate) fn vendor(name: &str) -> Option<&'static Vendor> {
    VENDORS.iter().find(|vendor| vendor.name == name)
}
