//! A row as a line of JSON and back, without changing a value: `{"id":7,"amount":1.5,"note":null,"raw":{"blob":"00ff"}}`.
//! Whole numbers and reals stay apart as `1` and `1.0`; what JSON has no word for is an object with one key.

use anyhow::Context as _;
use rusqlite::types::Value;
use serde_json::{Map, Value as Json};

/// The names of the values of a line, in order.
#[derive(Clone, Debug)]
pub struct Names(pub Vec<String>);

impl Names {
    /// Those of a line.
    pub fn of(line: &str) -> anyhow::Result<Self> {
        let row: Map<String, Json> = serde_json::from_str(line).context("no line of JSON")?;
        Ok(Self(row.into_iter().map(|(name, _)| name).collect()))
    }

    /// One line, with its end.
    pub fn line(&self, values: &[Value]) -> String {
        let row: Map<String, Json> = self
            .0
            .iter()
            .zip(values)
            .map(|(name, value)| (name.clone(), json(value)))
            .collect();
        format!("{}\n", Json::Object(row))
    }

    /// The values of a line. A name that it has not is NULL. One that only the line has is refused, for its value would be lost.
    pub fn values(&self, line: &str) -> anyhow::Result<Vec<Value>> {
        let mut row: Map<String, Json> = serde_json::from_str(line).context("no line of JSON")?;
        let values = self
            .0
            .iter()
            .map(|name| {
                row.remove(name)
                    .map_or(Ok(Value::Null), |json| value(&json))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let unknown: Vec<_> = row.keys().map(String::as_str).collect();
        anyhow::ensure!(
            unknown.is_empty(),
            "the table has no column {}",
            unknown.join(", ")
        );
        Ok(values)
    }
}

fn json(value: &Value) -> Json {
    let special = |key: &str, text: String| {
        Json::Object([(key.to_owned(), Json::String(text))].into_iter().collect())
    };
    match value {
        Value::Null => Json::Null,
        Value::Integer(number) => Json::from(*number),
        Value::Real(number) if number.is_finite() => Json::from(*number),
        Value::Real(number) => special("real", number.to_string()),
        Value::Text(text) => Json::String(text.clone()),
        Value::Blob(bytes) => special("blob", hex(bytes)),
    }
}

fn value(json: &Json) -> anyhow::Result<Value> {
    Ok(match json {
        Json::Null => Value::Null,
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::Integer(whole),
            (None, Some(real)) => Value::Real(real),
            _ => anyhow::bail!("{number} is no number of SQLite"),
        },
        Json::String(text) => Value::Text(text.clone()),
        Json::Object(special) => match special.iter().next() {
            Some((key, Json::String(text))) if key == "blob" => Value::Blob(bytes(text)?),
            Some((key, Json::String(text))) if key == "real" => Value::Real(text.parse()?),
            _ => anyhow::bail!("{json} is no value of SQLite"),
        },
        _ => anyhow::bail!("{json} is no value of SQLite"),
    })
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

fn bytes(hex: &str) -> anyhow::Result<Vec<u8>> {
    anyhow::ensure!(hex.len().is_multiple_of(2) && hex.is_ascii(), "half a byte");
    hex.as_bytes()
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair)?;
            Ok(u8::from_str_radix(pair, 16)?)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Integer),
            any::<f64>()
                .prop_filter("SQLite has no NaN", |real| !real.is_nan())
                .prop_map(Value::Real),
            Just(Value::Real(f64::INFINITY)),
            Just(Value::Real(1.0)),
            any::<String>().prop_map(Value::Text),
            any::<Vec<u8>>().prop_map(Value::Blob),
        ]
    }

    proptest! {
        #[test]
        fn every_row_comes_back_as_it_was(row in proptest::collection::vec(any_value(), 1..6)) {
            let names = Names((0..row.len()).map(|at| format!("c\"{at}")).collect());
            let line = names.line(&row);
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert_eq!(names.values(&line).expect("reads"), row);
        }
    }

    #[test]
    fn a_column_that_came_or_went() {
        let names = Names(vec!["id".into(), "new".into()]);
        assert_eq!(
            names.values("{\"id\":1}").expect("reads"),
            [Value::Integer(1), Value::Null]
        );
        let error = names
            .values("{\"id\":1,\"old\":2}")
            .expect_err("would be lost");
        assert!(error.to_string().contains("no column old"));
        assert!(names.values("{\"id\":[1]}").is_err());
        assert!(names.values("{\"id\":1").is_err());
    }
}
