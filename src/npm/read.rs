//! The forms of an audit: npm 7 and later; npm 6 and pnpm; yarn 1 and yarn 2 and later, one object a line.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{Advisory, Fix, Verdict};
use crate::report::Severity;

type Object = Map<String, Value>;
/// By advisory and package: the same weakness is reported for every range, path and version.
type Found = BTreeMap<(String, String), Advisory>;

/// Reads what `audit --json` printed on standard output.
pub fn read(output: &[u8]) -> Verdict {
    match objects(output).and_then(|objects| judge(&objects)) {
        Ok(found) if found.is_empty() => Verdict::Clean,
        Ok(found) => {
            let mut all: Vec<_> = found.into_values().collect();
            all.sort_by_key(|advisory| std::cmp::Reverse(advisory.severity));
            Verdict::Vulnerable(all)
        }
        Err(why) => Verdict::Unknown(why),
    }
}

/// Some print notices before they begin.
fn objects(output: &[u8]) -> Result<Vec<Object>, String> {
    let begin = match output.first() {
        Some(b'{') => 0,
        _ => match memchr::memmem::find(output, b"\n{") {
            Some(at) => at + 1,
            None => return Err("it printed no JSON".to_owned()),
        },
    };
    serde_json::Deserializer::from_slice(&output[begin..])
        .into_iter::<Object>()
        .collect::<Result<_, _>>()
        .map_err(|error| format!("what it printed is not all JSON: {error}"))
}

fn judge(objects: &[Object]) -> Result<Found, String> {
    let Some(first) = objects.first() else {
        return Err("it printed no JSON".to_owned());
    };
    if let Some(message) = refusal(first) {
        return Err(message);
    }
    let alone = objects.len() == 1;
    match () {
        () if alone && first.get("auditReportVersion") == Some(&Value::from(2)) => npm(first),
        () if alone && first.contains_key("advisories") => listed(first),
        () if first.contains_key("children") => trees(objects),
        () if first.contains_key("type") => lines(objects),
        () => Err("it printed JSON of a form that is not known".to_owned()),
    }
}

/// What npm and pnpm print where the registry refused, or nothing could be asked.
fn refusal(object: &Object) -> Option<String> {
    let error = object.get("error");
    let message = [
        object.get("message"),
        error.and_then(|error| error.get("message")),
        error.and_then(|error| error.get("summary")),
        error.and_then(|error| error.get("code")),
    ]
    .into_iter()
    .flatten()
    .filter_map(Value::as_str)
    .find(|text| !text.is_empty());
    match (message, error) {
        (Some(message), _) => Some(message.to_owned()),
        (None, Some(_)) => Some("it reports an error".to_owned()),
        (None, None) => None,
    }
}

/// npm 7 and later: the packages by name, each with its advisories or the names of the packages that it has them from.
fn npm(report: &Object) -> Result<Found, String> {
    let packages = object(report, "vulnerabilities")?;
    let mut found = Found::new();
    for (name, package) in packages {
        let fix = match package.get("fixAvailable") {
            Some(Value::Bool(false)) => Fix::Missing,
            Some(Value::Bool(true)) => Fix::Available,
            Some(Value::Object(fix)) => match fix.get("isSemVerMajor") {
                Some(Value::Bool(false)) => Fix::Available,
                _ => Fix::Breaking(format!("{}@{}", text(fix, "name"), text(fix, "version"))),
            },
            _ => Fix::Unsaid,
        };
        for via in array(package.get("via")) {
            if let Some(via) = via.as_object() {
                add(
                    &mut found,
                    Advisory {
                        id: advisory_id(&text(via, "url"), via.get("source")),
                        package: name.clone(),
                        title: text(via, "title"),
                        url: text(via, "url"),
                        severity: severity(&text(via, "severity")),
                        range: text(via, "range"),
                        direct: is_direct(package),
                        through: asked_for(packages, name),
                        fix: fix.clone(),
                    },
                );
            }
        }
    }
    agrees(counted(report)?, packages.len(), found)
}

fn is_direct(package: &Value) -> bool {
    package.get("isDirect") == Some(&Value::Bool(true))
}

/// From a package up to those that the project asks for.
fn asked_for(packages: &Object, name: &str) -> Vec<String> {
    let mut seen = BTreeSet::from([name.to_owned()]);
    let mut open = vec![name.to_owned()];
    let mut asked = Vec::new();
    while let Some(package) = open.pop().and_then(|name| packages.get(&name)) {
        for above in array(package.get("effects"))
            .iter()
            .filter_map(Value::as_str)
        {
            if !seen.insert(above.to_owned()) {
                continue;
            }
            open.push(above.to_owned());
            if packages.get(above).is_some_and(is_direct) {
                asked.push(above.to_owned());
            }
        }
    }
    asked.sort();
    asked
}

