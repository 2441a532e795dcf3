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
    /// As TOML; none where the key defaults to nothing, several where it is one of a list that has entries by default.
    pub defaults: Vec<String>,
}

/// One part of the file that has a header of its own.
struct Part {
    header: String,
    description: String,
    keys: Vec<Field>,
    /// How all of it stands in the file.
    shown: Shown,
}

#[derive(Clone)]
struct Field {
    name: String,
    description: String,
    /// The default, or the example of a key that defaults to nothing.
    value: Value,
    /// Whether that is the default.
    set: bool,
}

/// How something stands in the file that `config init` writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// As it is.
    Written,
    /// Commented out, since it is an example.
    Example,
    /// Commented out although it is the default: who writes it says that it is there, and its absence is a finding then.
    IfThere,
}

/// The parts, and of others the keys, that are [`Shown::IfThere`]: what asks for `Origin::Default`.
const IF_THERE: &[(&str, &[&str])] = &[
    ("[[data_clean.rule]]", &[]),
    ("[rag]", &["database"]),
    ("[redis]", &["url"]),
    ("[certs]", &["files"]),
    ("[audit]", &["sources", "access_log", "auth_log"]),
    ("[logs]", &["error_logs"]),
];

/// True for a key of which the file says, beside its value, that it is there.
pub fn says_it_is_there(section: &str, key: &str) -> bool {
    let (table, list) = (format!("[{section}]"), format!("[[{section}.{key}]]"));
    let is_it = |(header, keys): &(&str, &[&str])| {
        *header == list || (*header == table && keys.contains(&key))
    };
    IF_THERE.iter().any(is_it)
}

/// What stands above them.
const WHY_IF_THERE: &str =
    "# Take out the # where this server has it: from then on its absence is a problem.";

/// A list of tables whose keys depend on their kind: an example of each, with its name.
const KINDS: (&str, &[(&str, &str)]) = (
    "[[alerts.channel]]",
    &[
        ("mail", "ops-mail"),
        ("slack", "chat"),
        ("command", "pager"),
    ],
);

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
        "# empire-maint configuration. Every value below is the default; what is commented out is an example, or the default for\n\
         # what this server may not have. The databases are the plan's: write down yours, which have to be there.\n\
         # A list that you write replaces the default list whole. Check with: empire-maint config check\n",
    );
    let parts = parts()?;
    for (at, part) in parts.iter().enumerate() {
        let is_further = parts[..at]
            .iter()
            .any(|before| before.header == part.header);
        let if_there = IF_THERE.iter().find(|(header, _)| *header == part.header);
        let is_if_there =
            |key: &Field| if_there.is_some_and(|(_, keys)| keys.contains(&key.name.as_str()));
        let mark = match part.shown {
            Shown::Written => "",
            Shown::Example | Shown::IfThere => "# ",
        };
        writeln!(text)?;
        for line in part.description.lines() {
            writeln!(text, "# {line}")?;
        }
        if part.shown == Shown::IfThere {
            writeln!(text, "{WHY_IF_THERE}")?;
        }
        writeln!(text, "{mark}{}", part.header)?;
        for key in &part.keys {
            // What a rule of the plan does without stands in another one, or does not go with it; an example of the first entry
            // of a list is none of the next.
            let is_of_first = part.shown == Shown::Written && is_further;
            if !key.set && (part.shown == Shown::IfThere || is_of_first) {
                continue;
            }
            // The place for a secret is its own file.
            let twin = format!("{}_file", key.name);
            if !key.set && part.keys.iter().any(|other| other.name == twin) {
                continue;
            }
            let mark = match key.set && !is_if_there(key) {
                true => mark,
                false => "# ",
            };
            if is_if_there(key) {
                writeln!(text, "{WHY_IF_THERE}")?;
            }
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
    let mut found: Vec<Key> = Vec::new();
    for part in parts()? {
        for key in part.keys {
            let name = format!("{} {}", part.header, key.name);
            let default = match key.set && part.shown != Shown::Example {
                true => Some(toml_value(&key.value)?),
                false => None,
            };
            match found.iter_mut().find(|other| other.name == name) {
                Some(other) => {
                    let is_new = |default: &String| !other.defaults.contains(default);
                    let default = default.filter(is_new);
                    other.defaults.extend(default);
                }
                None => found.push(Key {
                    name,
                    description: key.description,
                    defaults: default.into_iter().collect(),
                }),
            }
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
            let header = format!("[[{name}.{key}]]");
            let shown = match entries.is_empty() {
                true => Shown::Example,
                false if IF_THERE.contains(&(&*header, &[])) => Shown::IfThere,
                false => Shown::Written,
            };
            let entries = match entries.is_empty() {
                true => vec![Value::Null],
                false => entries,
            };
            for entry in entries {
                let mut sub = part(header.clone(), &item, &entry, definitions);
                for part in &mut sub {
                    part.shown = shown;
                    part.description.clone_from(&description);
                }
                if header == KINDS.0 {
                    below.extend(KINDS.1.iter().map(|kind| Part {
                        keys: of_kind(&sub[0].keys, *kind),
                        header: header.clone(),
                        description: description.clone(),
                        shown,
                    }));
                } else {
                    below.extend(sub);
                }
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
        shown: Shown::Written,
    };
    std::iter::once(head).chain(below).collect()
}

/// The keys of one kind: the description of one that is not for all begins with its kind.
fn of_kind(keys: &[Field], (kind, name): (&str, &str)) -> Vec<Field> {
    let is_of = |field: &&Field| match field.description.split_once(':') {
        Some((word, _)) if KINDS.1.iter().any(|(kind, _)| *kind == word) => word == kind,
        _ => true,
    };
    let one = |field: &Field| Field {
        value: match field.name.as_str() {
            "kind" => Value::from(kind),
            "name" => Value::from(name),
            _ => field.value.clone(),
        },
        ..field.clone()
    };
    keys.iter().filter(is_of).map(one).collect()
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
    fn an_example_for_one_database_is_none_for_the_other() {
        let text = commented_file().expect("is written");
        assert_eq!(text.matches("# freshness = ").count(), 1, "{text}");
    }

    #[test]
    fn every_key_is_documented_once() {
        let keys = described_keys().expect("lists");
        for (at, key) in keys.iter().enumerate() {
            let before = &keys[..at];
            assert!(before.iter().all(|other| other.name != key.name));
            assert!(
                !key.description.is_empty(),
                "{} has no description",
                key.name
            );
        }
    }
}
