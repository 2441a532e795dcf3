//! Rules as gitleaks writes them in TOML: a team's own file is read as it is. Expressions are checked when the file is read and
//! compiled when one of their keywords is first seen.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use anyhow::Context as _;
use regex_automata::meta::Regex;
use serde::Deserialize;

use super::allow::{Allow, AllowText};
use super::expression::{compile, hir, settings};
use super::window::Reach;
use crate::error::config;
use crate::report::Severity;

const BUILT_IN: &str = include_str!("builtin.toml");

/// What is looked for.
pub struct Rules {
    /// In the order of the file, then those that it extends.
    pub rules: Vec<Rule>,
    /// What no rule may find.
    pub allow: Vec<Allow>,
    /// Literals that are assigned to a telling name are looked for too.
    pub assigned: bool,
}

/// One rule.
pub struct Rule {
    /// Its name.
    pub id: String,
    /// In words.
    pub description: String,
    /// How urgent what it finds is: its first tag that says one.
    pub severity: Severity,
    /// In lower case; none: it is tried on every file.
    pub keywords: Vec<String>,
    /// The secret must be more random than this, in bits a character.
    pub entropy: Option<f64>,
    /// Only files whose path it fits.
    pub path: Option<Regex>,
    /// What it must not find.
    pub allow: Vec<Allow>,
    /// Other rules that must have found something within so many lines.
    pub required: Vec<(String, Option<u64>)>,
    /// Only a condition of other rules.
    pub silent: bool,
    group: Option<usize>,
    expression: Option<Expression>,
}

