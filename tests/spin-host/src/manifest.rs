//! `spin.toml`, as far as this host understands it. What it does not know is an error: a key that
//! was silently ignored here could mean something on a Spin.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// What the host needs of the manifest.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The component's file.
    pub source: PathBuf,
    /// The component's variables, resolved.
    pub variables: HashMap<String, String>,
    /// The hosts that it may reach.
    pub allowed: Vec<String>,
    /// Its key-value stores.
    pub key_value_stores: Vec<String>,
    /// Its databases.
    pub sqlite_databases: Vec<String>,
}

impl Manifest {
    /// Reads the file, and the variables' values from the environment, as Spin does.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")), |name| std::env::var(name).ok())
    }

    /// The component's file alone: what the variables are does not matter for it.
    ///
    /// # Errors
    ///
    /// What is wrong with the manifest.
    pub fn source(path: &Path) -> Result<PathBuf, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let directory = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, directory, |_| Some(String::new())).map(|manifest| manifest.source)
    }

    /// See [`Manifest::read`].
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(
        text: &str,
        directory: &Path,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let document: Document = toml::from_str(text).map_err(|error| error.to_string())?;
        if document.spin_manifest_version != 2 {
            return Err("the manifest's version is not 2".to_owned());
        }
        let [trigger] = <[Trigger; 1]>::try_from(document.trigger.http)
            .map_err(|_| "the manifest has not one trigger".to_owned())?;
        if trigger.route != "/..." {
            return Err(format!("the route `{}` is not `/...`", trigger.route));
        }
        let component = document
            .component
            .get(&trigger.component)
            .ok_or_else(|| format!("there is no component `{}`", trigger.component))?;
        let mut values = HashMap::new();
        for (name, variable) in &document.variables {
            let set = environment(&format!("SPIN_VARIABLE_{}", name.to_uppercase()));
            let value = set
                .or_else(|| variable.default.clone())
                .ok_or_else(|| format!("no provider resolved the required variable `{name}`"))?;
            values.insert(name.clone(), value);
        }
        let resolve = |template: &String| {
            let mut text = template.clone();
            for (name, value) in &values {
                text = text.replace(&format!("{{{{ {name} }}}}"), value);
            }
            if text.contains("{{") {
                Err(format!("`{template}` names no variable"))
            } else {
                Ok(text)
            }
        };
        let mut variables = HashMap::new();
        for (name, template) in &component.variables {
            variables.insert(name.clone(), resolve(template)?);
        }
        let allowed = component.allowed_outbound_hosts.iter().map(resolve);
        Ok(Self {
            source: directory.join(&component.source),
            variables,
            allowed: allowed.collect::<Result<_, _>>()?,
            key_value_stores: component.key_value_stores.clone(),
            sqlite_databases: component.sqlite_databases.clone(),
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    spin_manifest_version: u32,
    #[expect(dead_code, reason = "it must be there and be right")]
    application: Application,
    #[serde(default)]
    variables: BTreeMap<String, Variable>,
    trigger: Triggers,
    component: BTreeMap<String, Component>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it must be there and be right")]
struct Application {
    name: String,
    version: String,
    description: Option<String>,
    authors: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Variable {
    default: Option<String>,
    #[expect(dead_code, reason = "it must be right")]
    #[serde(default)]
    required: bool,
    #[expect(dead_code, reason = "it must be right")]
    #[serde(default)]
    secret: bool,
    #[expect(dead_code, reason = "it must be right")]
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Triggers {
    http: Vec<Trigger>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trigger {
    route: String,
    component: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Component {
    source: String,
    #[expect(dead_code, reason = "it must be right")]
    description: Option<String>,
    #[serde(default)]
    allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    key_value_stores: Vec<String>,
    #[serde(default)]
    sqlite_databases: Vec<String>,
    #[serde(default)]
    variables: BTreeMap<String, String>,
    #[expect(dead_code, reason = "it must be right")]
    build: Option<Build>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it must be right")]
struct Build {
    command: String,
    #[serde(default)]
    watch: Vec<String>,
    workdir: Option<String>,
}