/// npm 6, pnpm, yarn 2 and 3: the advisories by number.
fn listed(report: &Object) -> Result<Found, String> {
    let advisories = object(report, "advisories")?;
    let mut found = Found::new();
    for advisory in advisories.values() {
        listed_one(&mut found, advisory)?;
    }
    agrees(counted(report)?, advisories.len(), found)
}

fn listed_one(found: &mut Found, advisory: &Value) -> Result<(), String> {
    let advisory = advisory
        .as_object()
        .ok_or("an advisory in it is not an object")?;
    let (mut direct, mut through) = (false, BTreeSet::new());
    for finding in array(advisory.get("findings")) {
        for path in array(finding.get("paths")).iter().filter_map(Value::as_str) {
            // pnpm begins with the project itself.
            let path = path.strip_prefix(".>").unwrap_or(path);
            match path.split_once('>') {
                None => direct = true,
                Some((first, _)) => {
                    through.insert(first.to_owned());
                }
            }
        }
    }
    let fix = match text(advisory, "patched_versions").as_str() {
        "" => Fix::Unsaid,
        "<0.0.0" => Fix::Missing,
        _ => Fix::Available,
    };
    add(
        found,
        Advisory {
            id: advisory_id(&text(advisory, "url"), advisory.get("id")),
            package: text(advisory, "module_name"),
            title: text(advisory, "title"),
            url: text(advisory, "url"),
            severity: severity(&text(advisory, "severity")),
            range: text(advisory, "vulnerable_versions"),
            direct,
            through: through.into_iter().collect(),
            fix,
        },
    );
    Ok(())
}

/// yarn 1: an advisory a line for every path, and a summary at the end. Without the summary it did not get there.
fn lines(objects: &[Object]) -> Result<Found, String> {
    let (mut found, mut summary) = (Found::new(), None);
    let mut advisories = 0;
    for object in objects {
        let data = object.get("data").unwrap_or(&Value::Null);
        match object.get("type").and_then(Value::as_str) {
            Some("auditAdvisory") => {
                advisories += 1;
                listed_one(&mut found, data.get("advisory").unwrap_or(&Value::Null))?;
            }
            Some("auditSummary") => summary = data.as_object(),
            Some("error") => return Err(data.as_str().unwrap_or("it reports an error").to_owned()),
            _ => {}
        }
    }
    let summary = summary.ok_or("it ended without a summary")?;
    agrees(counts(summary)?, advisories, found)
}

/// yarn 4: an advisory a line. It prints nothing at all where it knows of none, so that nothing is no answer here.
fn trees(objects: &[Object]) -> Result<Found, String> {
    let mut found = Found::new();
    for object in objects {
        let advisory = object
            .get("children")
            .and_then(Value::as_object)
            .ok_or("it printed JSON of a form that is not known")?;
        // A package that its authors gave up: not an advisory.
        if text(advisory, "ID").ends_with("(deprecation)") {
            continue;
        }
        // A dependent is `name@npm:1.2.3`, and `name@workspace:.` is the project.
        let mut through = BTreeSet::new();
        let mut direct = false;
        for dependent in array(advisory.get("Dependents"))
            .iter()
            .filter_map(Value::as_str)
        {
            match dependent.rsplit_once('@') {
                Some((_, at)) if at.starts_with("workspace:") => direct = true,
                Some((name, _)) if !name.is_empty() => {
                    through.insert(name.to_owned());
                }
                _ => {
                    through.insert(dependent.to_owned());
                }
            }
        }
        add(
            &mut found,
            Advisory {
                id: advisory_id(&text(advisory, "URL"), advisory.get("ID")),
                package: text(object, "value"),
                title: text(advisory, "Issue"),
                url: text(advisory, "URL"),
                severity: severity(&text(advisory, "Severity")),
                range: text(advisory, "Vulnerable Versions"),
                direct,
                through: through.into_iter().collect(),
                fix: Fix::Unsaid,
            },
        );
    }
    match found.is_empty() {
        true => Err(
            "it lists deprecated packages only, and does not say that there is nothing else"
                .to_owned(),
        ),
        false => Ok(found),
    }
}

/// One that is there already gains what is new.
fn add(found: &mut Found, advisory: Advisory) {
    let key = (advisory.id.clone(), advisory.package.clone());
    let Some(known) = found.get_mut(&key) else {
        found.insert(key, advisory);
        return;
    };
    known.severity = known.severity.max(advisory.severity);
    known.direct |= advisory.direct;
    for name in advisory.through {
        if !known.through.contains(&name) {
            known.through.push(name);
        }
    }
    if !known
        .range
        .split(" || ")
        .any(|range| range == advisory.range)
    {
        known.range = format!("{} || {}", known.range, advisory.range);
    }
}

