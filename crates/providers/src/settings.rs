//! The way from a name on a command line to a model that can be called.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use url::Url;

use crate::facts::ModelFacts;
use crate::key::{ApiKey, InvalidKey};
use crate::limits::Timeouts;
use crate::model::{CallIds, Model};
use crate::remote::Remote;
use crate::transport::{TransportError, client};
use crate::vendor::{Api, Dialect, VENDORS, Vendor, vendor};
use crate::wire::{Wire, anthropic::Anthropic, chat::Chat, responses::Responses};

/// `[providers.NAME]` in `boxagnts.toml`. Each setting is optional for a vendor known by name; any other needs `base_url`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSpec {
    pub api: Option<Api>,
    pub base_url: Option<String>,
    /// The environment variable that holds the key. The key itself is never in the file.
    pub api_key_env: Option<String>,
    /// The model when `--model` names none.
    pub model: Option<String>,
    /// What the person says of single models; it goes before what the catalog says.
    #[serde(default)]
    pub models: BTreeMap<String, ModelFacts>,
}

/// One provider, ready to be connected to.
#[derive(Debug, Clone)]
pub struct ProviderSettings {
    pub name: String,
    pub api: Api,
    pub base_url: Url,
    /// Absent for a server that asks for none.
    pub api_key: Option<ApiKey>,
    pub timeouts: Timeouts,
    /// What is configured of single models. Ask [`crate::facts`] for what is known.
    pub models: BTreeMap<String, ModelFacts>,
}

/// A provider or model that cannot be used as named.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    #[error("`{spec}` does not name a model: expected PROVIDER/MODEL")]
    InvalidModel { spec: String },
    #[error("`{name}` is not a provider: known are {known}")]
    UnknownProvider { name: String, known: String },
    #[error("no model provider is configured")]
    NoProvider { key_envs: Vec<String> },
    #[error("the provider `{provider}` needs a key, and {key_env} is not set")]
    MissingKey { provider: String, key_env: String },
    #[error("the key in {key_env} cannot be used: {source}")]
    InvalidKey { key_env: String, source: InvalidKey },
    #[error("no model of the provider `{provider}` is named")]
    MissingModel { provider: String },
    #[error("the provider `{provider}` needs `base_url`")]
    MissingBaseUrl { provider: String },
    /// The URL is not repeated: it may hold a password.
    #[error("the base URL of the provider `{provider}` cannot be used: {reason}")]
    InvalidBaseUrl { provider: String, reason: String },
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl ProviderError {
    /// Returns what a person may type to get on.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::InvalidModel { .. } => Some("name it like `--model openai/gpt-5.6`".to_owned()),
            Self::UnknownProvider { name, .. } => {
                Some(format!("for another server, add `[providers.{name}]` with `base_url` to boxagnts.toml"))
            }
            Self::NoProvider { key_envs } => Some(format!(
                "set one of {}, or for a local server OPENAI_BASE_URL and `--model openai/NAME`",
                key_envs.join(", ")
            )),
            Self::MissingKey { key_env, .. } | Self::InvalidKey { key_env, .. } => {
                Some(format!("export {key_env}=YOUR_KEY"))
            }
            Self::MissingModel { provider } => Some(format!("name one: `--model {provider}/NAME`")),
            Self::MissingBaseUrl { provider } => {
                Some(format!("add `base_url = \"https://…\"` to `[providers.{provider}]` in boxagnts.toml"))
            }
            Self::InvalidBaseUrl { .. } | Self::Transport(_) => None,
        }
    }
}

/// Returns the provider and the model that `spec` names, split at its first `/`: models may have more of them.
///
/// # Errors
/// [`ProviderError::InvalidModel`] when either is missing.
pub fn parse_model(spec: &str) -> Result<(&str, &str), ProviderError> {
    let named = spec.split_once('/').filter(|(provider, model)| !provider.is_empty() && !model.is_empty());
    named.ok_or_else(|| ProviderError::InvalidModel { spec: spec.to_owned() })
}

