//! Reads an answer: as many vectors as there were texts, in their order, of one dimension, of finite numbers. Anything else is told
//! and nothing of it taken.

use serde::Deserialize;
use serde_json::Value;

use super::Api;

#[derive(Deserialize)]
struct OpenAi {
    data: Vec<One>,
}

#[derive(Deserialize)]
struct One {
    index: Option<usize>,
    embedding: Value,
}

#[derive(Deserialize)]
struct Ollama {
    embeddings: Vec<Value>,
}

/// The vectors, or what is wrong.
pub fn read(api: Api, body: &[u8], expected: usize) -> Result<Vec<Vec<u8>>, String> {
    let no_json =
        |error: serde_json::Error| format!("the answer is not what was expected: {error}");
    let values: Vec<Value> = match api {
        Api::OpenAi => {
            let data = serde_json::from_slice::<OpenAi>(body)
                .map_err(no_json)?
                .data;
            require_count(data.len(), expected)?;
            in_order(data)?
        }
        Api::Ollama => {
            let found = serde_json::from_slice::<Ollama>(body)
                .map_err(no_json)?
                .embeddings;
            require_count(found.len(), expected)?;
            found
        }
    };
    let vectors = values.iter().map(vector).collect::<Result<Vec<_>, _>>()?;
    if let Some(other) = vectors.iter().find(|one| one.len() != vectors[0].len()) {
        return Err(format!(
            "vectors of {} and of {} dimensions in one answer",
            vectors[0].len() / 4,
            other.len() / 4
        ));
    }
    Ok(vectors)
}

fn require_count(found: usize, expected: usize) -> Result<(), String> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{found} vectors for {expected} texts")),
    }
}

/// By `index`, which each has exactly once, or none has.
fn in_order(data: Vec<One>) -> Result<Vec<Value>, String> {
    if data.iter().all(|one| one.index.is_none()) {
        return Ok(data.into_iter().map(|one| one.embedding).collect());
    }
    let mut places: Vec<Option<Value>> = data.iter().map(|_| None).collect();
    for one in data {
        let index = one
            .index
            .ok_or("a vector without an index among others with one")?;
        let place = places
            .get_mut(index)
            .ok_or_else(|| format!("a vector with the index {index}, which no text has"))?;
        if place.replace(one.embedding).is_some() {
            return Err(format!("two vectors with the index {index}"));
        }
    }
    Ok(places.into_iter().flatten().collect())
}

fn vector(value: &Value) -> Result<Vec<u8>, String> {
    let numbers = value.as_array().ok_or(match value {
        Value::String(_) => "a vector as a text (base64?), although floats were asked for",
        _ => "a vector that is no list",
    })?;
    if numbers.is_empty() {
        return Err("a vector without numbers".to_owned());
    }
    let mut bytes = Vec::with_capacity(numbers.len() * 4);
    for number in numbers {
        let number = number
            .as_f64()
            .ok_or("a vector with something that is no number")? as f32;
        if !number.is_finite() {
            return Err("a vector with a number that no 32-bit float holds".to_owned());
        }
        bytes.extend(number.to_le_bytes());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(numbers: &[f32]) -> Vec<u8> {
        numbers.iter().flat_map(|one| one.to_le_bytes()).collect()
    }

    #[test]
    fn the_index_gives_the_order() {
        let body = br#"{"object":"list","data":[{"index":1,"embedding":[3,4]},{"index":0,"embedding":[1,2]}],"usage":{}}"#;
        let expected = vec![floats(&[1.0, 2.0]), floats(&[3.0, 4.0])];
        assert_eq!(read(Api::OpenAi, body, 2), Ok(expected.clone()));
        let body = br#"{"model":"m","embeddings":[[1,2],[3,4]],"total_duration":1}"#;
        assert_eq!(read(Api::Ollama, body, 2), Ok(expected));
    }

    #[test]
    fn what_is_not_exactly_that_is_told() {
        for (api, body, told) in [
            (
                Api::OpenAi,
                r#"{"data":[{"index":0,"embedding":[1]}]}"#,
                "1 vectors for 2",
            ),
            (
                Api::OpenAi,
                r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#,
                "two vectors with the index 0",
            ),
            (
                Api::OpenAi,
                r#"{"data":[{"index":0,"embedding":[1]},{"index":2,"embedding":[1]}]}"#,
                "index 2",
            ),
            (
                Api::OpenAi,
                r#"{"data":[{"index":0,"embedding":[1]},{"embedding":[1]}]}"#,
                "without an index",
            ),
            (
                Api::OpenAi,
                r#"{"data":[{"index":0,"embedding":"AACAPw=="},{"index":1,"embedding":"AACAPw=="}]}"#,
                "base64",
            ),
            (
                Api::Ollama,
                r#"{"embeddings":[[1],[1,2]]}"#,
                "1 and of 2 dimensions",
            ),
            (Api::Ollama, r#"{"embeddings":[[1],[null]]}"#, "no number"),
            (
                Api::Ollama,
                r#"{"embeddings":[[1],[1e39]]}"#,
                "no 32-bit float",
            ),
            (
                Api::Ollama,
                r#"{"embeddings":[[1],[NaN]]}"#,
                "not what was expected",
            ),
            (Api::Ollama, r#"{"embeddings":[[],[]]}"#, "without numbers"),
            (
                Api::Ollama,
                r#"{"error":"no model"}"#,
                "not what was expected",
            ),
            (
                Api::OpenAi,
                r#"{"data":[{"index":0,"embedding":[1"#,
                "not what was expected",
            ),
        ] {
            let error = read(api, body.as_bytes(), 2).expect_err(body);
            assert!(error.contains(told), "{body}: {error}");
        }
    }
}
