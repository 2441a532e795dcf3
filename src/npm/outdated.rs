//! What `outdated --json` prints, npm's, pnpm's and yarn's: by its shape, as an error ends 1 too.

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

/// Reads it; an error says why nobody knows. pnpm and yarn print nothing where there is nothing, and so does one that dies: only
/// how it ended tells them apart.
pub fn outdated(output: &[u8], ended_well: bool) -> Result<Vec<Outdated>, String> {
    if output.iter().all(u8::is_ascii_whitespace) {
        return match ended_well {
            true => Ok(Vec::new()),
            false => Err("it printed nothing and did not end well".to_owned()),
        };
    }
    if let Some(lines) = yarn_lines(output) {
        return of_yarn(&lines, ended_well);
    }
    let report: Value =
        serde_json::from_slice(output).map_err(|error| format!("it printed no JSON: {error}"))?;
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
            add(&mut found, package, text("current"), wanted, latest);
        }
    }
    Ok(found)
}

fn add(
    found: &mut Vec<Outdated>,
    package: &str,
    current: Option<String>,
    wanted: String,
    latest: String,
) {
    let here = Version::parse(current.as_deref().unwrap_or(&wanted));
    let newest = Version::parse(&latest);
    let major = match (here, newest) {
        (Some(here), Some(newest)) if newest <= here => return,
        (Some(here), Some(newest)) => here.breaks_until(&newest),
        _ => false,
    };
    let one = Outdated {
        package: package.to_owned(),
        current,
        wanted,
        latest,
        major,
    };
    if !found.contains(&one) {
        found.push(one);
    }
}

/// yarn 1 prints an object a line, each with a type.
fn yarn_lines(output: &[u8]) -> Option<Vec<Value>> {
    let lines: Vec<Value> = serde_json::Deserializer::from_slice(output)
        .into_iter()
        .collect::<Result<_, _>>()
        .ok()?;
    let has_type = |line: &Value| line["type"].is_string() && line.get("data").is_some();
    (!lines.is_empty() && lines.iter().all(has_type)).then_some(lines)
}

fn of_yarn(lines: &[Value], ended_well: bool) -> Result<Vec<Outdated>, String> {
    let of_type = |word: &str| lines.iter().find(|line| line["type"] == word);
    let Some(table) = of_type("table") else {
        return match of_type("error") {
            Some(error) => Err(error["data"]
                .as_str()
                .unwrap_or("it reports an error")
                .to_owned()),
            None if ended_well => Ok(Vec::new()),
            None => Err("it printed no table and did not end well".to_owned()),
        };
    };
    let strange = || "its table has another form than is known".to_owned();
    let list = |value: &Value| value.as_array().cloned().ok_or_else(strange);
    let head = list(&table["data"]["head"])?;
    let mut found = Vec::new();
    for row in list(&table["data"]["body"])? {
        let text = |name: &str| -> Result<String, String> {
            let at = head.iter().position(|word| word == name);
            let cell = at.and_then(|at| row.get(at)?.as_str());
            cell.map(str::to_owned).ok_or_else(strange)
        };
        let (package, latest) = (text("Package")?, text("Latest")?);
        add(
            &mut found,
            &package,
            Some(text("Current")?),
            text("Wanted")?,
            latest,
        );
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_an_answer_only_of_one_that_ended_well() {
        assert_eq!(outdated(b"\n", true), Ok(Vec::new()));
        assert!(outdated(b"", false).is_err());
    }

    #[test]
    fn yarn_1_prints_a_table_and_words_around_it() {
        let info = r#"{"type":"info","data":"Color legend : ..."}"#;
        let table = r#"{"type":"table","data":{"head":["Package","Current","Wanted","Latest","Package Type","URL"],
            "body":[["left","1.0.0","1.0.1","2.0.0","dependencies","https://x"],["a","1.0.0","1.0.2","1.0.2","dependencies",""]]}}"#;
        let found = outdated(format!("{info}\n{table}\n").as_bytes(), false).expect("reads");
        let names: Vec<_> = found
            .iter()
            .map(|one| (one.package.as_str(), one.major))
            .collect();
        assert_eq!(names, [("left", true), ("a", false)]);
        assert_eq!(outdated(info.as_bytes(), true), Ok(Vec::new()));
        assert!(outdated(info.as_bytes(), false).is_err());
        let error = r#"{"type":"error","data":"no lock file"}"#;
        assert_eq!(
            outdated(error.as_bytes(), true),
            Err("no lock file".to_owned())
        );
        let odd = table.replace("Latest", "Newest").replace('\n', "");
        assert!(outdated(odd.as_bytes(), false).is_err());
    }

    #[test]
    fn minor_and_major_and_errors_are_told_apart() {
        let read = |text: &str| outdated(text.as_bytes(), false);
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
        let why = read(r#"{"error":{"code":"ECONNREFUSED","summary":"request failed"}}"#);
        assert_eq!(why, Err("request failed".to_owned()));
        assert!(read("[]").is_err());
        assert!(read(r#"{"a":{"current":"1.0.0"}}"#).is_err());
        // A package may be called so.
        assert!(read(r#"{"error":{"current":"7.0.0","wanted":"7.0.0","latest":"7.0.2"}}"#).is_ok());
    }
}
