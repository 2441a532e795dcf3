//! The configuration explains itself: the commented file, the list of keys for the manual and the JSON Schema
//! are all made from the section types, so that they cannot disagree with the parser.

use std::fmt::Write as _;

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value};

use super::sections;

/// One key of the configuration, for the manual.
pub struct Key {
    /// `[backup.keep] daily`.
    pub name: String,
    /// The documentation of the field.
    pub description: String,
    /// As TOML; empty where the key defaults to nothing.
    pub default: String,
}

/// One part of the file that has a header of its own.
struct Part {
    header: String,
    description: String,
    keys: Vec<Field>,
    optional: bool,
}

struct Field {
    name: String,
    description: String,
    /// The default, or the example of a key that defaults to nothing.
    value: Value,
    set: bool,
}

/// The JSON Schema of the whole file.
pub fn schema() -> Schema {
    let mut generator = generator();
    let mut properties = Map::new();
    for entry in sections::ALL {
        properties.insert(
            entry.name.to_owned(),
            (entry.schema)(&mut generator).to_value(),
        );
    }
    let mut root = Map::new();
    root.insert(
        "$schema".into(),
        "https://json-schema.org/draft/2020-12/schema".into(),
    );
    root.insert("title".into(), "empire-maint configuration".into());
    root.insert("type".into(), "object".into());
    root.insert("additionalProperties".into(), false.into());
    root.insert("properties".into(), properties.into());
    root.insert("$defs".into(), generator.take_definitions(true).into());
    root.into()
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().into_generator()
}

/// The full file with every key, its meaning and its default; what defaults to nothing is commented out.
pub fn commented_file() -> anyhow::Result<String> {
    let mut text = String::from(
        "# empire-maint configuration. Every value below is the default; what is commented out defaults to nothing.\n\
         # A list that you write replaces the default list whole. Check with: empire-maint config check\n",
    );
    for part in parts()? {
        let mark = if part.optional { "# " } else { "" };
        writeln!(text)?;
        for line in part.description.lines() {
            writeln!(text, "# {line}")?;
        }
        writeln!(text, "{mark}{}", part.header)?;
        for key in part.keys {
            let mark = if key.set { mark } else { "# " };
            let value = toml_value(&key.value)?;
            let description = key.description.replace('\n', " ");
            let assignment = format!("{mark}{} = {value}", key.name);
            writeln!(text, "{assignment:<40} # {description}")?;
        }
    }
    Ok(text)
}

/// Every key with its meaning and default.
pub fn described_keys() -> anyhow::Result<Vec<Key>> {
    let mut found = Vec::new();
    for part in parts()? {
        for key in part.keys {
            found.push(Key {
                name: format!("{} {}", part.header, key.name),
                description: key.description,
                default: if key.set && !part.optional {
                    toml_value(&key.value)?
                } else {
                    String::new()
                },
            });
        }
    }
    Ok(found)
}

fn toml_value(value: &Value) -> anyhow::Result<String> {
    Ok(toml::Value::try_from(value)?.to_string())
}

fn parts() -> anyhow::Result<Vec<Part>> {
    let mut generator = generator();
    let roots: Vec<_> = sections::ALL
        .iter()
        .map(|entry| (entry, (entry.schema)(&mut generator).to_value()))
        .collect();
    let definitions = Value::from(generator.take_definitions(true));
    let mut found = Vec::new();
    for (entry, schema) in roots {
        let schema = resolve(&schema, &definitions);
        let defaults = (entry.defaults)()?;
        match defaults {
            Value::Array(items) => {
                let item = resolve(&schema["items"], &definitions);
                for default in items {
                    found.extend(part(
                        format!("[[{}]]", entry.name),
                        &item,
                        &default,
                        &definitions,
                    ));
                }
            }
            default => found.extend(part(
                format!("[{}]", entry.name),
                &schema,
                &default,
                &definitions,
            )),
        }
    }
    Ok(found)
}

/// A part, followed by the parts of its sub-tables and lists of tables.
fn part(header: String, schema: &Value, defaults: &Value, definitions: &Value) -> Vec<Part> {
    let mut keys = Vec::new();
    let mut below = Vec::new();
    let properties = schema["properties"].as_object();
    let name = header.trim_matches(['[', ']']).to_owned();
    for (key, raw) in properties.into_iter().flatten() {
        let field = resolve(raw, definitions);
        let description = text(&raw["description"])
            .or_else(|| text(&field["description"]))
            .unwrap_or_default();
        let default = defaults.get(key).cloned().unwrap_or(Value::Null);
        let item = resolve(&field["items"], definitions);
        if field["properties"].is_object() && default.is_object() {
            let mut sub = part(format!("[{name}.{key}]"), &field, &default, definitions);
            if let Some(first) = sub.first_mut() {
                first.description = description;
            }
            below.extend(sub);
        } else if item["properties"].is_object() {
            // One that has entries by default is written with them.
            let entries = default.as_array().cloned().unwrap_or_default();
            let optional = entries.is_empty();
            let entries = if optional { vec![Value::Null] } else { entries };
            for entry in entries {
                let mut sub = part(format!("[[{name}.{key}]]"), &item, &entry, definitions);
                for part in &mut sub {
                    part.optional = optional;
                    part.description.clone_from(&description);
                }
                below.extend(sub);
            }
        } else {
            let set = !default.is_null();
            let example = [&raw["examples"][0], &field["examples"][0]]
                .into_iter()
                .find(|example| !example.is_null())
                .cloned()
                .unwrap_or_else(|| Value::from(""));
            keys.push(Field {
                name: key.clone(),
                description,
                value: if set { default } else { example },
                set,
            });
        }
    }
    let head = Part {
        description: text(&schema["description"]).unwrap_or_default(),
        header,
        keys,
        optional: false,
    };
    std::iter::once(head).chain(below).collect()
}

/// Follows `$ref`, and takes the type out of `anyOf [T, null]`.
fn resolve(schema: &Value, definitions: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return definitions[name].clone();
    }
    match schema["anyOf"].as_array().and_then(|any| any.first()) {
        Some(first) => resolve(first, definitions),
        None => schema.clone(),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_commented_file_is_valid_and_says_the_defaults() {
        let text = commented_file().expect("is written");
        let parsed: toml::Table = text.parse().expect("is TOML");
        let config = Config::parse(None, text, None).expect("is a configuration");
        assert!(config.problems(|_| true).is_empty());
        for (entry, (name, value)) in sections::ALL.iter().zip(config.effective()) {
            let value = value.expect("reads");
            assert_eq!(value, (entry.defaults)().expect("serialises"), "{name}");
        }
        assert!(parsed.contains_key("backup"));
    }

    #[test]
    fn every_key_is_documented() {
        for key in described_keys().expect("lists") {
            assert!(
                !key.description.is_empty(),
                "{} has no description",
                key.name
            );
        }
    }
}