/// Returns the provider to connect to and its model.
///
/// With a `model_spec`, the provider it names. Without one, the first that is configured: those of `providers`, in
/// order of their names, then the known vendors whose key (or, for a server of one's own, base URL) `env` knows.
///
/// # Errors
/// A [`ProviderError`] that says which setting is missing or wrong.
pub fn resolve(
    model_spec: Option<&str>,
    providers: &BTreeMap<String, ProviderSpec>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<(ProviderSettings, String), ProviderError> {
    let sources = Sources { providers, env };
    let (provider, model) = match model_spec {
        Some(spec) => {
            let (provider, model) = parse_model(spec)?;
            (provider, Some(model))
        }
        None => (sources.first_configured()?, None),
    };
    let settings = sources.settings(provider)?;
    let model = match model {
        Some(model) => model.to_owned(),
        None => sources.default_model(provider)?,
    };
    Ok((settings, model))
}

/// Returns the model `model` of the provider; nothing is sent yet.
///
/// # Errors
/// A [`ProviderError`] when the base URL cannot carry the API's path or TLS cannot be set up.
pub fn connect(settings: ProviderSettings, model: &str, call_ids: CallIds) -> Result<Arc<dyn Model>, ProviderError> {
    let wire = wire(&settings);
    let endpoint = endpoint(&settings, wire.path())?;
    Ok(Arc::new(Remote {
        name: format!("{}/{model}", settings.name),
        model: model.to_owned(),
        client: client(&endpoint, settings.timeouts)?,
        endpoint,
        wire,
        key: settings.api_key,
        timeouts: settings.timeouts,
        call_ids,
    }))
}

fn wire(settings: &ProviderSettings) -> Box<dyn Wire> {
    let dialect = dialect(settings);
    match settings.api {
        Api::Chat => Box::new(Chat { dialect }),
        Api::Responses => Box::new(Responses { dialect }),
        Api::Anthropic => Box::new(Anthropic),
    }
}

/// Returns the vendor's dialect; a server that only takes OpenAI's place is not OpenAI.
fn dialect(settings: &ProviderSettings) -> Dialect {
    let dialect = vendor(&settings.name).map_or(Dialect::Common, |vendor| vendor.dialect);
    let is_openai = settings.base_url.host_str() == Some("api.openai.com");
    if dialect == Dialect::OpenAi && !is_openai { Dialect::Common } else { dialect }
}

/// Returns the URL to post to. `/v1` is part of OpenAI's base URLs and not of Anthropic's; either is understood there.
fn endpoint(settings: &ProviderSettings, path: &str) -> Result<Url, ProviderError> {
    let invalid = |reason: &str| invalid_base_url(&settings.name, reason);
    let url = &settings.base_url;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("it is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("it holds a user name; keys belong into an environment variable"));
    }
    let base = url.path().trim_end_matches('/');
    let path = if base.ends_with("/v1") { path.trim_start_matches("v1/") } else { path };
    let mut endpoint = url.clone();
    endpoint.set_path(&format!("{base}/{path}"));
    Ok(endpoint)
}

fn invalid_base_url(provider: &str, reason: impl Into<String>) -> ProviderError {
    ProviderError::InvalidBaseUrl { provider: provider.to_owned(), reason: reason.into() }
}

/// Where settings come from.
struct Sources<'a> {
    providers: &'a BTreeMap<String, ProviderSpec>,
    env: &'a dyn Fn(&str) -> Option<String>,
}

impl<'a> Sources<'a> {
    /// Returns a variable that says something: an empty one is how a shell unsets.
    fn env(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.trim().is_empty())
    }

    fn spec(&self, provider: &str) -> ProviderSpec {
        self.providers.get(provider).cloned().unwrap_or_default()
    }

    fn first_configured(&self) -> Result<&'a str, ProviderError> {
        let named = || self.providers.keys().map(String::as_str);
        let set = |name: &str| self.env(name).is_some();
        let ready = |vendor: &&Vendor| vendor.key_env.is_some_and(set) || set(vendor.base_url_env);
        let known = VENDORS.iter().find(ready).map(|vendor| vendor.name);
        // One that is named but not ready says best what it lacks.
        let first = named().find(|name| self.settings(name).is_ok()).or(known).or_else(|| named().next());
        let key_envs = || VENDORS.iter().filter_map(|vendor| vendor.key_env).map(str::to_owned).collect();
        first.ok_or_else(|| ProviderError::NoProvider { key_envs: key_envs() })
    }

    fn settings(&self, provider: &str) -> Result<ProviderSettings, ProviderError> {
        let vendor = vendor(provider);
        if vendor.is_none() && !self.providers.contains_key(provider) {
            return Err(self.unknown(provider));
        }
        let spec = self.spec(provider);
        let own_url = self.own_url(provider);
        let api = spec.api.unwrap_or_else(|| api(vendor, own_url.is_some()));
        let base_url = base_url(provider, vendor, own_url.as_deref())?;
        let api_key = self.key(provider, vendor, &spec, own_url.is_some())?;
        let (name, models) = (provider.to_owned(), spec.models);
        Ok(ProviderSettings { name, api, base_url, api_key, timeouts: Timeouts::default(), models })
    }

    /// Returns the base URL that is set. The environment wins: it is the person's, the file may come with a repository.
    fn own_url(&self, provider: &str) -> Option<String> {
        let env = vendor(provider).and_then(|vendor| self.env(vendor.base_url_env));
        env.or_else(|| self.spec(provider).base_url)
    }

    /// Returns the key. A variable that the file names must be set; a vendor's own may be missing for a server of
    /// one's own, which may ask for none.
    fn key(
        &self,
        provider: &str,
        vendor: Option<&Vendor>,
        spec: &ProviderSpec,
        own_server: bool,
    ) -> Result<Option<ApiKey>, ProviderError> {
        let usual = vendor.and_then(|vendor| vendor.key_env);
        let Some(key_env) = spec.api_key_env.as_deref().or(usual) else { return Ok(None) };
        let key_env = key_env.to_owned();
        match self.env(&key_env) {
            Some(text) => ApiKey::new(&text).map(Some).map_err(|source| ProviderError::InvalidKey { key_env, source }),
            None if own_server && spec.api_key_env.is_none() => Ok(None),
            None => Err(ProviderError::MissingKey { provider: provider.to_owned(), key_env }),
        }
    }

    fn default_model(&self, provider: &str) -> Result<String, ProviderError> {
        let usual = vendor(provider).filter(|_| self.own_url(provider).is_none()).and_then(|vendor| vendor.model);
        let model = self.spec(provider).model.or_else(|| usual.map(str::to_owned));
        model.ok_or_else(|| ProviderError::MissingModel { provider: provider.to_owned() })
    }

    fn unknown(&self, provider: &str) -> ProviderError {
        let known = VENDORS.iter().map(|vendor| vendor.name);
        let known: Vec<&str> = known.chain(self.providers.keys().map(String::as_str)).collect();
        ProviderError::UnknownProvider { name: provider.to_owned(), known: known.join(", ") }
    }
}