/// What is listed and what is counted must tell the same story, or neither is believed.
fn agrees(counted: u64, listed: usize, found: Found) -> Result<Found, String> {
    match (counted, listed, found.is_empty()) {
        (0, 0, true) | (1.., 1.., false) => Ok(found),
        _ => Err(format!(
            "it counts {counted} vulnerabilities and lists {} advisories",
            found.len()
        )),
    }
}

fn counted(report: &Object) -> Result<u64, String> {
    counts(object(report, "metadata")?)
}

fn counts(metadata: &Object) -> Result<u64, String> {
    let counts = object(metadata, "vulnerabilities")?;
    let mut sum = 0u64;
    for word in ["info", "low", "moderate", "high", "critical"] {
        let number = counts.get(word).and_then(Value::as_u64);
        sum = sum.saturating_add(number.ok_or_else(|| format!("it has no count of {word}"))?);
    }
    Ok(sum)
}

fn object<'a>(within: &'a Object, key: &str) -> Result<&'a Object, String> {
    within
        .get(key)
        .and_then(Value::as_object)
        .ok_or_else(|| format!("there is no {key} in it"))
}

fn array(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text(within: &Object, key: &str) -> String {
    match within.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// The same weakness has one name everywhere, but a number of its own in each registry.
fn advisory_id(url: &str, number: Option<&Value>) -> String {
    match url.rsplit('/').next() {
        Some(name) if name.starts_with("GHSA-") => name.to_owned(),
        _ => match number {
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::String(text)) => text.clone(),
            _ => url.to_owned(),
        },
    }
}

fn severity(word: &str) -> Severity {
    match word {
        "critical" => Severity::Critical,
        "moderate" => Severity::Medium,
        "low" => Severity::Low,
        "info" | "none" => Severity::Info,
        _ => Severity::High,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COUNTS: &str =
        r#""vulnerabilities":{"info":0,"low":0,"moderate":0,"high":N,"critical":0}"#;

    fn counts(high: u32) -> String {
        COUNTS.replace('N', &high.to_string())
    }

    fn vulnerable(text: &str) -> Vec<Advisory> {
        match read(text.as_bytes()) {
            Verdict::Vulnerable(found) => found,
            other => panic!("{other:?} from {text}"),
        }
    }

    fn unknown(text: &str) -> String {
        match read(text.as_bytes()) {
            Verdict::Unknown(why) => why,
            other => panic!("{other:?} from {text}"),
        }
    }

    fn npm_report(high: u32) -> String {
        let via = r#"{"source":1001,"title":"Bad pad","url":"https://x/GHSA-aaaa","severity":"high","range":"<1.0.1"}"#;
        let packages = match high {
            0 => String::new(),
            _ => format!(
                r#""left":{{"severity":"high","isDirect":false,"via":[{via},{via}],"effects":["middle"],"fixAvailable":false}},
                   "middle":{{"severity":"high","isDirect":false,"via":["left"],"effects":["outer","middle"],"fixAvailable":true}},
                   "outer":{{"severity":"high","isDirect":true,"via":["middle"],"effects":[],"fixAvailable":true}}"#
            ),
        };
        format!(
            r#"{{"auditReportVersion":2,"vulnerabilities":{{{packages}}},"metadata":{{{}}}}}"#,
            counts(high)
        )
    }

    #[test]
    fn npm_counts_packages_and_we_count_advisories() {
        let found = vulnerable(&npm_report(3));
        assert_eq!(found.len(), 1);
        assert_eq!(
            found[0].to_string(),
            "left: Bad pad (GHSA-aaaa), through outer; no fix yet"
        );
        assert_eq!(found[0].severity, Severity::High);
        assert_eq!(read(npm_report(0).as_bytes()), Verdict::Clean);
    }

    #[test]
    fn a_fix_that_jumps_a_major_version_is_told() {
        let report = npm_report(3).replacen(
            r#""fixAvailable":false"#,
            r#""fixAvailable":{"name":"outer","version":"2.0.0","isSemVerMajor":true}"#,
            1,
        );
        assert_eq!(
            vulnerable(&report)[0].fix,
            Fix::Breaking("outer@2.0.0".into())
        );
    }

    #[test]
    fn pnpm_and_npm_6_list_advisories() {
        let one = r#""1001":{"id":1001,"title":"Bad pad","module_name":"left","severity":"moderate","vulnerable_versions":"<1.0.1",
            "patched_versions":">=1.0.1","url":"https://x/GHSA-aaaa","findings":[{"version":"1.0.0","paths":[".>left",".>outer>left"]}]}"#;
        let report = |advisories: &str, high| {
            format!(
                r#"{{"actions":[],"advisories":{{{advisories}}},"muted":[],"metadata":{{{}}}}}"#,
                counts(high)
            )
        };
        let found = vulnerable(&format!(" WARN  something\n{}", report(one, 1)));
        assert_eq!(
            (found[0].direct, found[0].through.as_slice()),
            (true, ["outer".to_owned()].as_slice())
        );
        assert_eq!(
            (found[0].severity, &found[0].fix),
            (Severity::Medium, &Fix::Available)
        );
        assert_eq!(read(report("", 0).as_bytes()), Verdict::Clean);
    }

    #[test]
    fn yarn_1_is_believed_only_with_its_summary() {
        let advisory = r#"{"type":"auditAdvisory","data":{"resolution":{"id":1001,"path":"outer>left"},"advisory":{"id":1001,"title":"Bad pad",
            "module_name":"left","severity":"critical","vulnerable_versions":"<1","patched_versions":"<0.0.0","url":"",
            "findings":[{"version":"1.0.0","paths":["outer>left"]}]}}}"#.replace('\n', "");
        let info = r#"{"type":"info","data":"see the documentation"}"#;
        let summary = |high| {
            format!(
                r#"{{"type":"auditSummary","data":{{{},"totalDependencies":2}}}}"#,
                counts(high)
            )
        };
        let found = vulnerable(&format!("{info}\n{advisory}\n{advisory}\n{}", summary(2)));
        assert_eq!(
            (found.len(), found[0].id.as_str(), &found[0].fix),
            (1, "1001", &Fix::Missing)
        );
        assert_eq!(read(summary(0).as_bytes()), Verdict::Clean);
        assert!(unknown(info).contains("summary"));
        assert!(unknown(&format!("{info}\n{advisory}")).contains("summary"));
        assert!(
            unknown(&format!(
                "{info}\n{}",
                r#"{"type":"error","data":"Error: returned a 405"}"#
            ))
            .contains("405")
        );
    }

    #[test]
    fn yarn_4_prints_a_tree_a_line() {
        let line = r#"{"value":"left","children":{"ID":1001,"Issue":"Bad pad","URL":"https://x/GHSA-aaaa","Severity":"low","Vulnerable Versions":"<1.0.1","Tree Versions":["1.0.0"],"Dependents":["app@workspace:.","@a/outer@npm:1.0.0"]}}"#;
        let found = vulnerable(&format!("{line}\n{line}\n"));
        assert_eq!(
            (found.len(), found[0].direct, found[0].through.as_slice()),
            (1, true, ["@a/outer".to_owned()].as_slice())
        );
        assert!(unknown("").contains("no JSON"));
        assert!(unknown(&line.replace("1001", "\"left (deprecation)\"")).contains("deprecated"));
    }

    /// Each of these ends 0 or 1 like an answer.
    #[test]
    fn what_is_no_answer_is_unknown() {
        for (text, why) in [
            ("", "no JSON"),
            ("[]", "no JSON"),
            ("found 0 vulnerabilities", "no JSON"),
            ("{}", "not known"),
            (
                r#"{"message":"405 Method Not Allowed","statusCode":405,"error":{"summary":"","detail":""}}"#,
                "405",
            ),
            (
                r#"{"error":{"code":"ENOLOCK","summary":"needs a lock file"}}"#,
                "lock file",
            ),
            (r#"{"error":{}}"#, "an error"),
            (
                r#"{"auditReportVersion":3,"vulnerabilities":{}}"#,
                "not known",
            ),
            (
                r#"{"auditReportVersion":2,"vulnerabilities":{}}"#,
                "no metadata",
            ),
            (
                r#"{"auditReportVersion":2,"vulnerabilities":{},"metadata":{"vulnerabilities":{}}}"#,
                "no count",
            ),
            (r#"{"auditReportVersion":2,"#, "not all JSON"),
            (r#"{"advisories":{"1":7},"metadata":{}}"#, "not an object"),
        ] {
            assert!(unknown(text).contains(why), "{text}: {}", unknown(text));
        }
        assert!(unknown(&npm_report(0).replace(r#""high":0"#, r#""high":4"#)).contains("counts 4"));
        assert!(unknown(&npm_report(3).replace(r#""high":3"#, r#""high":0"#)).contains("counts 0"));
        let whole = npm_report(3);
        for cut in 1..whole.len() {
            assert!(
                matches!(read(&whole.as_bytes()[..cut]), Verdict::Unknown(_)),
                "{cut}"
            );
        }
    }

    proptest! {
        #[test]
        fn bytes_from_outside_are_never_clean(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(matches!(read(&content), Verdict::Unknown(_)));
        }
    }
}
