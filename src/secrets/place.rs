//! What kind of file a path names, as far as literals in it go.

/// What a value without quotes means depends on the kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Source: a bare word is a name.
    Code,
    /// Lines of NAME=value.
    Assignments,
    /// Lines of name: value.
    Yaml,
    /// `NAME=value` in front of or between commands.
    Shell,
    /// For people.
    Prose,
    /// Texts in the languages of people: nothing in it is a secret.
    Translation,
}

impl Place {
    /// Told by the path.
    pub fn of(path: &str) -> Self {
        let lower = path.to_ascii_lowercase();
        let name = lower.rsplit('/').next().unwrap_or_default();
        const LANGUAGES: [&str; 10] = [
            "locale/",
            "locales/",
            "i18n/",
            "l10n/",
            "lang/",
            "langs/",
            "translations/",
            "translation/",
            "languages/",
            "nls/",
        ];
        if LANGUAGES
            .iter()
            .any(|folder| lower.starts_with(folder) || lower.contains(&format!("/{folder}")))
            || name.starts_with("messages_")
            || name.starts_with("messages.")
        {
            return Self::Translation;
        }
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        match ending {
            "po" | "pot" | "xlf" | "xliff" | "strings" | "resx" | "arb" => Self::Translation,
            _ if name.starts_with(".env") || name.starts_with("env.") => Self::Assignments,
            "env" | "properties" | "ini" | "conf" | "cfg" | "cnf" | "config" | "prefs"
            | "netrc" | "pgpass" | "npmrc" | "service" | "settings" | "credentials" => {
                Self::Assignments
            }
            "yml" | "yaml" | "ldif" => Self::Yaml,
            "sh" | "bash" | "zsh" | "ksh" | "bat" | "cmd" | "fish" => Self::Shell,
            _ if name.starts_with("dockerfile") || ending == "dockerfile" => Self::Shell,
            _ if name == "makefile" || ending == "mk" => Self::Assignments,
            "md" | "markdown" | "rst" | "txt" | "adoc" | "asciidoc" | "html" | "htm" | "log"
            | "example" | "sample" | "dist" | "template" | "" => Self::Prose,
            _ => Self::Code,
        }
    }
}