/// Returns the API when none is set: every server that takes OpenAI's place speaks Chat Completions.
fn api(vendor: Option<&Vendor>, own_server: bool) -> Api {
    match vendor.map_or(Api::Chat, |vendor| vendor.api) {
        Api::Responses if own_server => Api::Chat,
        api => api,
    }
}

fn base_url(provider: &str, vendor: Option<&Vendor>, own: Option<&str>) -> Result<Url, ProviderError> {
    let text = own.or(vendor.map(|vendor| vendor.base_url));
    let text = text.ok_or_else(|| ProviderError::MissingBaseUrl { provider: provider.to_owned() })?;
    Url::parse(text.trim()).map_err(|error| invalid_base_url(provider, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns provider, API, base URL, whether a key goes along, and model; or what a person reads.
    fn resolved(spec: Option<&str>, file: &str, env: &[(&str, &str)]) -> Result<String, String> {
        let providers = toml::from_str(file).unwrap();
        let env = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        match resolve(spec, &providers, &env) {
            Ok((settings, model)) => {
                let ProviderSettings { name, api, base_url, api_key, .. } = settings;
                Ok(format!("{name} {api:?} {base_url} {} {model}", api_key.is_some()))
            }
            Err(error) => Err(format!("{error}; {}", error.hint().unwrap_or_default())),
        }
    }

    fn ok(spec: &str, file: &str, env: &[(&str, &str)]) -> String {
        resolved(Some(spec).filter(|spec| !spec.is_empty()), file, env).unwrap()
    }

    fn err(spec: &str, file: &str, env: &[(&str, &str)]) -> String {
        resolved(Some(spec).filter(|spec| !spec.is_empty()), file, env).unwrap_err()
    }

    #[test]
    fn a_named_model_goes_to_its_vendor() {
        let keys = [("OPENAI_API_KEY", "k"), ("OPENROUTER_API_KEY", "k")];
        assert_eq!(ok("openai/gpt-6", "", &keys), "openai Responses https://api.openai.com/v1 true gpt-6");
        let routed = ok("openrouter/anthropic/claude-x", "", &keys);
        assert_eq!(routed, "openrouter Chat https://openrouter.ai/api/v1 true anthropic/claude-x");
        assert_eq!(ok("ollama/qwen:4b", "", &[]), "ollama Chat http://127.0.0.1:11434/v1 false qwen:4b");
    }

    #[test]
    fn a_server_in_openais_place_speaks_chat_unless_told_otherwise() {
        let url = [("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1")];
        assert_eq!(ok("openai/any", "", &url), "openai Chat http://127.0.0.1:8080/v1 false any");
        let responses = "[openai]\napi = \"responses\"";
        assert_eq!(ok("openai/any", responses, &url), "openai Responses http://127.0.0.1:8080/v1 false any");
        let file = "[openai]\nbase_url = \"http://evil.test/v1\"";
        assert_eq!(ok("openai/any", file, &url), "openai Chat http://127.0.0.1:8080/v1 false any");
        let anthropic = [("ANTHROPIC_BASE_URL", "http://127.0.0.1:1"), ("ANTHROPIC_API_KEY", "k")];
        assert_eq!(ok("anthropic/c", "", &anthropic), "anthropic Anthropic http://127.0.0.1:1/ true c");
    }

    #[test]
    fn without_a_name_the_first_that_is_configured_is_chosen() {
        let key = ("GEMINI_API_KEY", "k");
        let gemini = "gemini Chat https://generativelanguage.googleapis.com/v1beta/openai true gemini-3.8-flash";
        assert_eq!(ok("", "", &[key, ("OPENAI_API_KEY", " ")]), gemini);
        let local = "[local]\nbase_url = \"http://127.0.0.1:8080/v1\"\nmodel = \"qwen\"";
        assert_eq!(ok("", local, &[key]), "local Chat http://127.0.0.1:8080/v1 false qwen");
        let keyed = "[local]\nbase_url = \"http://127.0.0.1:8080/v1\"\nmodel = \"qwen\"\napi_key_env = \"LOCAL_KEY\"";
        assert_eq!(ok("", keyed, &[key]), gemini);
        assert_eq!(ok("", keyed, &[("LOCAL_KEY", "k")]), "local Chat http://127.0.0.1:8080/v1 true qwen");
    }

    #[test]
    fn errors_say_what_to_do() {
        let no_key = "the provider `groq` needs a key, and GROQ_API_KEY is not set; export GROQ_API_KEY=YOUR_KEY";
        assert_eq!(err("groq/x", "", &[]), no_key);
        let unnamed = "`gpt-6` does not name a model: expected PROVIDER/MODEL; name it like `--model openai/gpt-5.6`";
        assert_eq!(err("gpt-6", "", &[]), unnamed);
        assert!(err("", "", &[]).contains("ANTHROPIC_API_KEY, OPENAI_API_KEY, GEMINI_API_KEY"));
        assert!(err("mine/x", "", &[]).contains("add `[providers.mine]` with `base_url`"));
        assert!(err("mine/x", "[mine]", &[]).contains("the provider `mine` needs `base_url`"));
        assert!(err("", "[mine]", &[]).contains("the provider `mine` needs `base_url`"));
        let url = [("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")];
        assert_eq!(err("", "", &url), "no model of the provider `openai` is named; name one: `--model openai/NAME`");
        let broken = err("groq/x", "", &[("GROQ_API_KEY", "se\ncret")]);
        assert!(broken.contains("GROQ_API_KEY") && !broken.contains("cret"), "{broken}");
        let url = err("openai/x", "", &[("OPENAI_BASE_URL", "//user:secret@h")]);
        assert!(!url.contains("secret"), "{url}");
    }

    #[test]
    fn an_unknown_setting_is_an_error() {
        assert!(toml::from_str::<ProviderSpec>("api_key = \"sk\"").is_err());
    }

    fn endpoint_of(api: Api, base_url: &str) -> Result<String, String> {
        let timeouts = Timeouts::default();
        let base_url = base_url.parse().unwrap();
        let models = BTreeMap::new();
        let settings = ProviderSettings { name: "x".into(), api, base_url, api_key: None, timeouts, models };
        let path = wire(&settings).path();
        endpoint(&settings, path).map(String::from).map_err(|error| error.to_string())
    }

    #[test]
    fn base_urls_are_joined_as_the_vendors_do() {
        let joined = [
            (Api::Chat, "https://h/v1", "https://h/v1/chat/completions"),
            (Api::Chat, "https://h/v1/", "https://h/v1/chat/completions"),
            (Api::Chat, "https://h", "https://h/chat/completions"),
            (Api::Responses, "https://h/v1", "https://h/v1/responses"),
            (Api::Anthropic, "https://h", "https://h/v1/messages"),
            (Api::Anthropic, "https://h/v1/", "https://h/v1/messages"),
            (Api::Anthropic, "https://h/proxy?a=b", "https://h/proxy/v1/messages?a=b"),
        ];
        for (api, base_url, expected) in joined {
            assert_eq!(endpoint_of(api, base_url).as_deref(), Ok(expected));
        }
        for base_url in ["file:///etc/passwd", "https://user:secret@h", "data:,x"] {
            let refused = endpoint_of(Api::Chat, base_url).unwrap_err();
            assert!(!refused.contains("secret"), "{refused}");
        }
    }

    #[test]
    fn only_openai_itself_is_spoken_to_in_its_dialect() {
        let dialect_at = |url: &str| {
            let (name, timeouts) = ("openai".to_owned(), Timeouts::default());
            let base_url = url.parse().unwrap();
            let models = BTreeMap::new();
            dialect(&ProviderSettings { name, api: Api::Chat, base_url, api_key: None, timeouts, models })
        };
        assert_eq!(dialect_at("https://api.openai.com/v1"), Dialect::OpenAi);
        assert_eq!(dialect_at("https://api.openai.com.evil.test/v1"), Dialect::Common);
    }
}
