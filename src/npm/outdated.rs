//! What `npm outdated --json` prints (pnpm's is the same for our purpose): by its shape, as an error ends 1 too.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::version::Version;

/// A package with newer versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Outdated {
    /// Its name.
    pub package: String,
    /// What is installed; null where it is not.
    pub current: Option<String>,
    /// The newest that fits what the project asks for.
    pub wanted: String,
    /// The newest there is.
    pub latest: String,
    /// True when the newest may break things.
    pub major: bool,
}

/// Reads it; an error says why nobody knows.
pub fn outdated(output: &[u8]) -> Result<Vec<Outdated>, String> {
    let report: Value = match serde_json::from_slice(output) {
        Ok(report) => report,
        // pnpm prints nothing at all where there is nothing.
        Err(_) if output.iter().all(u8::is_ascii_whitespace) => return Ok(Vec::new()),
        Err(error) => return Err(format!("it printed no JSON: {error}")),
    };
    let packages = report.as_object().ok_or("it printed no list of packages")?;
    if let Some(error) = packages
        .get("error")
        .filter(|error| error.get("latest").is_none())
    {
        let text = ["summary", "message", "code"]
            .iter()
            .filter_map(|key| error[key].as_str())
            .find(|text| !text.is_empty());
        return Err(text.unwrap_or("it reports an error").to_owned());
    }
    let mut found = Vec::new();
    for (package, places) in packages {
        // One that is needed at several places is a list.
        let places = match places {
            Value::Array(places) => places.as_slice(),
            one => std::slice::from_ref(one),
        };
        for place in places {
            let text = |key: &str| place[key].as_str().map(str::to_owned);
            let (Some(wanted), Some(latest)) = (text("wanted"), text("latest")) else {
                return Err(format!("what it says of {package} is not known"));
            };
            let current = text("current");
            let here = Version::parse(current.as_deref().unwrap_or(&wanted));
            let newest = Version::parse(&latest);
            let major = match (here, newest) {
                (Some(here), Some(newest)) if newest <= here => continue,
                (Some(here), Some(newest)) => here.breaks_until(&newest),
                _ => false,
            };
            let one = Outdated {
                package: package.clone(),
                current,
                wanted,
                latest,
                major,
            };
            if !found.contains(&one) {
                found.push(one);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minor_and_major_and_errors_are_told_apart() {
        let read = |text: &str| outdated(text.as_bytes());
        let found = read(
            r#"{"a":{"current":"1.0.0","wanted":"1.2.0","latest":"1.2.0"},
                "b":[{"current":"1.0.0","wanted":"1.0.0","latest":"2.0.0"},{"current":"1.0.0","wanted":"1.0.0","latest":"2.0.0"}],
                "ahead":{"current":"3.0.0","wanted":"3.0.0","latest":"2.0.0"},
                "absent":{"wanted":"1.0.0","latest":"1.0.1"}}"#,
        )
        .expect("reads");
        let names: Vec<_> = found
            .iter()
            .map(|one| (one.package.as_str(), one.major))
            .collect();
        assert_eq!(names, [("a", false), ("b", true), ("absent", false)]);
        assert_eq!(read("{}"), Ok(Vec::new()));
        assert_eq!(read(""), Ok(Vec::new()));
        let why = read(r#"{"error":{"code":"ECONNREFUSED","summary":"request failed"}}"#);
        assert_eq!(why, Err("request failed".to_owned()));
        assert!(read("[]").is_err());
        assert!(read(r#"{"a":{"current":"1.0.0"}}"#).is_err());
        // A package may be called so.
        assert!(read(r#"{"error":{"current":"7.0.0","wanted":"7.0.0","latest":"7.0.2"}}"#).is_ok());
    }
}