/// What is compiled once it is needed.
struct Expression {
    hir: regex_syntax::hir::Hir,
    ready: OnceLock<Option<(Regex, Option<Reach>)>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct FileText {
    extend: Extend,
    rules: Vec<RuleText>,
    allowlist: Option<AllowText>,
    allowlists: Vec<AllowText>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Extend {
    use_default: bool,
    path: String,
    disabled_rules: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RuleText {
    id: String,
    description: String,
    regex: String,
    path: String,
    secret_group: usize,
    entropy: f64,
    keywords: Vec<String>,
    tags: Vec<String>,
    skip_report: bool,
    required: Vec<RequiredText>,
    allowlist: Option<AllowText>,
    allowlists: Vec<AllowText>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RequiredText {
    id: String,
    within_lines: Option<u64>,
}

impl Rules {
    /// Our own.
    pub fn built_in() -> anyhow::Result<Self> {
        let mut rules = Self::empty();
        rules.read(BUILT_IN, &mut |_| anyhow::bail!("nothing to extend"))?;
        rules.assigned = true;
        Ok(rules)
    }

    /// A file in gitleaks' format; `load` reads a file that it extends, by the name that stands there.
    pub fn parse(
        text: &str,
        load: &mut dyn FnMut(&str) -> anyhow::Result<String>,
    ) -> anyhow::Result<Self> {
        let mut rules = Self::empty();
        rules.read(text, load)?;
        if rules.rules.is_empty() {
            return Err(config("there is no rule in it").into());
        }
        Ok(rules)
    }

    fn empty() -> Self {
        Self {
            rules: Vec::new(),
            allow: Vec::new(),
            assigned: false,
        }
    }

    fn read(
        &mut self,
        text: &str,
        load: &mut dyn FnMut(&str) -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        let file: FileText = toml::from_str(text)
            .map_err(|error| config(format!("it is no file of rules: {}", error.message())))?;
        let mut known: BTreeSet<String> = self.rules.iter().map(|rule| rule.id.clone()).collect();
        for rule in file.rules {
            // The rule of the extending file is the one that counts.
            if known.insert(rule.id.clone()) {
                let id = rule.id.clone();
                self.rules
                    .push(rule.resolve().with_context(|| format!("rule '{id}'"))?);
            }
        }
        for allow in file.allowlist.into_iter().chain(file.allowlists) {
            self.allow.push(allow.resolve()?);
        }
        let own = self.rules.len();
        if !file.extend.path.is_empty() {
            let more = load(&file.extend.path)?;
            self.read(&more, &mut |_| {
                Err(config("a file that is extended extends another one").into())
            })?;
        }
        if file.extend.use_default {
            self.read(BUILT_IN, &mut |_| anyhow::bail!("nothing to extend"))?;
            self.assigned = !file
                .extend
                .disabled_rules
                .iter()
                .any(|id| id == super::ASSIGNED);
        }
        let mut at = 0;
        self.rules.retain(|rule| {
            at += 1;
            at <= own || !file.extend.disabled_rules.contains(&rule.id)
        });
        Ok(())
    }
}

impl RuleText {
    fn resolve(self) -> anyhow::Result<Rule> {
        if self.id.is_empty() {
            return Err(config("a rule has no id").into());
        }
        if self.regex.is_empty() && self.path.is_empty() {
            return Err(config("it has neither a regex nor a path").into());
        }
        let expression = match self.regex.is_empty() {
            true => None,
            false => Some(Expression {
                hir: hir(&self.regex)?,
                ready: OnceLock::new(),
            }),
        };
        let severity = self.tags.iter().find_map(|tag| Severity::from_word(tag));
        Ok(Rule {
            description: self.description,
            severity: severity.unwrap_or(Severity::Medium),
            keywords: self
                .keywords
                .iter()
                .map(|word| word.to_lowercase())
                .collect(),
            entropy: (self.entropy > 0.0).then_some(self.entropy),
            path: match self.path.is_empty() {
                true => None,
                false => Some(compile(&self.path)?),
            },
            allow: self
                .allowlist
                .into_iter()
                .chain(self.allowlists)
                .map(AllowText::resolve)
                .collect::<anyhow::Result<_>>()?,
            required: self
                .required
                .into_iter()
                .map(|required| (required.id, required.within_lines))
                .collect(),
            silent: self.skip_report,
            group: (self.secret_group > 0).then_some(self.secret_group),
            expression,
            id: self.id,
        })
    }
}

/// A match and the secret in it.
pub struct Matched {
    /// All of it.
    pub all: std::ops::Range<usize>,
    /// The secret.
    pub secret: std::ops::Range<usize>,
}

impl Rule {
    /// Compiled now, where it was not yet; `None` for a rule of paths alone, or one too large.
    fn ready(&self) -> Option<&(Regex, Option<Reach>)> {
        let expression = self.expression.as_ref()?;
        expression
            .ready
            .get_or_init(|| {
                let regex = Regex::builder()
                    .configure(settings())
                    .build_from_hir(&expression.hir)
                    .ok()?;
                let reach = match self.keywords.is_empty() {
                    true => None,
                    false => Reach::of(&expression.hir, &self.keywords),
                };
                Some((regex, reach))
            })
            .as_ref()
    }

    /// True for a rule of paths alone.
    pub fn is_path_only(&self) -> bool {
        self.expression.is_none()
    }

    /// Everything that it matches in `text`, of which its keywords are at `hits`.
    pub fn each(&self, text: &[u8], hits: &[u32], found: &mut dyn FnMut(Matched)) {
        let Some((regex, reach)) = self.ready() else {
            return;
        };
        let Some(reach) = reach else {
            self.within(regex, text, 0, text.len(), found);
            return;
        };
        // Windows that overlap are searched as one.
        let mut open: Option<(usize, usize)> = None;
        for hit in hits {
            let (start, end) = reach.around(text, *hit as usize);
            open = match open {
                Some((from, to)) if start <= to => Some((from, to.max(end))),
                Some((from, to)) => {
                    self.within(regex, text, from, to, found);
                    Some((start, end))
                }
                None => Some((start, end)),
            };
        }
        if let Some((from, to)) = open {
            self.within(regex, text, from, to, found);
        }
    }

    fn within(
        &self,
        regex: &Regex,
        text: &[u8],
        from: usize,
        to: usize,
        found: &mut dyn FnMut(Matched),
    ) {
        let input = regex_automata::Input::new(text).span(from..to);
        if !regex.is_match(input.clone()) {
            return;
        }
        for captures in regex.captures_iter(input) {
            let Some(all) = captures.get_match() else {
                continue;
            };
            let secret = match self.group {
                Some(group) => captures.get_group(group),
                None => (1..captures.group_len())
                    .filter_map(|group| captures.get_group(group))
                    .find(|span| !span.is_empty()),
            };
            let all = all.range();
            found(Matched {
                secret: secret.map_or(all.clone(), |span| span.start..span.end),
                all,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = r#"
        [extend]
        useDefault = true
        disabledRules = ["jwt"]
        [[rules]]
        id = "ours"
        regex = '''ours-(\d+)-(\w+)'''
        secretGroup = 2
        keywords = ["OURS-"]
        tags = ["critical"]
        [[rules.required]]
        id = "near"
        withinLines = 1
        [[rules]]
        id = "near"
        regex = "near"
        skipReport = true
        [allowlist]
        paths = ["^vendor/"]
    "#;

    #[test]
    fn a_teams_file_extends_ours() {
        let rules = Rules::parse(OWN, &mut |_| anyhow::bail!("no file")).expect("rules");
        assert!(rules.assigned);
        assert_eq!(rules.rules[0].severity, Severity::Critical);
        assert!(rules.rules.iter().any(|rule| rule.id == "private-key"));
        assert!(rules.rules.iter().all(|rule| rule.id != "jwt"));
        assert!(rules.allow[0].covers_path("vendor/x.js"));
        for wrong in [
            "",
            "rules = 3",
            "[[rules]]\nid = \"x\"",
            "[[rules]]\nid = \"x\"\nregex = \"(\"",
            "[[rules]]\nregex = \"x\"",
        ] {
            assert!(
                Rules::parse(wrong, &mut |_| anyhow::bail!("no file")).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn all_of_our_own_rules_compile() {
        for rule in Rules::built_in().expect("rules").rules {
            assert!(rule.is_path_only() || rule.ready().is_some(), "{}", rule.id);
            // Those whose keywords are in many files.
            let common = [
                "aws-secret-key",
                "bearer-header",
                "url-password",
                "basic-header",
                "openai-key",
            ];
            let bounded = rule.ready().is_some_and(|(_, reach)| reach.is_some());
            assert!(
                bounded || !common.contains(&&*rule.id),
                "{} is searched everywhere",
                rule.id
            );
        }
    }
}
